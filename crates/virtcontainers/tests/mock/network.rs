//! Networks of sandboxes whose machine is a mock: real namespaces, real links, taps and filters, and at the end each
//! namespace as it was found.

use std::path::Path;

use virtcontainers::{
    AgentKind, CniConfig, DeleteMode, ErrorKind, HypervisorKind, NetInterworkingModel, NetworkConfig,
    SandboxConfig, StopMode,
    agent::mock::{Method, MockFailure},
    hypervisor::mock::{MockHypervisor, Step},
    store::{FaultKind, FaultPlan},
};
use virtcontainers_testkit::{NetSnapshot, TestNetNs};

use crate::stage::{Stage, sid};

/// A namespace as a container engine leaves it: `eth0` and `eth1` with addresses, routes and a neighbour; their other
/// ends are in `outside`.
pub(crate) struct Wired {
    pub(crate) ns: TestNetNs,
    pub(crate) outside: TestNetNs,
    before: NetSnapshot,
}

impl Wired {
    pub(crate) fn new() -> Self {
        let (ns, outside) = (TestNetNs::new(), TestNetNs::new());
        ns.join("eth0", &outside, "v0");
        ns.join("eth1", &outside, "v1");
        ns.ip("addr add 10.7.0.2/24 dev eth0");
        ns.ip("addr add fd07::2/64 dev eth0 nodad");
        ns.ip("addr add 10.8.0.2/24 dev eth1");
        ns.ip("link set eth1 mtu 1400");
        ns.ip("route add default via 10.7.0.1");
        ns.ip("neigh add 10.7.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent");
        // The kernel adds the route to an IPv6 address a moment after the address.
        let routed = || ns.ip("-6 route show table local").contains("local fd07::2 ");
        assert!((0..1000).any(|_| routed()), "no route to its own address");
        let before = ns.snapshot();
        Self { ns, outside, before }
    }

    pub(crate) fn config(&self, stage: &Stage, id: &str) -> SandboxConfig {
        joined(stage, id, self.ns.path())
    }

    #[track_caller]
    pub(crate) fn assert_as_found(&self, when: &str) {
        assert_eq!(self.ns.snapshot().changes_since(&self.before), [""; 0], "{when}");
    }
}

pub(crate) fn joined(stage: &Stage, id: &str, netns: &Path) -> SandboxConfig {
    let network_config = NetworkConfig { netns_path: Some(netns.to_owned()), ..NetworkConfig::default() };
    SandboxConfig { network_config, ..stage.config(id, &["a"]) }
}

