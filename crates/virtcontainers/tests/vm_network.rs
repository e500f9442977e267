//! Real packets between containers in real virtual machines and namespaces of the test: every endpoint and model that this
//! kernel has. They need what the tests of `vm_sandbox` need, iproute2 and util-linux; what is missing fails the test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test tells by panicking")]

mod guest;
#[path = "guest/wire.rs"]
mod wire;

use guest::{Stage, output};
use virtcontainers::{DeleteMode, ErrorKind, MachineType, NetInterworkingModel, SandboxConfig, StopMode};
use virtcontainers_testkit::TestNetNs;
use wire::{HOST, Wire, address, give, ping, run, say, transfer, transfer_in};

/// All kinds of traffic both ways; then the namespace is as it was, after a stop and after a delete.
async fn whole_tour(stage: &Stage, wire: &Wire, config: SandboxConfig) {
    let (sandbox, container) = run(&stage.runtime(), config).await;
    for host in HOST {
        ping(&container, host, 56).await;
        transfer(stage, &container, &wire.host, host).await;
    }
    for (inside, port) in [("10.7.0.2", 7001), ("fd07::2", 7002)] {
        transfer_in(&container, port, &wire.host, inside, port).await;
    }
    sandbox.stop(StopMode::Graceful).await.unwrap();
    wire.assert_as_found();
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
    wire.assert_as_found();
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_veth_over_tc_filters() {
    let (stage, wire) = (Stage::new().await, Wire::veth());
    let config = wire.config(&stage);
    whole_tour(&stage, &wire, config.clone()).await;
    // The next one in the same namespace finds nothing in its way, and the guest is what the namespace is.
    let (sandbox, container) = run(&stage.runtime(), config).await;
    let mac = |text: &str| text.split("ether ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let inside = say(&container, "ip addr show eth0; ip route; ip -6 route").await;
    assert_eq!(mac(&inside), mac(&wire.ns.ip("link show eth0")));
    for expected in
        ["10.7.0.2/24", "fd07::2/64", "default via 10.7.0.1 dev eth0", "fd99::/16 via fd07::1", "mtu 1500"]
    {
        assert!(inside.contains(expected), "{expected}: {inside}");
    }
    let listed = sandbox.list_interfaces().await.unwrap();
    assert!(
        listed.iter().any(|interface| interface.name == "eth0" && interface.addresses.len() >= 2),
        "{listed:?}"
    );
    let routes = sandbox.list_routes().await.unwrap();
    assert!(routes.iter().any(|route| route.destination.is_none() && !route.ipv6), "{routes:?}");
    sandbox.delete(DeleteMode::Force).await.unwrap();
    wire.assert_as_found();
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_veth_over_macvtap() {
    let (stage, wire) = (Stage::new().await, Wire::veth());
    let mut config = wire.config(&stage);
    config.network_config.interworking_model = NetInterworkingModel::Macvtap;
    whole_tour(&stage, &wire, config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_large_packets_and_several_queues() {
    let stage = Stage::new().await;
    let wire = Wire::new(|ns, host| {
        ns.join("eth0", host, "v0");
        ns.ip("link set eth0 mtu 9000");
        host.ip("link set v0 mtu 9000");
        address(ns, host, "eth0", "v0");
    });
    let mut config = wire.config(&stage);
    config.network_config.queues = 2;
    config.hypervisor_config.num_vcpus = 2;
    let (sandbox, container) = run(&stage.runtime(), config).await;
    assert!(say(&container, "ip link show eth0").await.contains("mtu 9000"));
    for host in HOST {
        ping(&container, host, 8900).await;
        transfer(&stage, &container, &wire.host, host).await;
    }
    sandbox.delete(DeleteMode::Force).await.unwrap();
    wire.assert_as_found();
}

/// A bridge in the host's namespace, and a tap on it that nobody holds: the machine opens it in the namespace that is
/// the host's and its own.
#[tokio::test(flavor = "multi_thread")]
async fn vm_tap() {
    let stage = Stage::new().await;
    // The tap must be in the sandbox's namespace, so the bridge is there too, and a veth leads on.
    let wire = Wire::new(|ns, host| {
        ns.ip("link add br0 type bridge");
        ns.ip("link set br0 up");
        ns.ip("tuntap add tap0 mode tap");
        ns.ip("link set tap0 master br0 up");
        ns.join("uplink", host, "v0");
        ns.ip("link set uplink master br0");
        host.ip("addr add 10.7.0.1/24 dev v0");
        host.ip("addr add fd07::1/64 dev v0 nodad");
        ns.ip("addr add 10.7.0.2/24 dev tap0");
        ns.ip("addr add fd07::2/64 dev tap0 nodad");
    });
    let config = wire.config(&stage);
    whole_tour(&stage, &wire, config).await;
}

/// A macvtap and a macvlan of the sandbox's namespace, on a link of the host's.
#[tokio::test(flavor = "multi_thread")]
async fn vm_macvtap_and_bridged_macvlan() {
    let stage = Stage::new().await;
    for kind in ["macvtap", "macvlan"] {
        let wire = Wire::new(|ns, host| {
            host.ip("link add low type veth peer name v0");
            host.ip("link set low up");
            host.ip("link set v0 up");
            host.ip(&format!("link add link low name mv0 type {kind} mode bridge"));
            give(host, "mv0", ns);
            ns.ip("link set mv0 up");
            address(ns, host, "mv0", "v0");
        });
        let config = wire.config(&stage);
        whole_tour(&stage, &wire, config).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_microvm_has_its_interfaces_from_the_start() {
    let (stage, wire) = (Stage::new().await, Wire::veth());
    let mut config = wire.config(&stage);
    config.hypervisor_config.hypervisor_machine_type = MachineType::Microvm;
    let (sandbox, container) = run(&stage.runtime(), config).await;
    ping(&container, HOST[0], 56).await;
    transfer(&stage, &container, &wire.host, HOST[1]).await;
    let eth0 = sandbox.list_interfaces().await.unwrap().into_iter().find(|one| one.name == "eth0").unwrap();
    assert_eq!(sandbox.add_interface(eth0).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(sandbox.remove_interface("eth0").await.unwrap_err().kind(), ErrorKind::WrongState);
    sandbox.delete(DeleteMode::Force).await.unwrap();
    wire.assert_as_found();
}

/// Two sandboxes on one bridge of a third namespace.
#[tokio::test(flavor = "multi_thread")]
async fn vm_two_sandboxes_reach_each_other() {
    let stage = Stage::new().await;
    let host = TestNetNs::new();
    host.ip("link add br0 type bridge");
    host.ip("link set br0 up");
    let spaces = [TestNetNs::new(), TestNetNs::new()];
    let runtime = stage.runtime();
    let mut running = Vec::new();
    for (place, ns) in spaces.iter().enumerate() {
        ns.join("eth0", &host, &format!("port{place}"));
        host.ip(&format!("link set port{place} master br0"));
        ns.ip(&format!("addr add 10.7.0.{}/24 dev eth0", place + 2));
        let mut config = stage.config(&format!("box{place}"));
        config.network_config.netns_path = Some(ns.path().to_owned());
        config.containers = vec![stage.shell("c", "sleep 1000")];
        running.push(run(&runtime, config).await);
    }
    let [(one, here), (other, there)] = running.try_into().unwrap();
    ping(&here, "10.7.0.3", 56).await;
    let bytes = wire::blob();
    std::fs::write(stage.rootfs.path().join("srv/blob"), &bytes).unwrap();
    let script = "nc -l -p 7000 -e cat /srv/blob";
    let server = there.exec(virtcontainers::Cmd::new(["sh", "-c", script])).await.unwrap();
    let fetch = "for i in $(seq 100); do nc 10.7.0.3 7000 > /tmp/got 2>/dev/null && break; sleep 0.1; done; sha256sum < /tmp/got";
    assert!(say(&here, fetch).await.starts_with(&wire::sum(&bytes)));
    assert_eq!(output(&server).await.1, 0);
    one.delete(DeleteMode::Force).await.unwrap();
    other.delete(DeleteMode::Force).await.unwrap();
}
