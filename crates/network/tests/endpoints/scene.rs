//! A sandbox's namespace, and the world around it.

use std::{
    fs,
    net::Ipv4Addr,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use virtcontainers_network::{Attached, Backend, Endpoint, EndpointOptions, Link, NetNs, scan};
use virtcontainers_testkit::{NetSnapshot, TestNetNs};
use virtcontainers_types::NetInterworkingModel;

use crate::frames::Queue;

pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);
pub(crate) const WORLD: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);

pub(crate) struct Scene {
    pub(crate) sandbox: TestNetNs,
    pub(crate) world: TestNetNs,
    pub(crate) ns: NetNs,
}

impl Scene {
    pub(crate) fn empty() -> Self {
        let (sandbox, world) = (TestNetNs::new(), TestNetNs::new());
        let ns = NetNs::open(sandbox.path()).unwrap();
        Self { sandbox, world, ns }
    }

    /// `eth0` in the sandbox, as an engine leaves it, and `peer0` in the world, which has [`WORLD`].
    pub(crate) fn veth() -> Self {
        let scene = Self::empty();
        scene.sandbox.join("eth0", &scene.world, "peer0");
        scene.world.ip(&format!("addr add {WORLD}/24 dev peer0"));
        scene.configure("eth0");
        scene
    }

    /// A link of this kind over one of the world's, moved into the sandbox as `eth0`; another with [`WORLD`] beside it.
    pub(crate) fn over(kind: &str) -> Self {
        let scene = Self::empty();
        scene.world.ip("link add low0 type veth peer name low1");
        for link in ["low0", "low1"] {
            scene.world.ip(&format!("link set {link} up"));
        }
        // The two kinds do not share a link.
        let beside = if kind == "ipvlan" { "ipvlan mode l2 bridge" } else { "macvlan mode bridge" };
        scene.world.ip(&format!("link add beside link low0 type {beside}"));
        scene.world.ip(&format!("addr add {WORLD}/24 dev beside"));
        scene.world.ip("link set beside up");
        let mode = if kind == "ipvlan" { "mode l2 bridge" } else { "mode bridge" };
        scene.world.ip(&format!("link add eth0 link low0 type {kind} {mode}"));
        give(|pid| scene.world.ip(&format!("link set eth0 netns {pid}")), &scene.sandbox);
        scene.sandbox.ip("link set eth0 up");
        scene.configure("eth0");
        scene
    }

    fn configure(&self, link: &str) {
        self.sandbox.ip(&format!("addr add {GUEST}/24 dev {link}"));
        self.sandbox.ip(&format!("addr add fd00:7::2/64 dev {link} nodad"));
        self.sandbox.ip(&format!("route add default via {WORLD}"));
        self.sandbox.ip(&format!("neigh add 10.7.0.9 lladdr 02:00:00:00:00:09 dev {link}"));
        // The kernel makes the last of its own routes once the carrier is there, of which nobody tells this process.
        let begun = std::time::Instant::now();
        while !self.sandbox.ip("-6 route show table local").contains("local fd00:7::2") {
            assert!(begun.elapsed().as_secs() < 10, "{link} gets no carrier");
        }
    }

    pub(crate) async fn link(&self, name: &str) -> Link {
        scan(&self.ns).await.unwrap().link(name).unwrap().clone()
    }

    pub(crate) async fn choose(&self, name: &str, options: &EndpointOptions) -> Endpoint {
        Endpoint::choose(&self.link(name).await, options).unwrap().unwrap()
    }

    /// Detaches as another process would, from the record alone, and twice; nothing is left then.
    pub(crate) async fn detach(&self, endpoint: &Endpoint, before: &NetSnapshot) {
        let record = serde_json::to_string(endpoint).unwrap();
        let endpoint: Endpoint = serde_json::from_str(&record).unwrap();
        for _ in 0..2 {
            endpoint.detach(&self.ns).await.unwrap();
            assert_eq!(self.sandbox.snapshot().changes_since(before), Vec::<String>::new());
        }
    }
}

/// Moves a link of the test's own namespace into another one.
pub(crate) fn move_into(link: &str, to: &TestNetNs) {
    give(
        |pid| {
            let words = ["link", "set", link, "netns", &pid.to_string()];
            assert!(Command::new("ip").args(words).status().unwrap().success(), "{words:?}");
        },
        to,
    );
}

/// Has a link moved by its namespace's `ip`, which wants a process of the other one.
fn give<T>(move_it: impl FnOnce(u32) -> T, to: &TestNetNs) {
    let mut keeper = to.command("cat").stdin(Stdio::piped()).spawn().unwrap();
    // nsenter is in the namespace once it has become the other program.
    while !fs::read_to_string(format!("/proc/{}/comm", keeper.id())).is_ok_and(|comm| comm.trim() == "cat") {
        std::thread::yield_now();
    }
    move_it(keeper.id());
    keeper.kill().unwrap();
    keeper.wait().unwrap();
}

pub(crate) fn options(model: NetInterworkingModel) -> EndpointOptions {
    EndpointOptions { model, ..EndpointOptions::new("net0") }
}

pub(crate) fn taps(attached: Attached) -> Vec<OwnedFd> {
    let Backend::Tap { taps, vhost } = attached.backend else { panic!("{attached:?}") };
    let expected = if std::path::Path::new("/dev/vhost-net").exists() { taps.len() } else { 0 };
    assert_eq!(vhost.len(), expected, "of the kernel's network back end");
    taps
}

/// The only queue.
pub(crate) fn queue(attached: Attached) -> Queue {
    let [tap] = <[OwnedFd; 1]>::try_from(taps(attached)).unwrap();
    Queue::new(tap)
}

/// The world answers a guest that asks for it over this endpoint.
pub(crate) async fn speaks(queue: &Queue, endpoint: &Endpoint) {
    queue.ask_until_answered(endpoint.mac(), GUEST, WORLD).await;
}
