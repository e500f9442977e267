//! Links that stay in the namespace: joined by filters or by a macvtap.

use virtcontainers_network::{Endpoint, EndpointOptions, EndpointType, Link, LinkKind, scan};
use virtcontainers_types::NetInterworkingModel::{self, Default, Macvtap, TcFilter};

use crate::{
    frames::{Queue, arp},
    scene::{GUEST, Scene, WORLD, options, queue, speaks, taps},
    transcript,
};

/// Attached and detached, and that again.
pub(crate) async fn comes_and_goes(scene: &Scene, options: &EndpointOptions, kind: EndpointType) {
    let before = scene.sandbox.snapshot();
    for _ in 0..2 {
        let link = scene.link("eth0").await;
        let endpoint = scene.choose("eth0", options).await;
        assert_eq!((endpoint.endpoint_type(), Some(endpoint.mac())), (kind, link.mac));
        let queue = queue(endpoint.attach(&scene.ns).await.unwrap());
        speaks(&queue, &endpoint).await;
        let seen = scan(&scene.ns).await.unwrap();
        let chosen = |link| Endpoint::choose(link, options).unwrap();
        let names: Vec<_> =
            seen.links.iter().filter_map(|link| Some(chosen(link)?.name().to_owned())).collect();
        assert_eq!(names, ["eth0"], "what we made is not for the guest");
        // The VMM has not let go yet.
        scene.detach(&endpoint, &before).await;
        drop(queue);
    }
}

#[tokio::test]
async fn a_veth_by_filters() {
    comes_and_goes(&Scene::veth(), &options(TcFilter), EndpointType::Veth).await;
}

#[tokio::test]
async fn a_veth_by_a_macvtap() {
    comes_and_goes(&Scene::veth(), &options(Macvtap), EndpointType::Veth).await;
}

#[tokio::test]
async fn a_macvlan_by_filters() {
    comes_and_goes(&Scene::over("macvlan"), &options(Default), EndpointType::BridgedMacvlan).await;
}

#[tokio::test]
async fn a_macvtap_of_the_namespace() {
    comes_and_goes(&Scene::over("macvtap"), &options(Default), EndpointType::Macvtap).await;
}

/// A kernel that lacks ipvlan: the endpoint is that of an ipvlan, and a veth stands in for the link. The golden transcript is
/// that of a real one, which the lab has.
#[tokio::test]
async fn an_ipvlan_by_filters() {
    let scene = Scene::veth();
    let before = scene.sandbox.snapshot();
    let mut link = scene.link("eth0").await;
    link.kind = LinkKind::Ipvlan;
    ipvlan_as_golden(&scene, &link).await;
    assert_eq!(scene.sandbox.snapshot().changes_since(&before), [""; 0]);
}

/// Its frames cross, and what the kernel announces meanwhile is the golden transcript.
pub(crate) async fn ipvlan_as_golden(scene: &Scene, link: &Link) {
    let before = scene.sandbox.snapshot();
    let endpoint = Endpoint::choose(link, &options(Default)).unwrap().unwrap();
    assert_eq!(endpoint.endpoint_type(), EndpointType::IpVlan);
    let announced = transcript::of(&scene.sandbox, &scene.ns, async || {
        let queue = queue(endpoint.attach(&scene.ns).await.unwrap());
        speaks(&queue, &endpoint).await;
        scene.detach(&endpoint, &before).await;
    });
    transcript::golden("ipvlan.netlink", &announced.await);
}

#[tokio::test]
async fn each_queue_carries_frames() {
    for model in [TcFilter, Macvtap] {
        let scene = Scene::veth();
        let before = scene.sandbox.snapshot();
        let endpoint = scene.choose("eth0", &EndpointOptions { queues: 3, ..options(model) }).await;
        assert_eq!(endpoint.queues(), 3);
        let queues: Vec<_> =
            taps(endpoint.attach(&scene.ns).await.unwrap()).into_iter().map(Queue::new).collect();
        assert_eq!(queues.len(), 3);
        for asking in &queues {
            asking.ask_until_one_answers(&queues, endpoint.mac(), GUEST, WORLD).await;
        }
        scene.detach(&endpoint, &before).await;
    }
}

