//! What cannot be attached: told by type, with the namespace left as it was.

use virtcontainers_network::{Endpoint, EndpointOptions, NetworkError, scan};
use virtcontainers_types::NetInterworkingModel::{Macvtap, TcFilter};

use crate::scene::{Scene, options, queue, speaks};

#[tokio::test]
async fn a_link_that_is_gone() {
    for model in [TcFilter, Macvtap] {
        let scene = Scene::veth();
        let endpoint = scene.choose("eth0", &options(model)).await;
        scene.sandbox.ip("link del eth0");
        let error = endpoint.attach(&scene.ns).await.unwrap_err();
        assert!(matches!(&error, NetworkError::LinkVanished { link, .. } if link == "eth0"), "{error}");
        endpoint.detach(&scene.ns).await.unwrap();
        assert_eq!(scene.sandbox.links(), ["lo"]);
    }
}

#[tokio::test]
async fn a_link_that_goes_meanwhile() {
    let scene = Scene::empty();
    for round in 0..20 {
        let model = [TcFilter, Macvtap][round % 2];
        scene.sandbox.ip("link add eth0 type veth peer name eth1");
        scene.sandbox.ip("link set eth0 up");
        let endpoint = scene.choose("eth0", &options(model)).await;
        let mut delete = scene.sandbox.command("ip");
        delete.args(["link", "del", "eth0"]);
        let (attached, deleted) =
            tokio::join!(endpoint.attach(&scene.ns), tokio::task::spawn_blocking(move || delete.status()));
        assert!(deleted.unwrap().unwrap().success());
        match attached {
            // The descriptors may outlive the link.
            Ok(attached) => {
                endpoint.detach(&scene.ns).await.unwrap();
                drop(attached);
            }
            Err(NetworkError::LinkVanished { link, .. }) => assert_eq!(link, "eth0"),
            Err(NetworkError::Link { link, .. }) => assert!(link == "eth0" || link.starts_with("vctap")),
            Err(other) => panic!("{other}"),
        }
        endpoint.detach(&scene.ns).await.unwrap();
        assert_eq!(scene.sandbox.links(), ["lo"], "round {round}");
    }
}

#[tokio::test]
async fn a_link_of_another_sandbox() {
    let scene = Scene::veth();
    let before = scene.sandbox.snapshot();
    let first = scene.choose("eth0", &options(TcFilter)).await;
    let queue = queue(first.attach(&scene.ns).await.unwrap());
    let second = scene.choose("eth0", &options(TcFilter)).await;
    let error = second.attach(&scene.ns).await.unwrap_err();
    assert!(matches!(&error, NetworkError::IngressTaken { link } if link == "eth0"), "{error}");
    second.detach(&scene.ns).await.unwrap();
    speaks(&queue, &first).await;
    scene.detach(&first, &before).await;
}

#[tokio::test]
async fn a_link_with_filters_of_the_callers() {
    let scene = Scene::veth();
    scene.sandbox.run("tc qdisc add dev eth0 ingress");
    scene.sandbox.run("tc filter add dev eth0 parent ffff: protocol ip prio 7 u32 match u32 0 0 flowid :1");
    let before = scene.sandbox.snapshot();
    let endpoint = scene.choose("eth0", &options(TcFilter)).await;
    let error = endpoint.attach(&scene.ns).await.unwrap_err();
    assert!(matches!(error, NetworkError::IngressTaken { .. }), "{error}");
    scene.detach(&endpoint, &before).await;
}

#[tokio::test]
async fn a_link_that_carries_another_macvlan() {
    let scene = Scene::veth();
    // It is down, or the link would not be for the guest at all.
    scene.sandbox.ip("link add other link eth0 type macvlan mode bridge");
    let before = scene.sandbox.snapshot();
    let endpoint = scene.choose("eth0", &options(Macvtap)).await;
    let error = endpoint.attach(&scene.ns).await.unwrap_err();
    assert!(matches!(&error, NetworkError::Link { link, .. } if link == "eth0"), "{error}");
    scene.detach(&endpoint, &before).await;
}

#[tokio::test]
async fn what_a_dead_process_left_is_cleared() {
    for model in [TcFilter, Macvtap] {
        let scene = Scene::veth();
        let before = scene.sandbox.snapshot();
        let endpoint = scene.choose("eth0", &options(model)).await;
        // With its descriptors a filter's tap goes, its qdisc stays.
        drop(endpoint.attach(&scene.ns).await.unwrap());
        assert_ne!(scene.sandbox.snapshot().changes_since(&before), Vec::<String>::new());
        scene.detach(&endpoint, &before).await;
    }
}

#[tokio::test]
async fn tunnels_bridges_and_what_is_down_are_not_for_the_guest() {
    let scene = Scene::empty();
    for words in [
        "link add br0 type bridge",
        "link set br0 up",
        "link add port type veth peer name far",
        "link set port master br0 up",
    ] {
        scene.sandbox.ip(words);
    }
    let seen = scan(&scene.ns).await.unwrap();
    assert_eq!(seen.links.len(), scene.sandbox.links().len());
    for link in &seen.links {
        let chosen = Endpoint::choose(link, &EndpointOptions::new("net0")).unwrap();
        assert_eq!(chosen, None, "{link:?}");
    }
}
