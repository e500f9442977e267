//! Interfaces, addresses and routes that change while traffic flows between a real virtual machine and a namespace of the
//! test. They need what the tests of `vm_network` need; what is missing fails the test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test tells by panicking, and how long things took"
)]

mod guest;
#[path = "guest/wire.rs"]
mod wire;

use std::time::{Duration, Instant};

use guest::{Stage, output};
use virtcontainers::{Cmd, CniConfig, DeleteMode, Interface, NetworkConfig};
use virtcontainers_testkit::TestNetNs;
use wire::{HOST, Wire, ping, run, say, transfer, transfer_in};

fn named(device: &str) -> Interface {
    serde_json::from_value(serde_json::json!({ "name": device, "mac": "02:00:00:00:00:01" })).unwrap()
}

/// `eth1` beside `eth0`, with a network of its own.
fn second(wire: &Wire) {
    wire.ns.join("eth1", &wire.host, "v1");
    wire.ns.ip("addr add 10.8.0.2/24 dev eth1");
    wire.host.ip("addr add 10.8.0.1/24 dev v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_interfaces_come_and_go_while_traffic_flows() {
    let (stage, wire) = (Stage::new().await, Wire::veth());
    let (sandbox, container) = run(&stage.runtime(), wire.config(&stage)).await;
    let traffic = format!("ping -c 60 -i 0.2 -W 5 {}", HOST[0]);
    let traffic = container.exec(Cmd::new(["sh", "-c", &traffic])).await.unwrap();

    second(&wire);
    let before = wire.ns.snapshot();
    let begin = Instant::now();
    let told = sandbox.add_interface(named("eth1")).await.unwrap();
    println!("hot attach to configured address: {:?}", begin.elapsed());
    assert!(told.pci_path.is_some());
    ping(&container, "10.8.0.1", 56).await;
    transfer(&stage, &container, &wire.host, "10.8.0.1").await;

    // Another address, another route.
    wire.ns.ip("addr add 10.8.1.2/24 dev eth1");
    wire.ns.ip("route add 10.66.0.0/16 via 10.8.0.1");
    wire.host.ip("addr add 10.8.1.1/24 dev v1");
    wire.host.ip("addr add 10.66.0.1/32 dev lo");
    let changes = sandbox.sync_network().await.unwrap();
    assert_eq!((changes.updated, changes.routes), (vec!["eth1".to_owned()], true));
    ping(&container, "10.8.1.1", 56).await;
    ping(&container, "10.66.0.1", 56).await;
    // By request, as it were by hand.
    let routes = sandbox.list_routes().await.unwrap();
    let fewer = routes.into_iter().filter(|route| route.device != "eth1").collect();
    let left = sandbox.update_routes(fewer).await.unwrap();
    assert!(!left.iter().any(|route| route.gateway == Some("10.8.0.1".parse().unwrap())), "{left:?}");
    wire.ns.ip("addr del 10.8.1.2/24 dev eth1");
    wire.ns.ip("route del 10.66.0.0/16 via 10.8.0.1");

    sandbox.remove_interface("eth1").await.unwrap();
    assert!(!say(&container, "ip link").await.contains("eth1"));
    assert_eq!(wire.ns.snapshot().changes_since(&before), [""; 0]);
    let (text, code) = output(&traffic).await;
    assert!(code == 0 && text.contains(" 0% packet loss"), "{text}");
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_fifty_interfaces_come_and_go_without_losing_a_slot() {
    let (stage, wire) = (Stage::new().await, Wire::veth());
    let (sandbox, container) = run(&stage.runtime(), wire.config(&stage)).await;
    second(&wire);
    let before = wire.ns.snapshot();
    let begin = Instant::now();
    for _ in 0..50 {
        sandbox.add_interface(named("eth1")).await.unwrap();
        sandbox.remove_interface("eth1").await.unwrap();
    }
    println!("50 interfaces plugged and unplugged in {:?}", begin.elapsed());
    assert_eq!(wire.ns.snapshot().changes_since(&before), [""; 0]);
    sandbox.add_interface(named("eth1")).await.unwrap();
    ping(&container, "10.8.0.1", 56).await;
    ping(&container, HOST[0], 56).await;
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

/// The standard plugins fill the namespace; a port of the host leads to the container. Afterwards nothing of it is left,
/// in the sandbox's directory or in the host's namespace.
#[tokio::test(flavor = "multi_thread")]
async fn vm_cni_network_with_a_published_port() {
    let stage = Stage::new().await;
    let (host, conf) = (TestNetNs::new(), tempfile::tempdir().unwrap());
    let leases = conf.path().join("leases");
    let list = serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "lab",
        "plugins": [
            {
                "type": "bridge", "bridge": "br0", "isGateway": true, "ipMasq": false,
                "ipam": {
                    "type": "host-local", "dataDir": leases, "ranges": [[{ "subnet": "10.7.0.0/24" }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
                "dns": { "nameservers": ["10.7.0.1"], "search": ["lab.test"] },
            },
            { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true },
        ],
    });
    std::fs::write(conf.path().join("lab.conflist"), list.to_string()).unwrap();
    let mut config = stage.config("box");
    config.containers = vec![stage.shell("c", "sleep 1000")];
    config.network_config = NetworkConfig {
        cni: Some(CniConfig {
            network: "lab".into(),
            conf_dir: Some(conf.path().to_owned()),
            host_netns: Some(host.path().to_owned()),
            port_mappings: vec!["8080:80".parse().unwrap()],
            ..CniConfig::default()
        }),
        ..NetworkConfig::default()
    };
    let (sandbox, container) = run(&stage.runtime(), config).await;
    assert_eq!(sandbox.netns_path().await.unwrap(), Some(stage.root.path().join("sandboxes/box/netns")));
    ping(&container, "10.7.0.1", 56).await;
    transfer(&stage, &container, &host, "10.7.0.1").await;
    transfer_in(&container, 80, &host, "10.7.0.1", 8080).await;
    assert!(leases.join("lab/10.7.0.2").exists());
    sandbox.delete(DeleteMode::Force).await.unwrap();
    assert!(!leases.join("lab/10.7.0.2").exists(), "the address is free again");
    assert!(!host.run("iptables-save").contains("8080"), "the port is free again");
    assert_eq!(host.links().iter().filter(|link| link.starts_with("veth")).count(), 0);
}

/// A process of the sandbox sees what changes in the namespace, and the guest follows.
#[tokio::test(flavor = "multi_thread")]
async fn vm_netmon_keeps_the_guest_in_step() {
    let (stage, wire) = (Stage::new().await, Wire::veth());
    let virtc = guest::helper().with_file_name("virtc");
    assert!(virtc.exists(), "{} is missing: `cargo build -p virtc`", virtc.display());
    let mut config = wire.config(&stage);
    config.network_config.netmon.enable = true;
    config.network_config.netmon.path = Some(virtc);
    let (sandbox, container) = run(&stage.runtime(), config).await;
    let status = sandbox.status().await.unwrap();
    assert!(status.processes.iter().any(|process| process.role == "netmon"), "{status:?}");
    second(&wire);
    let until = Instant::now() + Duration::from_secs(60);
    while !say(&container, "ip addr").await.contains("10.8.0.2/24") {
        assert!(Instant::now() < until, "{}", say(&container, "ip addr").await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ping(&container, "10.8.0.1", 56).await;
    wire.ns.ip("link del eth1");
    while say(&container, "ip addr").await.contains("eth1") {
        assert!(Instant::now() < until, "it stays");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    sandbox.delete(DeleteMode::Force).await.unwrap();
    wire.assert_as_found();
}
