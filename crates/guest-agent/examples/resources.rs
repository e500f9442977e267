//! Drives what an agent in a virtual machine does with limits, out-of-memory kills, shared namespaces and storages in
//! memory, in a sandbox that runs already.
//!
//! `resources hybrid:DIRECTORY/vsock.sock CONTAINER`: a container of the sandbox, whose root has busybox's usual names.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "an example talks, and ends at the first surprise"
)]

use std::{path::Path, time::Duration};

use virtcontainers_agent_protocol::{
    api::{AgentServiceClient, GuestServiceClient, agent::*, oci, virtcontainers::ListProcessesRequest},
    guest_paths, ports,
    transport::{self, AgentAddress},
};

const MIB: i64 = 1 << 20;

struct Driver {
    client: AgentServiceClient,
    guest: GuestServiceClient,
    rootfs: String,
}

fn context() -> ttrpc::context::Context {
    ttrpc::context::with_timeout(60_000_000_000)
}

fn process(args: &[&str]) -> oci::Process {
    let mut process = oci::Process::new();
    process.Args = args.iter().map(|arg| (*arg).to_owned()).collect();
    process.Env = vec!["PATH=/bin:/usr/bin:/sbin:/usr/sbin".into()];
    process
}

impl Driver {
    fn specification(&self, args: &[&str]) -> oci::Spec {
        let mut spec = oci::Spec { Version: "1.0.2".into(), ..Default::default() };
        spec.Root = Some(oci::Root { Path: self.rootfs.clone(), ..Default::default() }).into();
        spec.Process = Some(process(args)).into();
        for (kind, destination) in [("proc", "/proc"), ("tmpfs", "/dev")] {
            let (type_, source, destination) = (kind.into(), kind.into(), destination.into());
            spec.Mounts.push(oci::Mount { type_, source, destination, ..Default::default() });
        }
        let mut linux = oci::Linux::new();
        for kind in ["pid", "mount", "uts", "ipc"] {
            linux.Namespaces.push(oci::LinuxNamespace { Type: kind.into(), ..Default::default() });
        }
        spec.Linux = Some(linux).into();
        spec
    }

    async fn create(&self, id: &str, change: impl FnOnce(&mut CreateContainerRequest)) -> ttrpc::Result<()> {
        let mut request = CreateContainerRequest { container_id: id.into(), ..Default::default() };
        request.OCI = Some(self.specification(&["sleep", "1000"])).into();
        change(&mut request);
        self.client.create_container(context(), &request).await?;
        let start = StartContainerRequest { container_id: id.into(), ..Default::default() };
        self.client.start_container(context(), &start).await.map(drop)
    }

    async fn run(&self, id: &str, exec: &str, script: &str) -> (i32, String) {
        let mut request = ExecProcessRequest::new();
        (request.container_id, request.exec_id) = (id.into(), exec.into());
        request.process = Some(process(&["sh", "-c", script])).into();
        self.client.exec_process(context(), &request).await.unwrap();
        let (container_id, exec_id) = (id.to_owned(), exec.to_owned());
        let read = ReadStreamRequest { container_id, exec_id, len: 1 << 20, ..Default::default() };
        let mut output = Vec::new();
        loop {
            let data = self.client.read_stdout(context(), &read).await.unwrap().data;
            if data.is_empty() {
                break;
            }
            output.extend(data);
        }
        let (container_id, exec_id) = (id.to_owned(), exec.to_owned());
        let wait = WaitProcessRequest { container_id, exec_id, ..Default::default() };
        let code = self.client.wait_process(context(), &wait).await.unwrap().status;
        (code, String::from_utf8_lossy(&output).into_owned())
    }

    async fn stats(&self, id: &str) -> StatsContainerResponse {
        let request = StatsContainerRequest { container_id: id.into(), ..Default::default() };
        self.client.stats_container(context(), &request).await.unwrap()
    }

    async fn update(&self, id: &str, resources: oci::LinuxResources) -> ttrpc::Result<()> {
        let mut request = UpdateContainerRequest { container_id: id.into(), ..Default::default() };
        request.resources = Some(resources).into();
        self.client.update_container(context(), &request).await.map(drop)
    }

    async fn remove(&self, id: &str) {
        let request = RemoveContainerRequest { container_id: id.into(), ..Default::default() };
        self.client.remove_container(context(), &request).await.unwrap();
    }
}

fn memory(limit: i64) -> oci::LinuxResources {
    let memory = oci::LinuxMemory { Limit: limit, Swap: limit, ..Default::default() };
    oci::LinuxResources { Memory: Some(memory).into(), ..Default::default() }
}

async fn limits(driver: &Driver) {
    let mut resources = memory(64 * MIB);
    resources.CPU =
        Some(oci::LinuxCPU { Shares: 512, Quota: 50_000, Cpus: "0".into(), ..Default::default() }).into();
    resources.Pids = Some(oci::LinuxPids { Limit: 20, ..Default::default() }).into();
    let limited = |request: &mut CreateContainerRequest| {
        request.OCI.mut_or_insert_default().Linux.mut_or_insert_default().Resources = Some(resources).into();
    };
    driver.create("limited", limited).await.unwrap();
    let stats = driver.stats("limited").await;
    println!("{stats}");
    assert_eq!(stats.cgroup_stats.memory_stats.usage.limit, 64 << 20);
    assert_eq!(stats.cgroup_stats.pids_stats.limit, 20);
    driver.update("limited", memory(48 * MIB)).await.unwrap();
    assert_eq!(driver.stats("limited").await.cgroup_stats.memory_stats.usage.limit, 48 << 20);

    let mut broken = memory(32 * MIB);
    broken.HugepageLimits =
        vec![oci::LinuxHugepageLimit { Pagesize: "3MB".into(), Limit: 1, ..Default::default() }];
    println!("refused: {:?}", driver.update("limited", broken).await.unwrap_err());
    let mut broken = memory(32 * MIB);
    broken.CPU = Some(oci::LinuxCPU { Cpus: "77".into(), Quota: 5, ..Default::default() }).into();
    println!("refused: {:?}", driver.update("limited", broken).await.unwrap_err());
    assert_eq!(
        driver.stats("limited").await.cgroup_stats.memory_stats.usage.limit,
        48 << 20,
        "nothing has changed"
    );
    let (code, output) =
        driver.run("limited", "forks", "for i in $(seq 40); do sleep 2 & done; echo $?").await;
    println!("40 processes with a limit of 20: code {code}, {output:?}");
    let pids = oci::LinuxPids { Limit: 100, ..Default::default() };
    driver
        .update("limited", oci::LinuxResources { Pids: Some(pids).into(), ..Default::default() })
        .await
        .unwrap();
}

