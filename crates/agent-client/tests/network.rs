//! Interfaces, routes and neighbours: as they go out, and as a guest tells them, which may be anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod guest;

use std::fmt::Debug;

use guest::{Answer, Rig};
use ttrpc::Code;
use virtcontainers_agent_client::{
    Agent, AgentError, AgentErrorKind, NoopAgent,
    kata::reply,
    mock::{Method, MockAgent, MockFailure},
};
use virtcontainers_agent_protocol::api::{agent as wire, types};
use virtcontainers_types::net::{Interface, MacAddr, Neighbor, Route};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn interface() -> Interface {
    Interface {
        device: "tap0".into(),
        name: "eth0".into(),
        mac: MAC,
        addresses: vec!["10.0.0.2/24".parse().unwrap(), "2001:db8::2/64".parse().unwrap()],
        mtu: 9000,
        pci_path: Some("02/00".parse().unwrap()),
        kind: "veth".into(),
        raw_flags: 0x80,
    }
}

fn interface_message() -> types::Interface {
    let address = |family: types::IPFamily, address: &str, mask: &str| types::IPAddress {
        family: family.into(),
        address: address.into(),
        mask: mask.into(),
        ..Default::default()
    };
    types::Interface {
        device: "tap0".into(),
        name: "eth0".into(),
        IPAddresses: vec![
            address(types::IPFamily::v4, "10.0.0.2", "24"),
            address(types::IPFamily::v6, "2001:db8::2", "64"),
        ],
        mtu: 9000,
        hwAddr: "02:00:00:00:00:01".into(),
        devicePath: "02/00".into(),
        type_: "veth".into(),
        raw_flags: 0x80,
        ..Default::default()
    }
}

fn routes() -> Vec<Route> {
    let whole = Route {
        destination: Some("10.1.0.0/16".parse().unwrap()),
        gateway: Some("10.0.0.1".parse().unwrap()),
        device: "eth0".into(),
        source: Some("10.0.0.2".parse().unwrap()),
        scope: 0,
        flags: 4,
        mtu: 1400,
        ipv6: false,
    };
    let default =
        Route { destination: None, gateway: None, source: None, scope: 253, ipv6: true, ..whole.clone() };
    vec![whole, default]
}

fn route_messages() -> Vec<types::Route> {
    let whole = types::Route {
        dest: "10.1.0.0/16".into(),
        gateway: "10.0.0.1".into(),
        device: "eth0".into(),
        source: "10.0.0.2".into(),
        flags: 4,
        mtu: 1400,
        ..Default::default()
    };
    let default = types::Route {
        device: "eth0".into(),
        scope: 253,
        flags: 4,
        mtu: 1400,
        family: types::IPFamily::v6.into(),
        ..Default::default()
    };
    vec![whole, default]
}

fn listed(routes: Vec<types::Route>) -> wire::Routes {
    wire::Routes { Routes: routes, ..Default::default() }
}

#[tokio::test]
async fn an_interface_goes_out_and_comes_back() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    assert_eq!(agent.update_interface(interface()).await.unwrap(), interface(), "the guest did not tell");
    let seen: wire::UpdateInterfaceRequest = guest.last("UpdateInterface");
    assert_eq!(seen.interface.unwrap(), interface_message());

    guest.answer("UpdateInterface", Answer::reply(&types::Interface { mtu: 1500, ..interface_message() }));
    let told = agent.update_interface(interface()).await.unwrap();
    assert_eq!(told, Interface { mtu: 1500, ..interface() });

    let all = wire::Interfaces { Interfaces: vec![interface_message()], ..Default::default() };
    guest.answer("ListInterfaces", Answer::reply(&all));
    assert_eq!(agent.list_interfaces().await.unwrap(), [interface()]);

    let nameless = Interface { name: String::new(), ..interface() };
    assert_eq!(agent.update_interface(nameless).await.unwrap_err().kind(), AgentErrorKind::InvalidArgument);
    guest.answer("UpdateInterface", Answer::Fail(Code::NOT_FOUND, "no device".into()));
    assert_eq!(agent.update_interface(interface()).await.unwrap_err().kind(), AgentErrorKind::NotFound);
    guest.answer("UpdateInterface", Answer::Fail(Code::UNIMPLEMENTED, "no".into()));
    assert_eq!(agent.update_interface(interface()).await.unwrap_err().kind(), AgentErrorKind::Unimplemented);
}

