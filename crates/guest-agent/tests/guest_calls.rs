//! The calls about the guest as a whole, to the agent's binary outside of a virtual machine: what only looks is answered,
//! what would change this machine is refused. Needs root, for the agent's own mount namespace.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use std::{
    io::Read as _,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal};
use ttrpc::Code;
use virtcontainers_agent_protocol::{
    api::{AgentServiceClient, agent::*},
    guest_paths,
    transport::{self, AgentAddress},
};

struct Fixture {
    agent: Child,
    client: AgentServiceClient,
    directory: tempfile::TempDir,
}

impl Fixture {
    async fn start() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "the agent leaves its mount namespace: run this as root"
        );
        let directory = tempfile::tempdir().unwrap();
        let mut agent = Command::new(env!("CARGO_BIN_EXE_vc-agent"))
            .args(["--listen", &format!("unix:{}", directory.path().join("agent").display())])
            .args(["--directory", directory.path().join("state").to_str().unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        agent.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
        let address = AgentAddress::Unix { dir: directory.path().into(), name: "agent".into() };
        let client = AgentServiceClient::new(transport::client(transport::connect(&address).await.unwrap()));
        Self { agent, client, directory }
    }

    fn address(&self) -> AgentAddress {
        AgentAddress::Unix { dir: self.directory.path().into(), name: "agent".into() }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        self.agent.kill().ok();
        self.agent.wait().ok();
    }
}

fn context() -> ttrpc::context::Context {
    ttrpc::context::with_timeout(60_000_000_000)
}

fn code<T: std::fmt::Debug>(result: ttrpc::Result<T>) -> Code {
    match result {
        Err(ttrpc::Error::RpcStatus(status)) => status.code(),
        other => panic!("expected a status, got {other:?}"),
    }
}

#[tokio::test]
async fn what_only_looks_is_answered() {
    let fixture = Fixture::start().await;
    let client = &fixture.client;
    let details = GuestDetailsRequest { mem_block_size: true, mem_hotplug_probe: true, ..Default::default() };
    let details = client.get_guest_details(context(), &details).await.unwrap().agent_details;
    assert!(!details.init_daemon && details.storage_handlers.iter().any(|name| name == "virtio-fs"));

    let metrics = client.get_metrics(context(), &GetMetricsRequest::new()).await.unwrap().metrics;
    for sample in ["kata_agent_total_rss ", "kata_guest_meminfo{item=\"mem_total\"} "] {
        assert!(metrics.lines().any(|line| line.starts_with(sample)), "{sample}\n{metrics}");
    }
    let counted = r#"kata_agent_calls_total{call="GetGuestDetails",result="ok"} 1"#;
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");

    let mut volume = VolumeStatsRequest { volume_guest_path: "/".into(), ..Default::default() };
    let stats = client.get_volume_stats(context(), &volume).await.unwrap();
    assert_eq!(stats.usage.len(), 2);
    assert!(stats.usage.iter().all(|usage| usage.used + usage.available <= usage.total), "{stats:?}");
    assert!(!stats.volume_condition.abnormal);
    volume.volume_guest_path = "/nowhere/at/all".into();
    assert_eq!(code(client.get_volume_stats(context(), &volume).await), Code::NOT_FOUND);
    volume.volume_guest_path = "../".into();
    assert_eq!(code(client.get_volume_stats(context(), &volume).await), Code::INVALID_ARGUMENT);

    let mut data = GetDiagnosticDataRequest { log_type: "agent_log".into(), ..Default::default() };
    client.get_diagnostic_data(context(), &data).await.unwrap();
    data.log_type = "secrets".into();
    assert_eq!(code(client.get_diagnostic_data(context(), &data).await), Code::INVALID_ARGUMENT);
    data.log_type = "termination_log".into();
    assert_eq!(code(client.get_diagnostic_data(context(), &data).await), Code::NOT_FOUND);

    let interfaces = client.list_interfaces(context(), &ListInterfacesRequest::new()).await.unwrap();
    assert!(interfaces.Interfaces.iter().all(|interface| interface.name != "lo"), "{interfaces:?}");
    let routes = client.list_routes(context(), &ListRoutesRequest::new()).await.unwrap();
    assert!(routes.Routes.iter().all(|route| !route.device.is_empty()), "{routes:?}");
}