async fn out_of_memory(driver: &Driver) {
    let question = GetOOMEventRequest::new();
    for round in 0..2 {
        let event = driver.client.get_oom_event(ttrpc::context::with_timeout(50_000_000_000), &question);
        let exec = format!("hungry{round}");
        let hungry = driver.run("limited", &exec, "tail -c 200000000 /dev/zero");
        let (event, (code, _)) = futures::join!(event, hungry);
        println!("out of memory in {:?}, code {code}", event.unwrap().container_id);
    }
    let more = tokio::time::timeout(
        Duration::from_secs(1),
        driver.client.get_oom_event(ttrpc::context::with_timeout(2_000_000_000), &question),
    )
    .await;
    assert!(more.is_err(), "one event for each kill: {more:?}");
}

async fn sharing(driver: &Driver) {
    let share = |request: &mut CreateContainerRequest| request.sandbox_pidns = true;
    driver.create("left", share).await.unwrap();
    driver.create("right", share).await.unwrap();
    let (_, seen) =
        driver.run("right", "look", "ls -d /proc/[0-9]* | wc -l; hostname; readlink /proc/self/ns/ipc").await;
    let (_, left) = driver.run("left", "look", "hostname; readlink /proc/self/ns/ipc").await;
    println!("processes, hostname, ipc as seen by one: {seen:?}; by the other: {left:?}");
    let request = ListProcessesRequest { container_id: "left".into(), ..Default::default() };
    println!("{}", driver.guest.list_processes(context(), &request).await.unwrap());
    let kill = SignalProcessRequest { container_id: "left".into(), signal: 9, ..Default::default() };
    driver.client.signal_process(context(), &kill).await.unwrap();
    let wait = WaitProcessRequest { container_id: "left".into(), ..Default::default() };
    println!("killed: {}", driver.client.wait_process(context(), &wait).await.unwrap().status);
    driver.client.signal_process(context(), &kill).await.unwrap();
    for id in ["left", "right"] {
        driver.remove(id).await;
    }
}

fn storage(size: &str) -> Storage {
    Storage {
        driver: "ephemeral".into(),
        source: "tmpfs".into(),
        options: vec![format!("size={size}")],
        mount_point: "/run/kata-containers/sandbox/ephemeral/memory".into(),
        ..Default::default()
    }
}

async fn storages(driver: &Driver) {
    let overlay = Storage {
        driver: "overlayfs".into(),
        options: vec![
            format!("lowerdir={}", driver.rootfs),
            "upperdir=/run/kata-containers/layers/upper".into(),
            "workdir=/run/kata-containers/layers/work".into(),
        ],
        mount_point: "/run/kata-containers/layered".into(),
        ..Default::default()
    };
    let layers = Storage {
        driver: "ephemeral".into(),
        mount_point: "/run/kata-containers/layers".into(),
        ..Default::default()
    };
    let change = |request: &mut CreateContainerRequest| {
        request.storages = vec![storage("1m"), layers, overlay];
        let spec = request.OCI.mut_or_insert_default();
        spec.Root.mut_or_insert_default().Path = "/run/kata-containers/layered".into();
        spec.Mounts.push(oci::Mount {
            type_: "bind".into(),
            source: storage("").mount_point,
            destination: "/dev/memory".into(),
            options: vec!["rbind".into()],
            ..Default::default()
        });
    };
    driver.create("storing", change).await.unwrap();
    let df = "df -k /dev/memory | tail -1; touch /made-in-a-layer && ls /made-in-a-layer";
    println!("{:?}", driver.run("storing", "before", df).await);
    let storages = vec![storage("3m")];
    let update = UpdateEphemeralMountsRequest { storages, ..Default::default() };
    driver.client.update_ephemeral_mounts(context(), &update).await.unwrap();
    println!("{:?}", driver.run("storing", "after", df).await);
    driver.remove("storing").await;
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, container] = &arguments[..] else { panic!("usage: resources hybrid:SOCKET CONTAINER") };
    let path = Path::new(address.strip_prefix("hybrid:").unwrap());
    let (dir, name) =
        (path.parent().unwrap().to_owned(), path.file_name().unwrap().to_str().unwrap().to_owned());
    let address = AgentAddress::HybridVsock { dir, name, port: ports::AGENT };
    let client = transport::client(transport::connect(&address).await.unwrap());
    let driver = Driver {
        client: AgentServiceClient::new(client.clone()),
        guest: GuestServiceClient::new(client),
        rootfs: guest_paths::rootfs(container).to_str().unwrap().to_owned(),
    };
    println!("{}", driver.stats(container).await);
    limits(&driver).await;
    out_of_memory(&driver).await;
    driver.remove("limited").await;
    sharing(&driver).await;
    storages(&driver).await;
}