#[tokio::test]
async fn routes_and_neighbours_go_out_and_come_back() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    guest.answer("UpdateRoutes", Answer::reply(&listed(route_messages())));
    guest.answer("ListRoutes", Answer::reply(&listed(route_messages())));
    assert_eq!(agent.update_routes(routes()).await.unwrap(), routes());
    let seen: wire::UpdateRoutesRequest = guest.last("UpdateRoutes");
    assert_eq!(seen.routes.Routes, route_messages());
    assert_eq!(agent.list_routes().await.unwrap(), routes());

    let neighbor = Neighbor {
        address: "2001:db8::1".parse().unwrap(),
        device: "eth0".into(),
        mac: MAC,
        state: 0x80,
        flags: 2,
    };
    agent.add_arp_neighbors(vec![neighbor.clone()]).await.unwrap();
    let seen: wire::AddARPNeighborsRequest = guest.last("AddARPNeighbors");
    let [told] = &seen.neighbors.ARPNeighbors[..] else { panic!("{seen:?}") };
    assert_eq!((told.toIPAddress.address.as_str(), told.toIPAddress.mask.as_str()), ("2001:db8::1", "128"));
    assert_eq!(
        (told.device.as_str(), told.lladdr.as_str(), told.state, told.flags),
        ("eth0", "02:00:00:00:00:01", 0x80, 2)
    );
    let nowhere = Neighbor { device: String::new(), ..neighbor };
    let error = agent.add_arp_neighbors(vec![nowhere]).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::InvalidArgument);
}

/// The kata-agent fills in less than ours, lists the loopback interface, and writes some things otherwise.
#[test]
fn what_the_kata_agent_answers_is_taken() {
    let lo = types::Interface { name: "lo".into(), hwAddr: "00:00:00:00:00:00".into(), ..Default::default() };
    let tunnel = types::Interface { name: "sit0".into(), hwAddr: "00:00:00:00".into(), ..Default::default() };
    let bare = types::Interface { name: "tun0".into(), ..Default::default() };
    let all = wire::Interfaces { Interfaces: vec![lo, tunnel, bare], ..Default::default() };
    let all = reply::interfaces(all).unwrap();
    assert!(all.iter().all(|interface| interface.mac == MacAddr([0; 6])), "{all:?}");

    let told = listed(vec![
        types::Route { dest: "0.0.0.0/0".into(), gateway: "10.0.0.1".into(), ..Default::default() },
        types::Route { dest: "::/0".into(), gateway: "::".into(), ..Default::default() },
        types::Route { dest: "10.0.0.9".into(), source: "10.0.0.2/32".into(), ..Default::default() },
    ]);
    let seen = reply::routes(told).unwrap();
    let destinations: Vec<_> =
        seen.iter().map(|route| (route.destination.map(|to| to.to_string()), route.ipv6)).collect();
    assert_eq!(destinations, [(None, false), (None, true), (Some("10.0.0.9/32".into()), false)]);
    assert_eq!((seen[1].gateway, seen[2].source), (None, "10.0.0.2".parse().ok()));
}

fn assert_refused<T: Debug>(result: Result<T, AgentError>, method: &str, why: &str) {
    match result.unwrap_err() {
        AgentError::Protocol { method: of, reason } => {
            assert_eq!(of, method);
            assert!(reason.contains(why) && reason.len() < 300 && !reason.contains('\x1b'), "{reason}");
        }
        error => panic!("{error}"),
    }
}

