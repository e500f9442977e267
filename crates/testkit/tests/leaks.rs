//! Each kind of leak is seen, and what was there before is not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{fs, panic::AssertUnwindSafe, path::Path};

use virtcontainers_sys::{
    mount::{self, BindOptions},
    process::{Mark, Signal},
    spawn::Spawn,
    unix,
};
use virtcontainers_testkit::{HostSnapshot, Leak, TestNetNs, TestRoot, assert_no_leaks};
use virtcontainers_types::SandboxId;

fn sleeper(root: &Path) -> virtcontainers_sys::spawn::Child {
    let mark = Mark::new(root, &SandboxId::new("s").unwrap(), "vmm");
    Spawn::new("sleep").args(["60"]).mark(&mark).spawn().unwrap()
}

#[tokio::test]
async fn every_kind_is_seen() {
    let root = TestRoot::new();
    assert!(root.leaks().is_empty());
    fs::create_dir(root.path().join("sandboxes")).unwrap();
    assert!(root.leaks().is_empty(), "the frame of a store is no leak");

    let dir = root.path().join("sandboxes/s");
    fs::create_dir(&dir).unwrap();
    let listener = unix::bind_in(&dir, "qmp.sock").unwrap();
    mount::bind(&dir, &dir, BindOptions::default()).expect("mounting needs root");
    let mut child = sleeper(root.path());
    let expected = [
        Leak::Process { process: child.process(), mark: "s:vmm".to_owned() },
        Leak::Mount(dir.clone()),
        Leak::Entry(dir.clone()),
    ];
    assert_eq!(root.leaks(), expected);
    mount::unmount(&dir).unwrap();
    assert!(root.leaks().contains(&Leak::Entry(dir.join("qmp.sock"))));
    child.signal(Signal::KILL).unwrap();
    child.wait().await.unwrap();
    drop(listener);
    fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn dropping_a_root_fails_the_test_and_cleans_up() {
    let root = TestRoot::new();
    let path = root.path().to_owned();
    let mut child = sleeper(&path);
    fs::write(path.join("left"), "").unwrap();
    let told = std::panic::catch_unwind(AssertUnwindSafe(|| drop(root))).unwrap_err();
    let told = told.downcast_ref::<String>().unwrap();
    assert!(told.contains("s:vmm") && told.contains("left"), "{told}");
    child.wait().await.unwrap();
    assert!(!path.exists());
}

#[test]
fn what_was_there_before_is_no_leak() {
    let root = TestRoot::new();
    fs::write(root.path().join("before"), "").unwrap();
    let before = HostSnapshot::take(root.path()).unwrap();
    assert_no_leaks(&before);
    fs::write(root.path().join("after"), "").unwrap();
    let now = HostSnapshot::take(root.path()).unwrap();
    assert_eq!(now.leaks_since(&before), [Leak::Entry(root.path().join("after"))]);
    assert!(std::panic::catch_unwind(|| assert_no_leaks(&before)).is_err());
    fs::remove_file(root.path().join("before")).unwrap();
    fs::remove_file(root.path().join("after")).unwrap();
}

/// What a namespace gets and loses is seen; to put it back leaves no trace.
#[test]
fn a_namespace_that_changes_is_seen() {
    let (left, right) = (TestNetNs::new(), TestNetNs::new());
    left.join("eth0", &right, "peer0");
    left.ip("addr add 10.1.2.3/24 dev eth0");
    let before = left.snapshot();
    assert_eq!(before.changes_since(&left.snapshot()), [""; 0]);
    assert_eq!(right.links(), ["lo", "peer0"]);
    for (change, back, told) in [
        ("ip link add br0 type bridge", "ip link del br0", "+ link: "),
        ("ip tuntap add t0 mode tap", "ip link del t0", "+ link: "),
        ("tc qdisc add dev eth0 ingress", "tc qdisc del dev eth0 ingress", "+ qdisc: "),
        ("ip addr del 10.1.2.3/24 dev eth0", "ip addr add 10.1.2.3/24 dev eth0", "- address: "),
        ("ip link set eth0 mtu 1400", "ip link set eth0 mtu 1500", "+ link: "),
    ] {
        left.run(change);
        let changes = left.snapshot().changes_since(&before);
        assert!(changes.iter().any(|line| line.starts_with(told)), "{change}: {changes:?}");
        left.run(back);
        assert_eq!(left.snapshot().changes_since(&before), [""; 0], "after {back}");
    }
    left.run("tc qdisc add dev eth0 ingress");
    let qdisc = left.snapshot();
    left.run(
        "tc filter add dev eth0 ingress protocol all u32 match u8 0 0 action mirred egress redirect dev eth0",
    );
    let changes = left.snapshot().changes_since(&qdisc);
    assert!(changes.iter().any(|line| line.starts_with("+ filter eth0 ingress")), "{changes:?}");
}
