use ttrpc::Code;
use virtcontainers_agent_protocol::api::{
    agent::{ARPNeighbors, Routes},
    types,
};

use crate::network::wire;

fn address(address: &str, mask: &str) -> types::IPAddress {
    types::IPAddress { address: address.to_owned(), mask: mask.to_owned(), ..Default::default() }
}

fn good_interface() -> types::Interface {
    types::Interface {
        device: "tap0".into(),
        name: "eth0".into(),
        IPAddresses: vec![address("10.0.0.2", "24"), address("10.0.0.2", "24"), address("2001:db8::2", "")],
        mtu: 1500,
        hwAddr: "02:00:00:00:00:01".into(),
        devicePath: "02/00".into(),
        type_: "veth".into(),
        raw_flags: 0x80,
        ..Default::default()
    }
}

#[test]
fn an_interface_is_understood_and_told_again() {
    let interface = wire::interface(good_interface()).unwrap();
    let nets: Vec<_> = interface.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["10.0.0.2/24", "2001:db8::2/128"], "each once");
    let again = wire::to_interface(interface.clone());
    assert_eq!(again.devicePath, "02/00");
    assert_eq!(wire::interface(again).unwrap(), interface);
    let by_path = wire::interface(types::Interface { hwAddr: String::new(), ..good_interface() }).unwrap();
    assert_eq!(by_path.mac.0, [0; 6]);
}

#[test]
fn an_interface_that_makes_no_sense_is_refused_by_field() {
    let good = good_interface;
    let with = |wrong: types::IPAddress| types::Interface { IPAddresses: vec![wrong], ..good() };
    for (wrong, field) in [
        (types::Interface { name: String::new(), ..good() }, "interface.name"),
        (types::Interface { name: "lo".into(), ..good() }, "interface.name"),
        (types::Interface { name: "../../etc".into(), ..good() }, "interface.name"),
        (types::Interface { name: "sixteen-bytes-16".into(), ..good() }, "interface.name"),
        (types::Interface { name: "a b".into(), ..good() }, "interface.name"),
        (types::Interface { name: "eth%d".into(), ..good() }, "interface.name"),
        (types::Interface { hwAddr: "02:00".into(), ..good() }, "interface.hwAddr"),
        (types::Interface { hwAddr: "01:00:00:00:00:01".into(), ..good() }, "interface.hwAddr"),
        (types::Interface { hwAddr: String::new(), devicePath: String::new(), ..good() }, "interface.hwAddr"),
        (types::Interface { devicePath: "../x".into(), ..good() }, "interface.devicePath"),
        (types::Interface { mtu: 1 << 40, ..good() }, "interface.mtu"),
        (with(address("10.0.0", "24")), "interface.IPAddresses"),
        (with(address("0.0.0.0", "0")), "interface.IPAddresses"),
        (with(address("ff02::1", "64")), "interface.IPAddresses"),
        (with(address("10.0.0.1", "33")), "interface.IPAddresses.mask"),
        (with(address("10.0.0.1", "255.255.255.0")), "interface.IPAddresses.mask"),
    ] {
        let error = wire::interface(wrong).unwrap_err();
        assert_eq!(error.code(), Code::INVALID_ARGUMENT);
        assert!(error.to_string().starts_with(&format!("{field}: ")), "{field}: {error}");
    }
    let many = types::Interface { IPAddresses: vec![address("10.0.0.1", "8"); 1025], ..good() };
    assert_eq!(wire::interface(many).unwrap_err().code(), Code::RESOURCE_EXHAUSTED);
}

fn good_route() -> types::Route {
    types::Route {
        dest: "10.1.0.0/16".into(),
        gateway: "10.0.0.1".into(),
        device: "eth0".into(),
        source: "10.0.0.2".into(),
        flags: 4,
        mtu: 1400,
        ..Default::default()
    }
}

fn unknown_family() -> types::Route {
    types::Route { family: protobuf::EnumOrUnknown::from_i32(7), ..good_route() }
}

fn routes(routes: Vec<types::Route>) -> Routes {
    Routes { Routes: routes, ..Default::default() }
}