#[test]
fn what_cannot_be_is_refused_by_its_name() {
    let address = |address: &str, mask: &str| types::IPAddress {
        address: address.into(),
        mask: mask.into(),
        ..Default::default()
    };
    let good = interface_message;
    let with = |address| types::Interface { IPAddresses: vec![address], ..good() };
    for (wrong, why) in [
        (with(address("10.0.0.1\x1b[2J", "24")), "address of interface \"eth0\""),
        (with(address("10.0.0.1", "33")), "address of interface \"eth0\""),
        (with(address("", "")), "address of interface \"eth0\""),
        (types::Interface { hwAddr: "02:00:00:00:00:0g".into(), ..good() }, "hardware address"),
        (types::Interface { hwAddr: "x".repeat(5000), ..good() }, "hardware address"),
        (types::Interface { devicePath: "../..".into(), ..good() }, "PCI path"),
        (types::Interface { mtu: 1 << 33, ..good() }, "MTU"),
        (types::Interface { name: "n".repeat(300), ..good() }, "name"),
        (types::Interface { IPAddresses: vec![address("10.0.0.1", "8"); 1025], ..good() }, "1025 addresses"),
    ] {
        let all = wire::Interfaces { Interfaces: vec![wrong.clone()], ..Default::default() };
        assert_refused(reply::interfaces(all), "ListInterfaces", why);
        assert_refused(reply::updated_interface(wrong), "UpdateInterface", why);
    }
    let many = wire::Interfaces { Interfaces: vec![good(); 1025], ..Default::default() };
    assert_refused(reply::interfaces(many), "ListInterfaces", "1025 network interfaces");

    let good = || route_messages().remove(0);
    for (wrong, why) in [
        (types::Route { dest: "default".into(), ..good() }, "destination of a route over \"eth0\""),
        (types::Route { gateway: "10.0.0".into(), ..good() }, "gateway"),
        (types::Route { source: "/".into(), ..good() }, "source"),
        (types::Route { scope: 256, ..good() }, "scope"),
        (types::Route { family: protobuf::EnumOrUnknown::from_i32(9), ..good() }, "family"),
        (types::Route { device: "d".repeat(300), ..good() }, "device"),
    ] {
        assert_refused(reply::routes(listed(vec![good(), wrong.clone()])), "ListRoutes", why);
        assert_refused(reply::updated_routes(listed(vec![wrong])), "UpdateRoutes", why);
    }
    assert_refused(reply::routes(listed(vec![good(); 8193])), "ListRoutes", "8193 routes");
}

#[tokio::test]
async fn the_mock_plays_back_what_it_was_told() {
    let mock = MockAgent::new();
    assert_eq!(mock.update_interface(interface()).await.unwrap(), interface());
    let renamed = Interface { name: "eth1".into(), ..interface() };
    mock.update_interface(renamed.clone()).await.unwrap();
    assert_eq!(
        mock.list_interfaces().await.unwrap(),
        std::slice::from_ref(&renamed),
        "it is the same by its address"
    );
    assert_eq!(mock.update_routes(routes()).await.unwrap(), routes());
    mock.update_routes(routes()[..1].to_vec()).await.unwrap();
    assert_eq!(mock.list_routes().await.unwrap(), routes()[..1]);
    let neighbor = |mac| Neighbor {
        address: "10.0.0.1".parse().unwrap(),
        device: "eth1".into(),
        mac,
        state: 0,
        flags: 0,
    };
    mock.add_arp_neighbors(vec![neighbor(MAC), neighbor(MacAddr([2; 6]))]).await.unwrap();
    assert_eq!(mock.network().neighbors, [neighbor(MacAddr([2; 6]))]);
    assert_eq!(mock.network().interfaces, [renamed]);

    mock.set_network_devices(vec![(MacAddr([2; 6]), Some("03".parse().unwrap()))]);
    assert_eq!(mock.list_interfaces().await.unwrap(), [], "it went with its device");
    let error = mock.update_interface(interface()).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::NotFound);
    let there = Interface { pci_path: Some("03".parse().unwrap()), ..interface() };
    mock.update_interface(there.clone()).await.unwrap();
    mock.set_routes(Vec::new());
    mock.set_interfaces(vec![interface(), there]);
    assert_eq!((mock.network().interfaces.len(), mock.network().routes.len()), (2, 0));

    mock.fail(Method::UpdateRoutes, 1, MockFailure::Unimplemented);
    assert_eq!(mock.update_routes(routes()).await.unwrap_err().kind(), AgentErrorKind::Unimplemented);
    assert_eq!((mock.count(Method::UpdateInterface), mock.count(Method::AddArpNeighbors)), (4, 1));
}

#[tokio::test]
async fn the_agent_that_is_not_there_says_yes() {
    assert_eq!(NoopAgent.update_interface(interface()).await.unwrap(), interface());
    assert_eq!(NoopAgent.update_routes(routes()).await.unwrap(), routes());
    assert_eq!(NoopAgent.list_interfaces().await.unwrap(), []);
    assert_eq!(NoopAgent.list_routes().await.unwrap(), []);
    NoopAgent.add_arp_neighbors(Vec::new()).await.unwrap();
}
