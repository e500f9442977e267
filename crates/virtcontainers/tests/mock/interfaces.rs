//! Interfaces that come and go while a sandbox runs: plugged by request, or in step with the namespace.

use virtcontainers::{
    DeleteMode, ErrorKind, Interface, MachineType, NetworkChanges, Sandbox,
    agent::mock::{Method, MockFailure},
    hypervisor::mock::{MockHypervisor, Step},
    store::{FaultKind, FaultPlan},
};
use virtcontainers_testkit::TestNetNs;

use crate::{
    network::{Wired, joined, virtcontainers_interface as named},
    stage::{Stage, sid},
};

/// A sandbox in an empty namespace, into which `eth0` comes.
async fn late(stage: &Stage) -> (TestNetNs, TestNetNs, Sandbox) {
    let (ns, outside) = (TestNetNs::new(), TestNetNs::new());
    let sandbox = stage.runtime().run_sandbox(joined(stage, "web", ns.path())).await.unwrap();
    ns.join("eth0", &outside, "v0");
    ns.ip("addr add 10.7.0.2/24 dev eth0");
    ns.ip("route add default via 10.7.0.1");
    (ns, outside, sandbox)
}

#[tokio::test]
async fn an_interface_is_plugged_and_unplugged() {
    let stage = Stage::new();
    let (ns, _outside, sandbox) = late(&stage).await;
    let before = ns.snapshot();
    let told = sandbox.add_interface(named("eth0")).await.unwrap();
    assert_eq!(told.addresses, ["10.7.0.2/24".parse().unwrap()]);
    assert!(told.pci_path.is_some());
    assert_eq!(stage.agent.network().interfaces, std::slice::from_ref(&told));
    assert_eq!(stage.agent.network().routes.len(), 1, "its route is told too");
    assert_ne!(ns.snapshot(), before);

    assert_eq!(sandbox.add_interface(named("eth0")).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(sandbox.add_interface(named("eth9")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(sandbox.add_interface(named("lo")).await.unwrap_err().kind(), ErrorKind::InvalidConfig);
    assert_eq!(sandbox.remove_interface("eth9").await.unwrap_err().kind(), ErrorKind::NotFound);

    // By another process.
    stage.runtime().remove_interface(&sid("web"), "eth0").await.unwrap();
    assert_eq!(ns.snapshot().changes_since(&before), [""; 0]);
    // A sync does not bring back what was taken out, until it has gone and come again.
    assert!(sandbox.sync_network().await.unwrap().added.is_empty());

    // Under another name, with an address of its own.
    let mut renamed = named("net0");
    renamed.device = "eth0".into();
    renamed.addresses = vec!["10.9.0.1/16".parse().unwrap()];
    let told: Interface = sandbox.add_interface(renamed).await.unwrap();
    assert_eq!((told.name.as_str(), told.device.as_str()), ("net0", "eth0"));
    assert_eq!(told.addresses, ["10.9.0.1/16".parse().unwrap()]);
    assert_eq!(stage.agent.network().routes[0].device, "net0", "as the guest knows it");
    assert_eq!(sandbox.sync_network().await.unwrap(), NetworkChanges::default());
    sandbox.delete(DeleteMode::Force).await.unwrap();
    assert_eq!(ns.snapshot().changes_since(&before), [""; 0]);
}

#[tokio::test]
async fn a_plug_fails_at_every_step_and_leaves_nothing() {
    let points = {
        let stage = Stage::new();
        let (_ns, _outside, _) = late(&stage).await;
        let counting = FaultPlan::counting();
        let runtime = stage.runtime_with(counting.clone());
        runtime.add_interface(&sid("web"), named("eth0")).await.unwrap();
        runtime.delete_sandbox(&sid("web"), DeleteMode::Force).await.unwrap();
        counting.passed().iter().filter(|point| !format!("{point:?}").contains("release")).count()
    };
    assert!(points >= 6, "endpoint, plug, update, each before and after: {points}");
    for kind in [FaultKind::Fail, FaultKind::Panic] {
        for point in 0..6 {
            let stage = Stage::new();
            let (ns, _outside, sandbox) = late(&stage).await;
            let before = ns.snapshot();
            let runtime = stage.runtime_with(FaultPlan::at(point, kind));
            let error = runtime.add_interface(&sid("web"), named("eth0")).await.unwrap_err();
            assert_eq!((error.kind(), error.undo_errors().len()), (ErrorKind::Interrupted, 0), "{error}");
            assert_eq!(ns.snapshot().changes_since(&before), [""; 0], "after a fault at point {point}");
            let left = std::fs::read_dir(stage.dir("web")).unwrap();
            let is_nic = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("mock-nic-");
            assert!(!left.into_iter().any(|entry| is_nic(&entry.unwrap().file_name())), "unplugged");
            // And nothing stands in the way of the next.
            sandbox.add_interface(named("eth0")).await.unwrap();
            sandbox.delete(DeleteMode::Force).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_guest_that_refuses_has_the_interface_unplugged() {
    let stage = Stage::new();
    let (ns, _outside, sandbox) = late(&stage).await;
    let before = ns.snapshot();
    stage.agent.fail(Method::UpdateInterface, 1, MockFailure::Disconnected);
    assert_eq!(sandbox.add_interface(named("eth0")).await.unwrap_err().kind(), ErrorKind::Agent);
    assert_eq!(ns.snapshot().changes_since(&before), [""; 0]);
    sandbox.add_interface(named("eth0")).await.unwrap();
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

/// One that the guest does not give back stays on record, and can be asked for again.
#[tokio::test]
async fn an_interface_that_the_guest_keeps_can_be_removed_later() {
    let stage = Stage::with(MockHypervisor::builder().fail_times(Step::RemoveNic, 1, "busy").build());
    let wired = Wired::new();
    let sandbox = stage.runtime().run_sandbox(wired.config(&stage, "web")).await.unwrap();
    assert!(sandbox.remove_interface("eth1").await.is_err());
    sandbox.remove_interface("eth1").await.unwrap();
    sandbox.delete(DeleteMode::Force).await.unwrap();
    wired.assert_as_found("after all");
}

/// A machine that takes nothing while it runs says so; what it has from the start it has.
#[tokio::test]
async fn a_microvm_takes_no_interface_while_it_runs() {
    let (stage, wired) = (Stage::new(), Wired::new());
    let mut config = wired.config(&stage, "web");
    config.hypervisor_config.hypervisor_machine_type = MachineType::Microvm;
    let sandbox = stage.runtime().run_sandbox(config).await.unwrap();
    assert_eq!(stage.agent.network().interfaces.len(), 2);
    wired.ns.join("eth2", &wired.outside, "v2");
    let error = sandbox.add_interface(named("eth2")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
    assert_eq!(sandbox.remove_interface("eth0").await.unwrap_err().kind(), ErrorKind::WrongState);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_sync_brings_the_guest_in_step() {
    let (stage, wired) = (Stage::new(), Wired::new());
    let sandbox = stage.runtime().run_sandbox(wired.config(&stage, "web")).await.unwrap();
    assert!(sandbox.sync_network().await.unwrap().is_empty(), "what attaching makes is no change");

    wired.ns.ip("addr add 10.7.1.2/24 dev eth0");
    wired.ns.ip("link set eth1 mtu 1300");
    wired.ns.ip("route add 10.99.0.0/16 via 10.8.0.1");
    let changes = sandbox.sync_network().await.unwrap();
    assert_eq!(changes.updated, ["eth0", "eth1"]);
    assert!(changes.routes && changes.added.is_empty() && changes.removed.is_empty(), "{changes:?}");
    let network = stage.agent.network();
    assert_eq!(network.interfaces[0].addresses.len(), 3);
    assert_eq!(network.interfaces[1].mtu, 1300);
    assert_eq!(network.routes.len(), 2);

    wired.ns.join("eth2", &wired.outside, "v2");
    wired.ns.ip("link del eth1");
    wired.ns.ip("neigh add 10.7.0.10 lladdr 02:00:00:00:00:0a dev eth0 nud permanent");
    let changes = stage.runtime().sync_network(&sid("web")).await.unwrap();
    assert_eq!((changes.added, changes.removed), (vec!["eth2".to_owned()], vec!["eth1".to_owned()]));
    assert!(changes.routes && changes.neighbors);
    assert_eq!(stage.agent.network().neighbors.len(), 2);
    assert!(sandbox.sync_network().await.unwrap().is_empty());

    sandbox.delete(DeleteMode::Force).await.unwrap();
    assert_eq!(wired.ns.run("tc qdisc show dev eth2").matches("ingress").count(), 0);
}

#[tokio::test]
async fn fifty_interfaces_come_and_go_without_losing_a_slot() {
    let stage = Stage::new();
    let (ns, _outside, sandbox) = late(&stage).await;
    let before = ns.snapshot();
    for _ in 0..50 {
        sandbox.add_interface(named("eth0")).await.unwrap();
        sandbox.remove_interface("eth0").await.unwrap();
    }
    assert_eq!(ns.snapshot().changes_since(&before), [""; 0]);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

/// A sandbox without a network has nothing to plug into.
#[tokio::test]
async fn without_a_network_nothing_is_plugged() {
    let stage = Stage::new();
    let sandbox = stage.runtime().run_sandbox(stage.config("web", &[])).await.unwrap();
    assert_eq!(sandbox.add_interface(named("eth0")).await.unwrap_err().kind(), ErrorKind::WrongState);
    assert_eq!(sandbox.sync_network().await.unwrap_err().kind(), ErrorKind::WrongState);
    assert_eq!(sandbox.list_interfaces().await.unwrap(), []);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}
