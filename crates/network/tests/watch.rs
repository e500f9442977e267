//! Changes in a network namespace. Needs root and iproute2.
#![expect(clippy::unwrap_used, reason = "what tests share fails the test")]

use std::{fmt::Write as _, fs, path::PathBuf, process::Command, time::Duration};

use tokio::time::timeout;
use virtcontainers_network::{NetNs, watch::Changes};

/// More than a change takes to be told.
const LONG: Duration = Duration::from_secs(10);
/// Longer than a series of changes can be.
const SHORT: Duration = Duration::from_secs(1);

struct Scene {
    dir: tempfile::TempDir,
    ns: NetNs,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ns = NetNs::create(&dir.path().join("ns")).unwrap();
        Self { dir, ns }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("ns")
    }

    #[track_caller]
    fn ip(&self, words: &str) {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("ip").args(words.split_whitespace());
        let output = command.output().unwrap();
        assert!(output.status.success(), "ip {words}: {output:?}");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        NetNs::remove(&self.path()).unwrap();
    }
}

#[tokio::test]
async fn links_addresses_routes_and_neighbours_are_told() {
    let scene = Scene::new().await;
    let mut changes = Changes::open(&scene.ns).await.unwrap();
    for words in [
        "link add d0 type bridge",
        "link set d0 address 02:00:00:00:00:07 up",
        "addr add 10.4.0.1/24 dev d0",
        "addr add fd00:4::1/64 dev d0 nodad",
        "route add 10.5.0.0/16 via 10.4.0.2",
        "route add fd00:5::/64 via fd00:4::2",
        "neigh add 10.4.0.9 lladdr 02:00:00:00:00:09 dev d0",
        "link set d0 mtu 1400",
        "link del d0",
    ] {
        scene.ip(words);
        timeout(LONG, changes.next()).await.expect(words).unwrap();
        // What the kernel itself does after that (router solicitations, multicast) must be over.
        while timeout(SHORT, changes.next()).await.is_ok() {}
    }
}

#[tokio::test]
async fn nothing_is_told_when_nothing_changes() {
    let scene = Scene::new().await;
    scene.ip("link add d0 type bridge");
    let mut changes = Changes::open(&scene.ns).await.unwrap();
    assert!(timeout(SHORT, changes.next()).await.is_err());
    scene.ip("link show");
    assert!(timeout(SHORT, changes.next()).await.is_err());
}

/// More changes than the socket can hold are few for the watcher, and no error.
#[tokio::test]
async fn a_flood_is_a_change() {
    let scene = Scene::new().await;
    scene.ip("link add d0 type bridge");
    scene.ip("link set d0 up");
    scene.ip("addr add 10.4.0.1/24 dev d0");
    let mut changes = Changes::open(&scene.ns).await.unwrap();
    let mut batch = String::new();
    for number in 0..8000 {
        writeln!(batch, "route add 10.{}.{}.0/24 via 10.4.0.2", 16 + number / 200, number % 200).unwrap();
    }
    let file = scene.dir.path().join("batch");
    fs::write(&file, batch).unwrap();
    scene.ip(&format!("-batch {}", file.display()));
    let drops = dropped(&scene);
    assert!(drops > 0, "the socket could hold them all: the flood is too small");

    let mut told = 0;
    while let Ok(change) = timeout(SHORT, changes.next()).await {
        change.unwrap();
        told += 1;
    }
    assert!((1..10).contains(&told), "{told}");
    scene.ip("link del d0");
    timeout(LONG, changes.next()).await.unwrap().unwrap();
}

/// Messages that netlink sockets of the namespace could not take: the ninth column of `/proc/net/netlink`.
fn dropped(scene: &Scene) -> u64 {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", scene.path().display())).args(["cat", "/proc/net/netlink"]);
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    text.lines().skip(1).map(|line| line.split_whitespace().nth(8).unwrap().parse::<u64>().unwrap()).sum()
}
