//! Which endpoint serves which link, as a table.
#![expect(clippy::unwrap_used, reason = "what tests share fails the test")]

use std::path::PathBuf;

use virtcontainers_network::{
    Endpoint, EndpointOptions, Link, LinkKind, NetworkError,
    endpoint::{MAX_QUEUES, socket_of},
    scan::PciDevice,
};
use virtcontainers_types::NetInterworkingModel::{self, Default, Macvtap, None as NoModel, TcFilter};

fn link(kind: LinkKind) -> Link {
    Link {
        index: 5,
        name: "eth0".to_owned(),
        kind,
        mac: Some("02:00:00:00:00:05".parse().unwrap()),
        mtu: 1450,
        up: true,
        no_arp: false,
        addresses: vec!["10.0.0.5/24".parse().unwrap()],
        below: None,
        master: None,
        pci: None,
        carries_vlans: false,
        carries_others: false,
    }
}

/// The kind chosen, `-` for none, `model` or `link` for a refusal.
fn chosen(link: &Link, model: NetInterworkingModel) -> String {
    match Endpoint::choose(link, &EndpointOptions { model, ..EndpointOptions::new("net0") }) {
        Ok(Some(endpoint)) => endpoint.endpoint_type().to_string(),
        Ok(None) => "-".to_owned(),
        Err(NetworkError::ModelCannotServe { model: named, link, .. }) => {
            assert_eq!((named, link.as_str()), (model, "eth0"));
            "model".to_owned()
        }
        Err(NetworkError::UnsupportedLink { link, .. }) => {
            assert_eq!(link, "eth0");
            "link".to_owned()
        }
        Err(other) => unreachable!("{other}"),
    }
}

#[test]
fn each_kind_with_each_model() {
    let tap = |held| LinkKind::Tap { multi_queue: false, held, vnet_hdr: false };
    let named = |kind: &str| LinkKind::Other { kind: kind.to_owned() };
    let table = [
        // kind of link, then what it becomes with tcfilter, macvtap, none
        (LinkKind::Veth, ["veth", "veth", "model"]),
        (LinkKind::Vlan, ["veth", "veth", "model"]),
        (LinkKind::Device, ["veth", "veth", "model"]),
        (named("dummy"), ["veth", "veth", "model"]),
        (LinkKind::Macvlan, ["bridged-macvlan", "model", "model"]),
        (LinkKind::Ipvlan, ["ip-vlan", "model", "model"]),
        (LinkKind::Macvtap, ["macvtap"; 3]),
        (tap(false), ["tap"; 3]),
        (tap(true), ["tuntap", "tuntap", "model"]),
        (LinkKind::Tun, ["link"; 3]),
        (LinkKind::Loopback, ["-"; 3]),
        (LinkKind::Bridge, ["-"; 3]),
        (LinkKind::FallbackTunnel { kind: "sit".to_owned() }, ["-"; 3]),
    ];
    for (kind, expected) in table {
        let found = [TcFilter, Macvtap, NoModel].map(|model| chosen(&link(kind.clone()), model));
        assert_eq!(found, expected, "{kind:?}");
        assert_eq!(chosen(&link(kind.clone()), Default), expected[0], "{kind:?}, the default");
    }
}

#[test]
fn circumstances_decide_too() {
    let veth = || link(LinkKind::Veth);
    let wire = |link: Link| chosen(&link, TcFilter);
    assert_eq!(wire(Link { up: false, ..veth() }), "-");
    assert_eq!(wire(Link { master: Some(9), ..veth() }), "-");
    let tap = link(LinkKind::Tap { multi_queue: false, held: false, vnet_hdr: false });
    assert_eq!(wire(Link { master: Some(9), ..tap.clone() }), "tap", "a bridge's port is what taps are for");
    assert_eq!(wire(Link { carries_others: true, ..veth() }), "-");
    assert_eq!(wire(Link { carries_vlans: true, ..veth() }), "veth");
    assert_eq!(wire(Link { carries_vlans: true, addresses: vec![], ..veth() }), "-", "nothing but a trunk");
    assert_eq!(wire(Link { mac: None, ..veth() }), "link");
    assert_eq!(wire(Link { mac: "01:00:5e:00:00:01".parse().ok(), ..veth() }), "link");
    assert_eq!(wire(Link { name: "vctap0123abcd".to_owned(), ..tap }), "-", "made by this library");
    let pci = PciDevice { address: "0000:03:00.0".to_owned(), driver: Some("ixgbe".to_owned()) };
    assert_eq!(wire(Link { pci: Some(pci), ..link(LinkKind::Device) }), "physical");
}

#[test]
fn queues_are_counted() {
    for asked in [0, MAX_QUEUES + 1, u32::MAX] {
        let options = EndpointOptions { queues: asked, ..EndpointOptions::new("net0") };
        let error = Endpoint::choose(&link(LinkKind::Veth), &options).unwrap_err();
        assert!(matches!(error, NetworkError::Queues { asked: named, .. } if named == asked), "{error}");
    }
}

#[test]
fn a_process_that_serves_virtio_queues_is_found_by_address() {
    let dir = tempfile::tempdir().unwrap();
    let veth = link(LinkKind::Veth);
    assert_eq!(socket_of(&veth, dir.path()), None);
    let socket = dir.path().join("vhostuser_10.0.0.5/vhu.sock");
    std::fs::create_dir(socket.parent().unwrap()).unwrap();
    std::fs::write(&socket, "").unwrap();
    let found: Option<PathBuf> = socket_of(&veth, dir.path());
    assert_eq!(found.as_ref(), Some(&socket));
    let options = EndpointOptions { vhost_user: found, queues: 2, ..EndpointOptions::new("net0") };
    let endpoint = Endpoint::choose(&veth, &options).unwrap().unwrap();
    assert_eq!((endpoint.endpoint_type().as_str(), endpoint.queues()), ("vhost-user", 2));
}

#[test]
fn the_agent_is_told_what_the_link_is_like() {
    let veth = Link { no_arp: true, ..link(LinkKind::Veth) };
    let endpoint = Endpoint::choose(&veth, &EndpointOptions::new("net0")).unwrap().unwrap();
    let interface = endpoint.interface("02/00".parse().ok());
    assert_eq!(
        serde_json::to_value(&interface).unwrap(),
        serde_json::json!({
            "device": "eth0", "name": "eth0", "mac": "02:00:00:00:00:05", "addresses": ["10.0.0.5/24"],
            "mtu": 1450, "pci_path": "02/00", "kind": "veth", "raw_flags": 0x80,
        })
    );
}

#[test]
fn names_for_what_is_made_differ_and_fit() {
    let choose = || {
        let endpoint = Endpoint::choose(&link(LinkKind::Veth), &EndpointOptions::new("net0"));
        endpoint.unwrap().unwrap().join().unwrap().clone()
    };
    let (one, other) = (choose(), choose());
    assert_ne!((one.tap.clone(), one.mark), (other.tap, other.mark));
    assert!(one.tap.starts_with("vctap") && one.tap.len() == 13, "{}", one.tap);
}