#[tokio::test]
async fn what_is_in_the_namespace_is_told_to_the_guest() {
    let (stage, wired) = (Stage::new(), Wired::new());
    let mac = |link: &str| {
        let shown = wired.ns.ip(&format!("-o link show {link}"));
        shown.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    let macs = [mac("eth0"), mac("eth1")];
    let sandbox = stage.runtime().create_sandbox(wired.config(&stage, "web")).await.unwrap();
    assert_eq!(sandbox.netns_path().await.unwrap().as_deref(), Some(wired.ns.path()));

    let network = stage.agent.network();
    let [eth0, eth1] = network.interfaces.as_slice() else { panic!("{network:?}") };
    let addresses: Vec<_> = eth0.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(
        (eth0.name.as_str(), addresses),
        ("eth0", vec!["10.7.0.2/24".to_owned(), "fd07::2/64".to_owned()])
    );
    assert_eq!((eth1.name.as_str(), eth1.mtu, eth0.mtu), ("eth1", 1400, 1500));
    assert_eq!([eth0.mac.to_string(), eth1.mac.to_string()], macs);
    assert!(eth0.pci_path.is_some() && eth0.pci_path != eth1.pci_path, "{network:?}");
    let default = network.routes.iter().find(|route| route.destination.is_none()).unwrap();
    assert_eq!((default.gateway.unwrap().to_string(), default.device.as_str()), ("10.7.0.1".into(), "eth0"));
    assert_eq!(network.neighbors.len(), 1);
    assert_eq!(network.neighbors[0].mac.to_string(), "02:00:00:00:00:09");

    let changes = wired.ns.snapshot().changes_since(&wired.before);
    assert!(changes.iter().any(|line| line.starts_with("+ filter eth0 ingress")), "{changes:?}");
    sandbox.stop(StopMode::Graceful).await.unwrap();
    wired.assert_as_found("after a stop");
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
    wired.assert_as_found("after a delete");
}

/// What the reference implementation leaves after a stop keeps the next create in the same namespace from its work.
#[tokio::test]
async fn the_next_sandbox_in_the_same_namespace_finds_it_clean() {
    let (mut stage, wired) = (Stage::new(), Wired::new());
    for model in
        [NetInterworkingModel::Default, NetInterworkingModel::TcFilter, NetInterworkingModel::Macvtap]
    {
        let mut config = wired.config(&stage, "first");
        config.network_config.interworking_model = model;
        let first = stage.runtime().run_sandbox(config.clone()).await.unwrap();
        first.stop(StopMode::Force).await.unwrap();
        wired.assert_as_found("after a stop");
        // The first is there still.
        stage.new_guest();
        let second =
            stage.runtime().run_sandbox(SandboxConfig { id: "second".into(), ..config }).await.unwrap();
        second.delete(DeleteMode::Force).await.unwrap();
        first.delete(DeleteMode::IfStopped).await.unwrap();
        wired.assert_as_found("after both deletes");
        stage.new_guest();
    }
}

#[tokio::test]
async fn a_create_fails_at_every_step_and_leaves_the_namespace_as_found() {
    let wired = Wired::new();
    let points = {
        let stage = Stage::new();
        let counting = FaultPlan::counting();
        let runtime = stage.runtime_with(counting.clone());
        let sandbox = runtime.create_sandbox(wired.config(&stage, "web")).await.unwrap();
        let points = counting.passed().len();
        sandbox.delete(DeleteMode::Force).await.unwrap();
        points
    };
    assert!(points >= 20, "namespace, two endpoints, and what the guest is told: {points}");
    for kind in [FaultKind::Fail, FaultKind::Panic] {
        for point in 0..points {
            let stage = Stage::new();
            let runtime = stage.runtime_with(FaultPlan::at(point, kind));
            let error = runtime.create_sandbox(wired.config(&stage, "web")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
            assert_eq!(error.undo_errors(), [""; 0]);
            assert!(
                stage.root.leaks().is_empty(),
                "after a fault at point {point}: {:?}",
                stage.root.leaks()
            );
            wired.assert_as_found(&format!("after a fault at point {point}"));
        }
    }
}

/// The namespace that the library makes is mounted in the sandbox's directory, and goes with it.
#[tokio::test]
async fn an_own_namespace_goes_with_the_sandbox() {
    let stage = Stage::new();
    let mut config = stage.config("own", &[]);
    config.network_config.netns_created = true;
    let sandbox = stage.runtime().create_sandbox(config.clone()).await.unwrap();
    let path = sandbox.netns_path().await.unwrap().unwrap();
    assert_eq!(path, stage.dir("own").join("netns"));
    sandbox.stop(StopMode::Force).await.unwrap();
    assert!(path.exists(), "it stays for as long as the sandbox is there");
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
    assert!(stage.root.leaks().is_empty());

    // One that the caller made and gave away goes too.
    let given = TestNetNs::new();
    config.network_config.netns_path = Some(given.path().to_owned());
    let sandbox = stage.runtime().create_sandbox(config).await.unwrap();
    sandbox.delete(DeleteMode::Force).await.unwrap();
    assert!(!given.path().exists());
}

#[tokio::test]
async fn what_is_no_namespace_is_refused_and_left_alone() {
    let stage = Stage::new();
    let file = stage.rootfs.path().join("precious");
    std::fs::write(&file, "").unwrap();
    for (path, created) in
        [(file.as_path(), false), (file.as_path(), true), (Path::new("/proc/self/ns/uts"), false)]
    {
        let mut config = joined(&stage, "web", path);
        config.network_config.netns_created = created;
        let error = stage.runtime().create_sandbox(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    assert!(file.exists());
    // The caller's own namespace can be joined, yet not given away.
    let mut config = joined(&stage, "web", Path::new("/proc/self/ns/net"));
    config.network_config.netns_created = true;
    let error = stage.runtime().create_sandbox(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    assert!(stage.root.leaks().is_empty());
}

/// Whatever is wrong is told at once.
#[tokio::test]
async fn nonsense_is_refused_all_at_once() {
    let stage = Stage::new();
    let mut config = stage.config("web", &[]);
    config.network_config = NetworkConfig {
        netns_path: Some("/nonexistent/ns".into()),
        disable_new_netns: true,
        queues: 1000,
        vhost_user_dir: Some("relative".into()),
        cni: Some(CniConfig {
            network: "a/b".into(),
            conf_dir: Some("/nonexistent".into()),
            plugin_dirs: vec!["/etc/passwd".into()],
            ifname: Some("much-too-long-a-name".into()),
            port_mappings: vec!["8080:80".parse().unwrap()],
            args: [("a=b".to_owned(), String::new())].into(),
            ..CniConfig::default()
        }),
        prestart_hooks: serde_json::from_str(r#"[{"path":"/nonexistent/hook"}]"#).unwrap(),
        ..NetworkConfig::default()
    };
    config.network_config.netmon.debug = true;
    let error = stage.runtime().create_sandbox(config).await.unwrap_err();
    let fields: Vec<_> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
    for field in [
        "netns_path",
        "disable_new_netns",
        "queues",
        "vhost_user_dir",
        "cni.network",
        "cni.conf_dir",
        "cni.plugin_dirs[0]",
        "cni.ifname",
        "cni.args.a=b",
        "prestart_hooks[0].path",
        "netmon.debug",
    ] {
        assert!(fields.contains(&format!("network_config.{field}").as_str()), "{field}: {fields:?}");
    }
}

/// The host's own network is not given to a guest; without interfaces, a sandbox may stay in it.
#[tokio::test]
async fn the_hosts_network_is_refused_unless_nothing_of_it_is_wanted() {
    let stage = Stage::new();
    let mut config = stage.config("web", &[]);
    config.network_config.disable_new_netns = true;
    let error = stage.runtime().create_sandbox(config.clone()).await.unwrap_err();
    assert!(error.to_string().contains("set the model to none"), "{error}");
    config.network_config.interworking_model = NetInterworkingModel::None;
    let sandbox = stage.runtime().create_sandbox(config).await.unwrap();
    assert_eq!(sandbox.netns_path().await.unwrap(), None);
    assert_eq!(stage.agent.count(Method::UpdateInterface), 0);
    let error = sandbox.add_interface(virtcontainers_interface("eth0")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_model_that_cannot_serve_a_link_is_refused() {
    let (stage, wired) = (Stage::new(), Wired::new());
    let mut config = wired.config(&stage, "web");
    config.network_config.interworking_model = NetInterworkingModel::None;
    let error = stage.runtime().create_sandbox(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    assert!(error.to_string().contains("eth0"), "{error}");
    wired.assert_as_found("after a refusal");
}

#[tokio::test]
async fn more_links_than_slots_are_refused_and_all_is_undone() {
    let (stage, ns) = (Stage::new(), TestNetNs::new());
    for number in 0..40 {
        ns.ip(&format!("tuntap add tap{number} mode tap"));
        ns.ip(&format!("link set tap{number} up"));
    }
    let before = ns.snapshot();
    // The machine is a real one, as far as its plan: no mock runs out of slots.
    let mut config = joined(&stage, "web", ns.path());
    config.hypervisor_type = HypervisorKind::Qemu;
    config.agent_type = AgentKind::Noop;
    let kernel = stage.rootfs.path().join("kernel");
    std::fs::write(&kernel, "").unwrap();
    config.hypervisor_config.initrd_path = Some(kernel.clone());
    config.hypervisor_config.kernel_path = kernel;
    let error = stage.runtime().create_sandbox(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    assert!(error.to_string().contains("room for"), "{error}");
    assert_eq!(ns.snapshot().changes_since(&before), [""; 0]);
    assert!(stage.root.leaks().is_empty());
}

/// The link goes while its machine starts: the create ends with a clear error, or the machine does not mind; in either
/// case the undoing does not stumble over what is gone.
#[tokio::test]
async fn a_link_that_goes_in_the_midst_is_no_obstacle_to_the_undoing() {
    let vmm = MockHypervisor::builder().fail(Step::Launch, "told to").build();
    let (stage, wired) = (Stage::with(vmm), Wired::new());
    let faults = FaultPlan::at(usize::MAX, FaultKind::Fail);
    let runtime = stage.runtime_with(faults.clone());
    let create = runtime.create_sandbox(wired.config(&stage, "web"));
    let remover = async {
        while !faults.passed().iter().any(|point| format!("{point:?}").contains("endpoint")) {
            tokio::task::yield_now().await;
        }
        wired.ns.ip("link del eth1");
    };
    let (created, ()) = tokio::join!(create, remover);
    let error = created.unwrap_err();
    assert_eq!(error.undo_errors(), [""; 0], "{error}");
    assert!(stage.root.leaks().is_empty());
    assert_eq!(wired.ns.links(), ["lo", "eth0"]);
}

/// A namespace that is removed under a sandbox keeps nobody from deleting it.
#[tokio::test]
async fn a_namespace_that_is_gone_is_no_obstacle_to_the_delete() {
    let (stage, wired) = (Stage::new(), Wired::new());
    let sandbox = stage.runtime().run_sandbox(wired.config(&stage, "web")).await.unwrap();
    drop(wired);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_guest_that_refuses_an_interface_undoes_the_create() {
    for method in [Method::UpdateInterface, Method::UpdateRoutes, Method::AddArpNeighbors] {
        let (stage, wired) = (Stage::new(), Wired::new());
        stage.agent.fail(method, 1, MockFailure::Disconnected);
        let error = stage.runtime().create_sandbox(wired.config(&stage, "web")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Agent, "{error}");
        assert!(stage.root.leaks().is_empty());
        wired.assert_as_found("after a refusal");
    }
}

/// Another process, with nothing but the record, ends what the creator of a sandbox has left.
#[tokio::test]
async fn what_a_dead_creator_left_is_found_from_the_record() {
    let (mut stage, wired) = (Stage::new(), Wired::new());
    let sandbox = stage.runtime().run_sandbox(wired.config(&stage, "web")).await.unwrap();
    drop(sandbox);
    stage.runtime().delete_sandbox(&sid("web"), DeleteMode::Force).await.unwrap();
    wired.assert_as_found("after a delete by another");
    stage.new_guest();
}

pub(crate) fn virtcontainers_interface(device: &str) -> virtcontainers::Interface {
    serde_json::from_value(serde_json::json!({ "name": device, "mac": "02:00:00:00:00:01" })).unwrap()
}

/// The monitor is a process of the sandbox: on record, marked, and gone when the sandbox is. Its death is told, and
/// nothing else comes of it.
#[tokio::test]
async fn the_monitor_lives_and_dies_with_the_sandbox() {
    use std::os::unix::fs::PermissionsExt as _;
    let (stage, wired) = (Stage::new(), Wired::new());
    let program = stage.rootfs.path().join("monitor");
    std::fs::write(&program, "#!/bin/sh\necho \"$@\" >&2\nexec sleep 1000\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = wired.config(&stage, "web");
    config.network_config.netmon.enable = true;
    config.network_config.netmon.path = Some(program);
    let sandbox = stage.runtime().run_sandbox(config).await.unwrap();
    let status = sandbox.status().await.unwrap();
    let [monitor] = status.processes.as_slice() else { panic!("{status:?}") };
    assert_eq!(monitor.role, "netmon");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(monitor.pid.try_into().unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let dead = async {
        while !sandbox.status().await.unwrap().processes.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), dead).await.unwrap();
    let status = sandbox.status().await.unwrap();
    assert!(status.reason.unwrap().to_string().contains("netmon"));
    assert!(sandbox.sync_network().await.unwrap().is_empty(), "it works without");
    sandbox.delete(DeleteMode::Force).await.unwrap();
    wired.assert_as_found("after a delete");
}
