//! Debian's plugins: addresses of both families, real packets, and nothing left.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::{Value, json};
use virtcontainers_network::cni::CniError;

use crate::world::{World, address, carries, refuses};

/// A bridge with addresses of both families and published ports.
fn bridge() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "both",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni-both", "isGateway": true, "ipMasq": true,
                "capabilities": { "ips": true, "mac": true },
                "ipam": {
                    "type": "host-local", "dataDir": "{dir}/ipam",
                    "ranges": [[{ "subnet": "10.88.7.0/24" }], [{ "subnet": "fd00:88:7::/64" }]],
                    "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

#[tokio::test]
async fn two_containers_on_a_bridge() {
    let world = World::new().await;
    world.describe("10-both.conflist", &bridge());
    let cni = world.cni();
    let network = cni.network("both").unwrap();
    let (one, of_one) = world.container("one").await;
    let (two, of_two) = world.container("two").await;
    let first = cni.add(&network, &of_one).await.unwrap();
    let second = cni.add(&network, &of_two).await.unwrap();

    assert_eq!(first.routes.len(), 2);
    let inside: Vec<_> = first.interfaces.iter().filter(|interface| !interface.sandbox.is_empty()).collect();
    assert_eq!(inside.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>(), ["eth0"]);
    for v6 in [false, true] {
        let to = SocketAddr::new(address(&second, v6), 7000);
        carries(&one, to, &two, to).await;
        let to = SocketAddr::new(address(&first, v6), 7001);
        carries(&world.host, to, &one, to).await;
    }
    world.inside("one", &format!("ping -c 2 -W 5 {}", address(&second, false)));
    world.inside("two", &format!("ping -c 2 -W 5 {}", address(&first, true)));
    cni.check("both", &of_one).await.unwrap();
    assert_eq!(world.leases("both").len(), 4);

    cni.del("both", &of_one).await.unwrap();
    cni.del("both", &of_one).await.unwrap();
    assert_eq!(world.leases("both").len(), 2);
    assert_eq!(world.inside("one", "ip -o link").lines().count(), 1, "lo alone is left");
    let complaint = cni.check("both", &of_one).await.unwrap_err();
    assert!(matches!(complaint, CniError::NotAttached { .. }), "{complaint}");
    cni.del("both", &of_two).await.unwrap();
    assert_eq!((world.leases("both"), world.notes()), (vec![], vec![]));
    assert!(!world.inside("host", "ip -o link").contains("veth"));
}

#[tokio::test]
async fn published_ports() {
    let world = World::new().await;
    world.describe("10-both.conflist", &bridge());
    let cni = world.cni();
    let network = cni.network("both").unwrap();
    let (inside, mut attachment) = world.container("web").await;
    attachment.port_mappings = ["8080:80", "10.88.7.1:8081:81/tcp"].map(|port| port.parse().unwrap()).into();
    cni.add(&network, &attachment).await.unwrap();

    let gateway = Ipv4Addr::new(10, 88, 7, 1);
    for (published, port) in [(8080, 80), (8081, 81)] {
        let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        carries(&world.host, (gateway, published).into(), &inside, listen).await;
    }
    let v6: Ipv6Addr = "fd00:88:7::1".parse().unwrap();
    carries(&world.host, (v6, 8080).into(), &inside, (Ipv6Addr::UNSPECIFIED, 80).into()).await;
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
    carries(&world.host, (Ipv4Addr::LOCALHOST, 8080).into(), &inside, listen).await;
    assert!(refuses(&world.host, (Ipv6Addr::LOCALHOST, 8080).into()).await, "the plugin leaves ::1 alone");
    assert!(world.inside("host", "iptables-save -t nat").contains("8080"));

    cni.del("both", &attachment).await.unwrap();
    assert!(!world.inside("host", "iptables-save -t nat").contains("8080"));
    assert!(refuses(&world.host, (gateway, 8080).into()).await);
}

#[tokio::test]
async fn what_is_asked_for_is_had() {
    let world = World::new().await;
    world.describe("10-both.conflist", &bridge());
    let cni = world.cni();
    let network = cni.network("both").unwrap();
    let (_ns, mut attachment) = world.container("mine").await;
    attachment.ifname = "net7".to_owned();
    attachment.ips = vec!["10.88.7.99/24".parse().unwrap()];
    attachment.mac = Some("02:11:22:33:44:55".parse().unwrap());
    let result = cni.add(&network, &attachment).await.unwrap();
    assert_eq!(address(&result, false), Ipv4Addr::new(10, 88, 7, 99));
    let link = world.inside("mine", "ip -o addr show net7") + &world.inside("mine", "ip -o link show net7");
    assert!(link.contains("10.88.7.99/24") && link.contains("02:11:22:33:44:55"), "{link}");
    cni.del("both", &attachment).await.unwrap();
}

#[tokio::test]
async fn ptp_and_loopback_and_macvlan() {
    let world = World::new().await;
    world.inside("host", "ip link add up0 type veth peer name up1");
    world.inside("host", "ip link set up0 up");
    world.inside("host", "ip link set up1 up");
    let ipam = |subnet| json!({ "type": "host-local", "dataDir": "{dir}/ipam", "subnet": subnet });
    world.describe(
        "10-ptp.conf",
        &json!({ "cniVersion": "0.4.0", "name": "pair", "type": "ptp", "mtu": 9000, "ipam": ipam("10.89.1.0/24") }),
    );
    world.describe("20-lo.json", &json!({ "cniVersion": "0.3.1", "name": "lo", "type": "loopback" }));
    let macvlan =
        json!({ "type": "macvlan", "master": "up0", "mode": "bridge", "ipam": ipam("fd00:89::/64") });
    world.describe("30-mac.conflist", &json!({ "cniVersion": "0.3.0", "name": "mac", "plugins": [macvlan] }));
    let cni = world.cni();

    let (one, mut of_one) = world.container("one").await;
    let (two, mut of_two) = world.container("two").await;
    let pair = cni.add(&cni.network("pair").unwrap(), &of_one).await.unwrap();
    let gateway = pair.ips[0].gateway.unwrap();
    carries(&one, (gateway, 7000).into(), &world.host, (gateway, 7000).into()).await;
    assert!(world.inside("one", "ip -o link show eth0").contains("mtu 9000"));
    cni.check("pair", &of_one).await.unwrap();
    cni.del("pair", &of_one).await.unwrap();

    of_one.ifname = "lo".to_owned();
    cni.add(&cni.network("lo").unwrap(), &of_one).await.unwrap();
    cni.check("lo", &of_one).await.unwrap();
    cni.del("lo", &of_one).await.unwrap();

    (of_one.ifname, of_two.ifname) = ("mac0".to_owned(), "mac0".to_owned());
    let network = cni.network("mac").unwrap();
    cni.add(&network, &of_one).await.unwrap();
    let there = cni.add(&network, &of_two).await.unwrap();
    let to = SocketAddr::new(address(&there, true), 7000);
    carries(&one, to, &two, to).await;
    for attachment in [&of_one, &of_two] {
        cni.del("mac", attachment).await.unwrap();
    }
    assert_eq!((world.leases("mac"), world.leases("pair"), world.notes()), (vec![], vec![], vec![]));
}

/// Another process knows neither the value nor, in the end, the description; and the namespace may be gone.
#[tokio::test]
async fn another_process_detaches() {
    let world = World::new().await;
    world.describe("10-both.conflist", &bridge());
    let network = world.cni().network("both").unwrap();
    let (ns, attachment) = world.container("gone").await;
    world.cni().del("both", &attachment).await.unwrap();
    assert!(!world.path("cache").exists(), "what was never attached leaves no trace");
    world.cni().add(&network, &attachment).await.unwrap();
    let again = world.cni().add(&network, &attachment).await.unwrap_err();
    assert!(matches!(again, CniError::AlreadyAttached { .. }), "{again}");

    std::fs::remove_file(world.path("conf/10-both.conflist")).unwrap();
    drop(ns);
    virtcontainers_network::NetNs::remove(&attachment.netns).unwrap();
    world.cni().del("both", &attachment).await.unwrap();
    assert_eq!((world.leases("both"), world.notes()), (vec![], vec![]));
}