#[tokio::test]
async fn what_would_change_this_machine_is_refused_and_so_is_nonsense() {
    let fixture = Fixture::start().await;
    let client = &fixture.client;
    let refused = Code::FAILED_PRECONDITION;
    let online = OnlineCPUMemRequest { nb_cpus: 1, ..Default::default() };
    assert_eq!(code(client.online_cpu_mem(context(), &online).await), refused);
    let probe = MemHotplugByProbeRequest { memHotplugProbeAddr: vec![0], ..Default::default() };
    assert_eq!(code(client.mem_hotplug_by_probe(context(), &probe).await), refused);
    let swap = AddSwapPathRequest { path: "/nowhere".into(), ..Default::default() };
    assert_eq!(code(client.add_swap_path(context(), &swap).await), refused);
    let swap = AddSwapRequest { PCIPath: vec![2], ..Default::default() };
    assert_eq!(code(client.add_swap(context(), &swap).await), refused);
    let module = KernelModule { name: "fuse".into(), ..Default::default() };
    let sandbox = CreateSandboxRequest { kernel_modules: vec![module], ..Default::default() };
    assert_eq!(code(client.create_sandbox(context(), &sandbox).await), refused);

    let mut seed = ReseedRandomDevRequest { data: vec![1; 32], ..Default::default() };
    assert_eq!(code(client.reseed_random_dev(context(), &seed).await), refused);
    for nonsense in [0, 4097] {
        seed.data = vec![1; nonsense];
        assert_eq!(code(client.reseed_random_dev(context(), &seed).await), Code::INVALID_ARGUMENT);
    }
    for (seconds, microseconds, answer) in [
        (1_800_000_000, 0, refused),
        (-1, 0, Code::INVALID_ARGUMENT),
        (i64::MAX, 0, Code::INVALID_ARGUMENT),
        (1_800_000_000, 1_000_000, Code::INVALID_ARGUMENT),
        (1_800_000_000, -1, Code::INVALID_ARGUMENT),
    ] {
        let time = SetGuestDateTimeRequest { Sec: seconds, Usec: microseconds, ..Default::default() };
        assert_eq!(code(client.set_guest_date_time(context(), &time).await), answer, "{time:?}");
    }
    let mut interface = UpdateInterfaceRequest::new();
    assert_eq!(code(client.update_interface(context(), &interface).await), Code::INVALID_ARGUMENT);
    let wanted = interface.interface.mut_or_insert_default();
    (wanted.name, wanted.hwAddr) = ("eth0".into(), "02:00:00:00:00:01".into());
    assert_eq!(code(client.update_interface(context(), &interface).await), refused);
    assert_eq!(code(client.update_routes(context(), &UpdateRoutesRequest::new()).await), refused);
    assert_eq!(code(client.add_arp_neighbors(context(), &AddARPNeighborsRequest::new()).await), refused);
    for path in ["/etc/motd", "", guest_paths::BASE] {
        let copy = CopyFileRequest { path: path.into(), ..Default::default() };
        assert_eq!(code(client.copy_file(context(), &copy).await), Code::INVALID_ARGUMENT, "{path}");
    }
    for name in ["", "../x", "a b"] {
        let module = KernelModule { name: name.into(), ..Default::default() };
        let sandbox = CreateSandboxRequest { kernel_modules: vec![module], ..Default::default() };
        assert_eq!(code(client.create_sandbox(context(), &sandbox).await), Code::INVALID_ARGUMENT, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_the_callers_mistake() {
    let fixture = Fixture::start().await;
    let client = transport::client(transport::connect(&fixture.address()).await.unwrap());
    let call = async |service: &str, method: &str, payload: &[u8]| {
        let request = ttrpc::Request {
            service: service.into(),
            method: method.into(),
            timeout_nano: 60_000_000_000,
            payload: payload.into(),
            ..Default::default()
        };
        client.request(request).await
    };
    for garbage in [&b"\xff"[..], b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xc3\x28"] {
        let answer = call("grpc.AgentService", "CreateContainer", garbage).await;
        assert_eq!(code(answer), Code::INVALID_ARGUMENT, "{garbage:?}");
    }
    assert_eq!(code(call("grpc.AgentService", "MakeTea", b"").await), Code::UNIMPLEMENTED);
    assert_eq!(code(call("tea.Service", "Check", b"").await), Code::INVALID_ARGUMENT);
    assert!(call("grpc.Health", "Check", b"").await.is_ok(), "the connection is as good as before");
}

#[tokio::test]
async fn a_signal_ends_the_agent_orderly() {
    for signal in [Signal::TERM, Signal::INT, Signal::POWER] {
        let mut fixture = Fixture::start().await;
        let pid = Pid::from_child(&fixture.agent);
        rustix::process::kill_process(pid, signal).unwrap();
        assert!(fixture.agent.wait().unwrap().success(), "{signal:?}");
    }
}
