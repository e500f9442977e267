//! Taps that the namespace has: of a bridge, and of a process that serves their frames.

use std::os::fd::AsFd as _;

use virtcontainers_network::{EndpointOptions, EndpointType, LinkKind, NetNs};
use virtcontainers_sys::{netns, tap};
use virtcontainers_types::NetInterworkingModel::{self, Macvtap, None as NoModel, TcFilter};

use crate::{
    frames::{Queue, arp},
    scene::{GUEST, Scene, WORLD, options, queue, speaks, taps},
};

/// Its other end is the namespace itself.
#[tokio::test]
async fn a_free_tap_is_the_vmms() {
    let scene = Scene::empty();
    scene.sandbox.ip("tuntap add dev eth0 mode tap");
    scene.sandbox.ip("link set eth0 up");
    scene.sandbox.ip(&format!("addr add {WORLD}/24 dev eth0"));
    let before = scene.sandbox.snapshot();
    for _ in 0..2 {
        let link = scene.link("eth0").await;
        assert_eq!(link.kind, LinkKind::Tap { multi_queue: false, held: false, vnet_hdr: false });
        let endpoint = scene.choose("eth0", &EndpointOptions { queues: 4, ..options(NoModel) }).await;
        assert_eq!((endpoint.endpoint_type(), endpoint.queues()), (EndpointType::Tap, 1));
        let queue = queue(endpoint.attach(&scene.ns).await.unwrap());
        assert!(matches!(scene.link("eth0").await.kind, LinkKind::Tap { held: true, .. }));
        speaks(&queue, &endpoint).await;
        endpoint.detach(&scene.ns).await.unwrap();
        speaks(&queue, &endpoint).await;
        drop(queue);
        scene.detach(&endpoint, &before).await;
    }
}

#[tokio::test]
async fn a_bridge_hands_its_taps_frames_on() {
    let scene = Scene::empty();
    scene.sandbox.ip("link add br0 type bridge");
    scene.sandbox.ip("link set br0 up");
    scene.sandbox.join("port0", &scene.world, "peer0");
    scene.world.ip(&format!("addr add {WORLD}/24 dev peer0"));
    scene.sandbox.ip("tuntap add dev eth0 mode tap");
    for port in ["port0", "eth0"] {
        scene.sandbox.ip(&format!("link set {port} master br0 up"));
    }
    let endpoint = scene.choose("eth0", &options(NoModel)).await;
    assert_ne!(Some(endpoint.mac()), scene.link("eth0").await.mac, "the bridge would keep its frames");
    let queue = queue(endpoint.attach(&scene.ns).await.unwrap());
    // A port takes frames a moment after it has its carrier.
    scene.sandbox.ip("link set eth0 type bridge_slave state 3");
    speaks(&queue, &endpoint).await;
}

#[tokio::test]
async fn a_free_tap_of_several_queues() {
    let scene = Scene::empty();
    scene.sandbox.ip("tuntap add dev eth0 mode tap multi_queue");
    scene.sandbox.ip("link set eth0 up");
    scene.sandbox.ip(&format!("addr add {WORLD}/24 dev eth0"));
    let endpoint = scene.choose("eth0", &EndpointOptions { queues: 2, ..options(NoModel) }).await;
    let queues: Vec<_> =
        taps(endpoint.attach(&scene.ns).await.unwrap()).into_iter().map(Queue::new).collect();
    assert_eq!(queues.len(), 2);
    queues[0].ask_until_one_answers(&queues, endpoint.mac(), GUEST, WORLD).await;
    assert!(matches!(scene.link("eth0").await.kind, LinkKind::Tap { multi_queue: true, held: true, .. }));
}

/// A tap of this namespace, held by the test as a VPN's process would.
fn held_tap(ns: &NetNs, name: &'static str) -> Queue {
    let ns = ns.as_fd().try_clone_to_owned().unwrap();
    let inside = move || {
        netns::enter(ns.as_fd()).unwrap();
        tap::open(name, tap::TapOptions::default()).unwrap()
    };
    Queue::new(std::thread::spawn(inside).join().unwrap())
}

async fn is_led_to_the_guest(model: NetInterworkingModel) {
    let scene = Scene::empty();
    let server = held_tap(&scene.ns, "eth0");
    scene.sandbox.ip("link set eth0 up");
    scene.sandbox.ip(&format!("addr add {GUEST}/24 dev eth0"));
    let before = scene.sandbox.snapshot();
    for _ in 0..2 {
        let endpoint = scene.choose("eth0", &options(model)).await;
        assert_eq!(endpoint.endpoint_type(), EndpointType::Tuntap);
        let guest = queue(endpoint.attach(&scene.ns).await.unwrap());
        guest.ask(endpoint.mac(), GUEST, WORLD).await;
        let asks = |frame: &[u8]| frame[12..14] == [8, 6] && frame[38..42] == WORLD.octets();
        let question = server.wait_for("question", asks).await;
        assert_eq!(question[6..12], endpoint.mac().0);
        let mac = "02:00:00:00:00:01".parse().unwrap();
        server.send(&arp(endpoint.mac(), 2, (mac, WORLD), (endpoint.mac(), GUEST))).await;
        assert_eq!(guest.answer(endpoint.mac(), WORLD).await, mac);
        scene.detach(&endpoint, &before).await;
    }
}

#[tokio::test]
async fn a_held_tap_by_filters() {
    is_led_to_the_guest(TcFilter).await;
}

#[tokio::test]
async fn a_held_tap_by_a_macvtap() {
    is_led_to_the_guest(Macvtap).await;
}
