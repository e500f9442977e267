use ttrpc::Code;
use virtcontainers_types::net::Route;

use super::{MAC, OTHER_MAC, described, ip, route, update, with_links};
use crate::network::route::{self as routes, Entry, Step, plan};

/// Both links up, with addresses.
async fn prepared() {
    update(&described("eth0", MAC, &["10.0.0.2/24", "2001:db8::2/64"])).await;
    update(&described("eth1", OTHER_MAC, &["10.1.0.2/24"])).await;
}

fn sorted(mut routes: Vec<Route>) -> Vec<Route> {
    routes.sort_by_key(|route| format!("{route:?}"));
    routes
}

#[test]
fn the_tables_become_the_given_routes_and_list_as_them() {
    with_links(async || {
        prepared().await;
        ip("route add 172.16.0.0/12 via 10.0.0.9");
        // A gateway before the route that it needs, a gateway that only the flag makes good, and one of each field.
        let wanted = vec![
            route("", "192.168.9.1", "eth0"),
            Route { source: Some("10.0.0.2".parse().unwrap()), ..route("192.168.9.1/32", "", "eth0") },
            Route { flags: 4, mtu: 1300, ..route("10.8.0.0/16", "172.31.0.1", "eth1") },
            route("2001:db8:7::/48", "", "eth0"),
            route("::/0", "fe80::1", "eth0"),
            Route {
                source: Some("2001:db8::2".parse().unwrap()),
                ..route("2001:db8:8::/48", "2001:db8::9", "eth0")
            },
        ];
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|route| Route { destination: route.destination.filter(|to| to.prefix_len() > 0), ..route })
            .collect();
        assert_eq!(routes::update(wanted.clone()).unwrap(), wanted, "in the order that was given");
        assert_eq!(sorted(routes::list().unwrap()), sorted(wanted.clone()));
        let shown = ip("route show");
        assert!(shown.contains("default via 192.168.9.1 dev eth0"), "{shown}");
        assert!(
            shown.contains("10.8.0.0/16 via 172.31.0.1 dev eth1 proto static onlink mtu 1300"),
            "{shown}"
        );
        assert!(shown.contains("10.0.0.0/24 dev eth0 proto kernel"), "the kernel's stay: {shown}");
        assert!(!shown.contains("172.16.0.0"), "{shown}");
        assert!(ip("-6 route show").contains("default via fe80::1 dev eth0"));

        assert_eq!(routes::update(routes::list().unwrap()).unwrap().len(), wanted.len());
        assert_eq!(routes::update(Vec::new()).unwrap(), []);
        assert_eq!(routes::list().unwrap(), []);
        assert!(ip("route show").contains("proto kernel"));
    });
}

#[test]
fn what_the_kernel_made_is_there_already() {
    with_links(async || {
        prepared().await;
        let kernels = Route { source: Some("10.0.0.2".parse().unwrap()), ..route("10.0.0.0/24", "", "eth0") };
        assert_eq!(
            routes::update(vec![kernels, route("", "10.0.0.1", "eth0")]).unwrap(),
            [route("", "10.0.0.1", "eth0")]
        );
        // Another way to the same place is another route.
        let other = route("10.0.0.0/24", "10.1.0.1", "eth1");
        assert_eq!(routes::update(vec![other.clone()]).unwrap(), [other]);
        assert_eq!(ip("route show 10.0.0.0/24").lines().count(), 2);
    });
}

#[test]
fn of_several_ways_the_first_is_preferred() {
    with_links(async || {
        prepared().await;
        let mut ways = vec![
            route("", "10.1.0.1", "eth1"),
            route("", "10.0.0.1", "eth0"),
            route("10.5.0.0/16", "10.0.0.1", "eth0"),
        ];
        assert_eq!(routes::update(ways.clone()).unwrap(), ways);
        assert!(ip("route get 8.8.8.8").contains("via 10.1.0.1"));
        ways.swap(0, 1);
        assert_eq!(routes::update(ways.clone()).unwrap(), ways);
        assert!(ip("route get 8.8.8.8").contains("via 10.0.0.1"));
    });
}

#[test]
fn a_route_that_cannot_be_leaves_all_as_it_was() {
    with_links(async || {
        prepared().await;
        let before = vec![
            route("", "10.0.0.1", "eth0"),
            route("10.5.0.0/16", "10.0.0.3", "eth0"),
            route("2001:db8:8::/48", "2001:db8::9", "eth0"),
        ];
        let before = routes::update(before).unwrap();
        let wrong = vec![
            route("", "10.1.0.1", "eth1"),
            route("10.6.0.0/16", "10.0.0.4", "eth0"),
            route("10.7.0.0/16", "203.0.113.1", "eth0"),
        ];
        let error = routes::update(wrong).unwrap_err();
        assert_eq!(error.code(), Code::INVALID_ARGUMENT, "{error}");
        assert!(error.to_string().contains("10.7.0.0/16 by way of 203.0.113.1 over eth0"), "{error}");
        assert_eq!(sorted(routes::list().unwrap()), sorted(before.clone()));

        let error = routes::update(vec![route("", "10.0.0.1", "eth5")]).unwrap_err();
        assert_eq!(error.code(), Code::NOT_FOUND);
        assert!(error.to_string().contains("eth5"), "{error}");
        assert_eq!(sorted(routes::list().unwrap()), sorted(before));
    });
}

fn entry(route: Route, link: u32, is_kernels: bool) -> Entry {
    Entry { route, link, metric: 0, is_kernels }
}

#[test]
fn a_plan_adds_before_it_removes_and_replaces_where_it_can() {
    let at = |destination, gateway| entry(route(destination, gateway, "eth0"), 2, false);
    let held = [at("10.1.0.0/16", "10.0.0.1"), at("", "10.0.0.1"), at("10.3.0.0/16", "10.0.0.1")];
    let wanted = [at("", "10.0.0.7"), at("10.3.0.0/16", "10.0.0.1"), at("10.4.0.0/16", "")];
    let steps = plan(&held, &wanted);
    let [Step::Add(added), Step::Replace { old, new }, Step::Remove(removed)] = &steps[..] else {
        panic!("{steps:?}")
    };
    assert_eq!((added, removed), (&wanted[2], &held[0]));
    assert_eq!((old, new), (&held[1], &wanted[0]));
    assert_eq!(plan(&wanted, &wanted), []);
}