async fn a_large_frame_crosses_both_ways(model: NetInterworkingModel) {
    let scene = Scene::veth();
    scene.world.ip("link set peer0 mtu 9000");
    scene.sandbox.ip("link set eth0 mtu 9000");
    let before = scene.sandbox.snapshot();
    let endpoint = scene.choose("eth0", &options(model)).await;
    assert_eq!((endpoint.mtu(), endpoint.interface(None).mtu), (9000, 9000));
    let queue = queue(endpoint.attach(&scene.ns).await.unwrap());
    let mut ping = scene.world.command("ping");
    let ping = ping.args(["-c1", "-W5", "-Mdo", "-s8972", &GUEST.to_string()]);
    let mut ping = ping.stdout(std::process::Stdio::null()).spawn().unwrap();
    // The guest's part, by hand: to say who it is, and to send the echo back. With a macvtap the namespace answers the
    // question too, with the same address, and the echo may come first.
    let asks = |frame: &[u8]| frame[12..14] == [8, 6] && frame[38..42] == GUEST.octets();
    let is_echo = |frame: &[u8]| frame.len() == 9014 && frame[23] == 1 && frame[34] == 8;
    let mut echo = loop {
        let frame = queue.wait_for("echo", |frame| asks(frame) || is_echo(frame)).await;
        if is_echo(&frame) {
            break frame;
        }
        let far = virtcontainers_types::net::MacAddr(frame[6..12].try_into().unwrap());
        queue.send(&arp(far, 2, (endpoint.mac(), GUEST), (far, WORLD))).await;
    };
    let (to, from) = (echo[6..12].to_vec(), echo[..6].to_vec());
    echo[..12].copy_from_slice(&[to, from].concat());
    let (to, from) = (echo[26..30].to_vec(), echo[30..34].to_vec());
    echo[26..34].copy_from_slice(&[from, to].concat());
    // From a request to a reply: the type falls by 8, so the sum rises by as much.
    echo[34] = 0;
    let sum = u32::from(u16::from_be_bytes([echo[36], echo[37]])) + 0x0800;
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    echo[36..38].copy_from_slice(&sum.to_be_bytes());
    queue.send(&echo).await;
    let status = tokio::task::spawn_blocking(move || ping.wait()).await.unwrap().unwrap();
    assert!(status.success(), "the world has the whole packet back: {status}");
    scene.detach(&endpoint, &before).await;
}

#[tokio::test]
async fn a_large_frame_by_filters() {
    a_large_frame_crosses_both_ways(TcFilter).await;
}

#[tokio::test]
async fn a_large_frame_by_a_macvtap() {
    a_large_frame_crosses_both_ways(Macvtap).await;
}

#[tokio::test]
async fn a_new_mtu_is_the_taps_too() {
    let scene = Scene::veth();
    let mut endpoint = scene.choose("eth0", &options(TcFilter)).await;
    let attached = endpoint.attach(&scene.ns).await.unwrap();
    scene.sandbox.ip("link set eth0 mtu 1400");
    scene.sandbox.ip("addr add 10.8.0.2/24 dev eth0");
    let link = scene.link("eth0").await;
    assert!(endpoint.follow(&scene.ns, &link).await.unwrap());
    assert!(!endpoint.follow(&scene.ns, &link).await.unwrap(), "nothing has changed since");
    assert_eq!((endpoint.mtu(), endpoint.addresses().len()), (1400, 3));
    assert_eq!(scene.link(&endpoint.join().unwrap().tap).await.mtu, 1400);
    drop(attached);
}

/// Frames with a tag go to the namespace's VLANs, others to the guest.
#[tokio::test]
async fn tagged_frames_are_spared_for_vlans() {
    for (carries_vlans, spared) in [(true, true), (false, false)] {
        let scene = Scene::veth();
        let mut link = scene.link("eth0").await;
        link.carries_vlans = carries_vlans;
        let inner = Endpoint::choose(&link, &options(TcFilter)).unwrap().unwrap();
        let inner_queue = queue(inner.attach(&scene.ns).await.unwrap());
        // At the other end of the wire too stands a machine, of which we have the tap.
        let world = virtcontainers_network::NetNs::open(scene.world.path()).unwrap();
        let peer = scan(&world).await.unwrap().link("peer0").unwrap().clone();
        let outer = Endpoint::choose(&peer, &options(TcFilter)).unwrap().unwrap();
        let outer_queue = queue(outer.attach(&world).await.unwrap());
        let plain = arp(inner.mac(), 1, (outer.mac(), WORLD), (inner.mac(), GUEST));
        let tagged = [&plain[..12], &[0x81, 0, 0, 5], &plain[12..]].concat();
        outer_queue.send(&tagged).await;
        outer_queue.send(&plain).await;
        let ours = |frame: &[u8]| frame[..6] == inner.mac().0 && frame[6..12] == outer.mac().0;
        let first = inner_queue.wait_for("frame", ours).await;
        assert_eq!(first[12..14] == [0x81, 0], !spared, "{first:02x?}");
        outer.detach(&world).await.unwrap();
        inner.detach(&scene.ns).await.unwrap();
    }
}

#[tokio::test]
async fn forty_interfaces_at_once() {
    let scene = Scene::empty();
    for number in 0..40 {
        scene.sandbox.join(&format!("eth{number}"), &scene.world, &format!("peer{number}"));
        scene.world.ip(&format!("addr add {WORLD}/32 dev peer{number}"));
        scene.world.ip(&format!("route add {GUEST}/32 dev peer{number} metric {}", number + 1));
    }
    let before = scene.sandbox.snapshot();
    let seen = scan(&scene.ns).await.unwrap();
    let chosen = seen.links.iter().filter_map(|link| Endpoint::choose(link, &options(Default)).unwrap());
    let endpoints: Vec<_> = chosen.collect();
    assert_eq!(endpoints.len(), 40);
    let attached = futures::future::try_join_all(endpoints.iter().map(|it| it.attach(&scene.ns)));
    let queues: Vec<_> = attached.await.unwrap().into_iter().map(queue).collect();
    for (queue, endpoint) in queues.iter().zip(&endpoints) {
        speaks(queue, endpoint).await;
    }
    futures::future::try_join_all(endpoints.iter().map(|it| it.detach(&scene.ns))).await.unwrap();
    assert_eq!(scene.sandbox.snapshot().changes_since(&before), Vec::<String>::new());
}
