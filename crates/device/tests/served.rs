//! A tree that is served by a process: its files are for that process, and out of the reach of everybody else. With real
//! mounts; they need root.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use virtcontainers_device::{Access, Share};
use virtcontainers_sys::{
    mount,
    process::Signal,
    spawn::{Child, Spawn},
};
use virtcontainers_types::ContainerId;

struct Served {
    host: tempfile::TempDir,
    sandbox: PathBuf,
    _sandbox: tempfile::TempDir,
    share: Share,
    server: Child,
}

impl Served {
    fn new() -> Self {
        let (host, sandbox) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(host.path().join("rootfs/etc")).unwrap();
        fs::write(host.path().join("rootfs/etc/os-release"), "ID=test\n").unwrap();
        fs::write(host.path().join("file"), "content").unwrap();
        let dir = sandbox.path().canonicalize().unwrap();
        let share = Share::new(&dir);
        share.make().expect("mounting needs root");
        let server = Spawn::new("sleep").args(["1000"]).confined().spawn().unwrap();
        let share = share.served_by(Some(server.process()));
        Self { host, sandbox: dir, _sandbox: sandbox, share, server }
    }

    fn add(&self, id: &ContainerId) {
        self.share.add_rootfs(id, &self.host.path().join("rootfs"), Access::ReadWrite).unwrap();
        self.share.add_volume(id, 0, &self.host.path().join("file"), Access::ReadOnly).unwrap();
    }

    /// A path of the exported tree, as the process sees it.
    fn seen(&self, path: &str) -> PathBuf {
        let exported = self.share.exported().join(path);
        let root = PathBuf::from(format!("/proc/{}/root", self.server.process().pid));
        root.join(exported.strip_prefix("/").unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.process().kill(Signal::KILL).unwrap();
        self.share.remove().unwrap();
    }
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[test]
fn only_the_server_sees_the_files() {
    let served = Served::new();
    let id = ContainerId::new("c1").unwrap();
    served.add(&id);
    assert_eq!(fs::read_to_string(served.seen("c1/rootfs/etc/os-release")).unwrap(), "ID=test\n");
    assert_eq!(fs::read_to_string(served.seen("c1/vol-0")).unwrap(), "content");
    assert!(fs::write(served.seen("c1/vol-0"), "x").is_err(), "read-only");
    fs::write(served.seen("c1/rootfs/new"), "from the guest").unwrap();
    assert!(fs::write(served.seen("c1/new"), "x").is_err(), "the top is read-only");
    assert_eq!(entries(&served.sandbox.join("mounts/c1/rootfs")), 0);
    assert_eq!(entries(&served.share.exported().join("c1/rootfs")), 0);
    assert_eq!(mount::mounts_under(&served.sandbox).unwrap(), [served.share.exported()]);
    let again = served.share.add_rootfs(&id, &served.host.path().join("rootfs"), Access::ReadWrite);
    assert!(again.is_err(), "a second time");
}

#[test]
fn removing_the_state_of_a_live_sandbox_by_hand_spares_the_user_s_files() {
    let served = Served::new();
    served.add(&ContainerId::new("c1").unwrap());
    // What `rm -r` does: it goes on where something refuses, as the read-only top does.
    let removed = std::process::Command::new("rm").arg("-rf").arg(&served.sandbox).output().unwrap();
    assert!(!served.sandbox.join("mounts/c1").exists(), "{removed:?}");
    assert_eq!(fs::read_to_string(served.host.path().join("rootfs/etc/os-release")).unwrap(), "ID=test\n");
    assert_eq!(fs::read_to_string(served.host.path().join("file")).unwrap(), "content");
}

#[test]
fn a_container_leaves_a_server_that_stays_and_may_come_back() {
    let served = Served::new();
    let (first, second) = (ContainerId::new("c1").unwrap(), ContainerId::new("c2").unwrap());
    served.add(&first);
    served.add(&second);
    served.share.remove_container(&first).unwrap();
    assert!(!served.seen("c1").exists() && served.seen("c2/rootfs/etc").exists());
    served.share.remove_container(&first).unwrap();
    served.add(&first);
    assert!(served.seen("c1/rootfs/etc").exists());
    assert!(served.host.path().join("rootfs/etc/os-release").exists());
}

#[test]
fn nothing_is_added_for_a_server_that_has_ended() {
    let served = Served::new();
    served.add(&ContainerId::new("c1").unwrap());
    let process = served.server.process();
    process.kill(Signal::KILL).unwrap();
    while process.is_alive() {
        std::thread::yield_now();
    }
    let id = ContainerId::new("c2").unwrap();
    let late = served.share.add_rootfs(&id, &served.host.path().join("rootfs"), Access::ReadWrite);
    assert!(late.is_err());
    served.share.remove().unwrap();
    assert_eq!(entries(&served.sandbox), 0);
    assert!(served.host.path().join("rootfs/etc/os-release").exists());
}
