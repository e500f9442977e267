//! What a scan tells of a namespace. Needs root, iproute2 and util-linux.
#![expect(clippy::unwrap_used, reason = "what tests share fails the test")]

use ipnet::IpNet;
use virtcontainers_network::{LinkKind, NetNs, NetworkInfo, scan};
use virtcontainers_testkit::TestNetNs;
use virtcontainers_types::net::Route;

struct Scene {
    sandbox: TestNetNs,
    world: TestNetNs,
    ns: NetNs,
}

impl Scene {
    fn new() -> Self {
        let (sandbox, world) = (TestNetNs::new(), TestNetNs::new());
        let ns = NetNs::open(sandbox.path()).unwrap();
        sandbox.join("eth0", &world, "peer0");
        Self { sandbox, world, ns }
    }

    async fn after(&self, commands: &[&str]) -> NetworkInfo {
        for words in commands {
            self.sandbox.ip(words);
        }
        scan(&self.ns).await.unwrap()
    }
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Routes as text: destination, gateway, source, scope, flags, MTU.
fn shown(routes: &[Route]) -> Vec<String> {
    let text = |route: &Route| {
        let family = if route.ipv6 { "default6" } else { "default" };
        let mut text = route.destination.map_or(family.to_owned(), |net| net.to_string());
        text += &route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
        text += &route.source.map(|source| format!(" src {source}")).unwrap_or_default();
        format!("{text} dev {} {} {} {}", route.device, route.scope, route.flags, route.mtu)
    };
    routes.iter().map(text).collect()
}

#[tokio::test]
async fn what_an_engine_leaves_is_told() {
    let scene = Scene::new();
    let seen = scene
        .after(&[
            "link set eth0 mtu 1450 address 02:00:00:00:00:42",
            "addr add 10.1.0.2/24 dev eth0",
            "addr add 10.1.0.3/24 dev eth0",
            "addr add 10.2.0.2/16 dev eth0",
            "addr add fd00:1::2/64 dev eth0 nodad",
            "route add default via 10.1.0.1",
            "route add 10.9.0.0/16 via 10.1.0.254 mtu 1300 src 10.1.0.3",
            "route add 10.8.0.0/16 dev eth0",
            "route add 192.0.2.7 via 198.51.100.1 dev eth0 onlink",
            "-6 route add default via fd00:1::1",
            "route add blackhole 10.66.0.0/16",
            "route add 10.77.0.0/16 dev eth0 table 100",
            "neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev eth0",
            "neigh add fd00:1::9 lladdr 02:00:00:00:00:0a dev eth0",
            "neigh add 10.1.0.10 lladdr 02:00:00:00:00:0b dev eth0 nud reachable",
            "neigh add proxy 10.1.0.11 dev eth0",
        ])
        .await;
    let link = seen.link("eth0").unwrap();
    assert_eq!((link.kind.as_str(), link.mtu, link.up, link.no_arp), ("veth", 1450, true, false));
    assert_eq!(link.mac.unwrap().to_string(), "02:00:00:00:00:42");
    assert_eq!(link.addresses, nets(&["10.1.0.2/24", "10.2.0.2/16", "10.1.0.3/24", "fd00:1::2/64"]));
    assert_eq!(
        shown(&seen.routes),
        [
            "10.8.0.0/16 dev eth0 253 0 0",
            "default via 10.1.0.1 dev eth0 0 0 0",
            "10.9.0.0/16 via 10.1.0.254 src 10.1.0.3 dev eth0 0 0 1300",
            "192.0.2.7/32 via 198.51.100.1 dev eth0 0 4 0",
            "default6 via fd00:1::1 dev eth0 0 0 0",
        ]
    );
    let mut neighbors: Vec<_> =
        seen.neighbors.iter().map(|it| (it.address.to_string(), it.mac.to_string(), it.state)).collect();
    neighbors.sort();
    assert_eq!(
        neighbors,
        [
            ("10.1.0.9".to_owned(), "02:00:00:00:00:09".to_owned(), 0x80),
            ("fd00:1::9".to_owned(), "02:00:00:00:00:0a".to_owned(), 0x80),
        ]
    );
    let record = serde_json::to_string(&seen).unwrap();
    assert_eq!(serde_json::from_str::<NetworkInfo>(&record).unwrap(), seen);
}

#[tokio::test]
async fn a_point_to_point_link_tells_the_way_to_its_peer() {
    let scene = Scene::new();
    let seen = scene
        .after(&[
            "addr add 10.3.0.2 peer 10.3.0.1/32 dev eth0",
            "addr add fd00:3::2 peer fd00:3::1/128 dev eth0 nodad",
            "route add default via 10.3.0.1",
        ])
        .await;
    assert_eq!(seen.link("eth0").unwrap().addresses, nets(&["10.3.0.2/32", "fd00:3::2/128"]));
    assert_eq!(
        shown(&seen.routes),
        [
            "10.3.0.1/32 src 10.3.0.2 dev eth0 253 0 0",
            "fd00:3::1/128 dev eth0 0 0 0",
            "default via 10.3.0.1 dev eth0 0 0 0",
        ]
    );
}

/// The kernel's own link-local address is left to the guest's kernel; one that somebody set is not.
#[tokio::test]
async fn link_local_addresses_are_told_only_when_set_deliberately() {
    let scene = Scene::new();
    let own = || scene.sandbox.ip("-6 -o addr show dev eth0 scope link");
    // It comes with the carrier, of which nobody tells this process.
    let patience = std::time::Instant::now();
    while own().is_empty() {
        assert!(patience.elapsed().as_secs() < 10, "the kernel makes no link-local address");
        tokio::task::yield_now().await;
    }
    let seen =
        scene.after(&["addr add fe80::1234/64 dev eth0 nodad", "addr add 169.254.9.9/16 dev eth0"]).await;
    assert_eq!(seen.link("eth0").unwrap().addresses, nets(&["169.254.9.9/16", "fe80::1234/64"]));
    assert_eq!(shown(&seen.routes), Vec::<String>::new());
}

#[tokio::test]
async fn kinds_and_what_rests_on_what() {
    let scene = Scene::new();
    let seen = scene
        .after(&[
            "link add mv0 link eth0 type macvlan mode bridge",
            "link set mv0 up",
            "link add mt0 link eth0 type macvtap mode bridge",
            "link add br0 type bridge",
            "tuntap add dev tap0 mode tap",
            "link set tap0 master br0",
            "tuntap add dev tun0 mode tun",
            "link add v0 type veth peer name v1",
            "link set v0 up arp off",
        ])
        .await;
    let kind = |name: &str| seen.link(name).unwrap().kind.clone();
    assert_eq!(kind("lo"), LinkKind::Loopback);
    assert_eq!((kind("mv0"), kind("mt0")), (LinkKind::Macvlan, LinkKind::Macvtap));
    assert_eq!((kind("br0"), kind("tun0")), (LinkKind::Bridge, LinkKind::Tun));
    assert_eq!(kind("tap0"), LinkKind::Tap { multi_queue: false, held: false, vnet_hdr: false });
    let index = |name: &str| seen.link(name).unwrap().index;
    assert_eq!(seen.link("tap0").unwrap().master, Some(index("br0")));
    assert_eq!(seen.link("mv0").unwrap().below, Some(index("eth0")));
    assert!(seen.link("eth0").unwrap().carries_others, "mv0 is up on it");
    let pair = seen.link("v0").unwrap();
    assert_eq!((pair.below, pair.no_arp, pair.up), (None, true, true));
    assert!(!seen.link("v1").unwrap().up);
    assert!(scene.world.links().contains(&"peer0".to_owned()));
}