#[test]
fn routes_are_understood_and_told_again() {
    let v6 = types::IPFamily::v6.into();
    let told = vec![
        good_route(),
        types::Route { device: "eth0".into(), scope: 253, ..Default::default() },
        types::Route { device: "eth0".into(), family: v6, ..Default::default() },
        types::Route {
            dest: "::/0".into(),
            gateway: "fe80::1".into(),
            device: "eth0".into(),
            ..Default::default()
        },
        types::Route {
            dest: "10.9.9.9".into(),
            device: "eth0".into(),
            source: "10.0.0.2/24".into(),
            ..Default::default()
        },
    ];
    let understood = wire::routes(routes(told)).unwrap();
    let seen: Vec<_> = understood
        .iter()
        .map(|route| (route.destination.map(|to| to.to_string()), route.ipv6, route.scope))
        .collect();
    let to = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen,
        [
            (to("10.1.0.0/16"), false, 0),
            (None, false, 253),
            (None, true, 0),
            (None, true, 0),
            (to("10.9.9.9/32"), false, 0)
        ]
    );
    assert_eq!(understood[4].source, "10.0.0.2".parse().ok());
    assert_eq!(wire::routes(wire::to_routes(understood.clone())).unwrap(), understood);
}

#[test]
fn a_route_that_makes_no_sense_is_refused_by_field() {
    let good = good_route;
    for (wrong, field) in [
        (types::Route { device: String::new(), ..good() }, "routes.device"),
        (types::Route { dest: "10.1.0.1/16".into(), ..good() }, "routes.dest"),
        (types::Route { dest: "default".into(), ..good() }, "routes.dest"),
        (types::Route { gateway: "eth0".into(), ..good() }, "routes.gateway"),
        (types::Route { source: "x/24".into(), ..good() }, "routes.source"),
        (types::Route { gateway: "fe80::1".into(), ..good() }, "routes"),
        (types::Route { scope: 256, ..good() }, "routes.scope"),
        (unknown_family(), "routes.family"),
    ] {
        let error = wire::routes(routes(vec![good(), wrong])).unwrap_err();
        assert_eq!(error.code(), Code::INVALID_ARGUMENT);
        assert!(error.to_string().starts_with(&format!("{field}: ")), "{field}: {error}");
    }
    let error = wire::routes(routes(vec![good(); 8193])).unwrap_err();
    assert_eq!(error.code(), Code::RESOURCE_EXHAUSTED);
}

fn good_neighbor() -> types::ARPNeighbor {
    types::ARPNeighbor {
        toIPAddress: Some(address("10.0.0.1", "32")).into(),
        device: "eth0".into(),
        lladdr: "02:00:00:00:00:02".into(),
        state: 0x80,
        ..Default::default()
    }
}

#[test]
fn neighbours_are_understood_or_refused_by_field() {
    let list = |neighbor| ARPNeighbors { ARPNeighbors: vec![neighbor], ..Default::default() };
    let [good] = &wire::neighbors(list(good_neighbor())).unwrap()[..] else { panic!() };
    assert_eq!((good.address.to_string().as_str(), good.state), ("10.0.0.1", 0x80));
    let good = good_neighbor;
    for (wrong, field) in [
        (types::ARPNeighbor { toIPAddress: None.into(), ..good() }, "neighbors.toIPAddress"),
        (
            types::ARPNeighbor { toIPAddress: Some(address("224.0.0.1", "")).into(), ..good() },
            "neighbors.toIPAddress",
        ),
        (types::ARPNeighbor { device: "lo".into(), ..good() }, "neighbors.device"),
        (types::ARPNeighbor { lladdr: String::new(), ..good() }, "neighbors.lladdr"),
        (types::ARPNeighbor { state: -1, ..good() }, "neighbors.state"),
        (types::ARPNeighbor { flags: 256, ..good() }, "neighbors.flags"),
    ] {
        let error = wire::neighbors(list(wrong)).unwrap_err();
        assert_eq!(error.code(), Code::INVALID_ARGUMENT);
        assert!(error.to_string().starts_with(&format!("{field}: ")), "{field}: {error}");
    }
}
