//! The shared tree, with real mounts; they need root.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use virtcontainers_device::{Access, DeviceError, Share, ShareResource};
use virtcontainers_sys::mount;
use virtcontainers_types::ContainerId;

struct Fixture {
    host: tempfile::TempDir,
    sandbox: tempfile::TempDir,
    share: Share,
}

impl Fixture {
    fn new() -> Self {
        let (host, sandbox) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(host.path().join("rootfs/etc")).unwrap();
        fs::write(host.path().join("rootfs/etc/os-release"), "ID=test\n").unwrap();
        fs::write(host.path().join("file"), "content").unwrap();
        fs::write(host.path().join("secret"), "secret").unwrap();
        let share = Share::new(&sandbox.path().canonicalize().unwrap());
        share.make().expect("mounting needs root");
        Self { host, sandbox, share }
    }

    fn host(&self, path: &str) -> PathBuf {
        self.host.path().join(path)
    }

    /// As the guest sees it.
    fn seen(&self, path: impl AsRef<Path>) -> PathBuf {
        self.share.exported().join(path)
    }

    fn mounts(&self) -> usize {
        mount::mounts_under(self.sandbox.path()).unwrap().len()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.share.remove().unwrap();
    }
}

fn id(name: &str) -> ContainerId {
    ContainerId::new(name).unwrap()
}

fn refused(path: PathBuf) -> bool {
    fs::write(path, "x").is_err_and(|error| error.kind() == ErrorKind::ReadOnlyFilesystem)
}

#[test]
fn the_guest_sees_what_its_containers_were_given_and_no_more() {
    let fixture = Fixture::new();
    let rootfs = fixture.share.add_rootfs(&id("c1"), &fixture.host("rootfs"), Access::ReadWrite).unwrap();
    assert_eq!(rootfs.path, Path::new("c1/rootfs"));
    let volume = fixture.share.add_volume(&id("c1"), 0, &fixture.host("file"), Access::ReadOnly).unwrap();
    assert_eq!((volume.path.as_path(), volume.is_dir), (Path::new("c1/vol-0"), false));
    assert_eq!(fs::read_to_string(fixture.seen("c1/rootfs/etc/os-release")).unwrap(), "ID=test\n");
    fs::write(fixture.seen("c1/rootfs/new"), "from the guest").unwrap();
    assert!(fixture.host("rootfs/new").exists());
    assert_eq!(fs::read_to_string(fixture.seen("c1/vol-0")).unwrap(), "content");
    assert!(refused(fixture.seen("c1/vol-0")));
    let listed: Vec<_> =
        fs::read_dir(fixture.share.exported()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(listed, ["c1"]);
}

#[test]
fn the_guest_cannot_change_where_the_host_mounts() {
    let fixture = Fixture::new();
    fixture.share.add_rootfs(&id("c1"), &fixture.host("rootfs"), Access::ReadWrite).unwrap();
    for above in ["evil", "c1/evil", "c1/vol-0"] {
        assert!(refused(fixture.seen(above)), "{above}");
        assert!(symlink("/etc", fixture.seen(above)).is_err(), "{above}");
    }
    assert!(fs::remove_dir(fixture.seen("c1/rootfs")).is_err());
    assert!(fs::rename(fixture.seen("c1"), fixture.seen("c2")).is_err());
}

#[test]
fn a_read_only_root_is_read_only_with_what_is_mounted_in_it() {
    let fixture = Fixture::new();
    let below = fixture.host("rootfs/etc");
    mount::tmpfs(&below, 1 << 20, 0o755).unwrap();
    let done = fixture.share.add_rootfs(&id("c1"), &fixture.host("rootfs"), Access::ReadOnly);
    let results = (refused(fixture.seen("c1/rootfs/x")), refused(fixture.seen("c1/rootfs/etc/x")));
    fixture.share.remove_container(&id("c1")).unwrap();
    mount::unmount(&below).unwrap();
    done.unwrap();
    assert_eq!(results, (true, true));
}

#[test]
fn taking_a_root_away_leaves_the_host_s_mounts_in_it() {
    let fixture = Fixture::new();
    let (source, below) = (fixture.host("rootfs"), fixture.host("rootfs/etc"));
    // As on hosts whose root is shared.
    mount::bind(&source, &source, mount::BindOptions::default()).unwrap();
    mount::make_shared(&source, false).unwrap();
    mount::tmpfs(&below, 1 << 20, 0o755).unwrap();
    let done = fixture.share.add_rootfs(&id("c1"), &source, Access::ReadWrite);
    let seen = mount::is_mount_point(&fixture.seen("c1/rootfs/etc")).unwrap();
    fixture.share.remove_container(&id("c1")).unwrap();
    let stays = mount::is_mount_point(&below).unwrap();
    for point in mount::mounts_under(&source).unwrap() {
        mount::unmount(&point).unwrap();
    }
    done.unwrap();
    assert_eq!((seen, stays), (true, true));
}

#[test]
fn a_link_that_a_guest_left_in_its_root_harms_nobody() {
    let fixture = Fixture::new();
    fixture.share.add_rootfs(&id("c1"), &fixture.host("rootfs"), Access::ReadWrite).unwrap();
    symlink(fixture.host("secret"), fixture.seen("c1/rootfs/link")).unwrap();
    symlink("/", fixture.seen("c1/rootfs/up")).unwrap();
    fixture.share.remove_container(&id("c1")).unwrap();
    assert!(fixture.host("secret").exists() && fixture.host("rootfs/link").is_symlink());
    assert_eq!(fixture.mounts(), 1);
}

#[test]
fn it_comes_apart_from_any_state_and_again() {
    let fixture = Fixture::new();
    fixture.share.add_rootfs(&id("c1"), &fixture.host("rootfs"), Access::ReadWrite).unwrap();
    fixture.share.add_volume(&id("c1"), 0, &fixture.host("rootfs"), Access::ReadWrite).unwrap();
    fixture.share.add_rootfs(&id("c2"), &fixture.host("rootfs"), Access::ReadWrite).unwrap();
    let container = fixture.share.container_resource(&id("c1"));
    let json = serde_json::to_string(&container).unwrap();
    let container: ShareResource = serde_json::from_str(&json).unwrap();
    container.release().unwrap();
    assert!(!fixture.seen("c1").exists() && fixture.seen("c2/rootfs/etc").exists());
    container.release().unwrap();
    let tree = fixture.share.resource();
    tree.release().unwrap();
    assert_eq!(fixture.mounts(), 0);
    assert_eq!(fs::read_dir(fixture.sandbox.path()).unwrap().count(), 0);
    assert!(fixture.host("rootfs/etc/os-release").exists());
    tree.release().unwrap();
    container.release().unwrap();
    ShareResource::Tree { dir: fixture.sandbox.path().join("missing") }.release().unwrap();
    fixture.share.make().unwrap();
}

#[test]
fn what_cannot_be_shared_says_why() {
    let fixture = Fixture::new();
    let file = fixture.share.add_rootfs(&id("c1"), &fixture.host("file"), Access::ReadWrite).unwrap_err();
    assert!(matches!(file, DeviceError::WrongSource { .. }), "{file:?}");
    let missing =
        fixture.share.add_volume(&id("c1"), 0, &fixture.host("missing"), Access::ReadWrite).unwrap_err();
    assert!(matches!(missing, DeviceError::Io { action: "open", ref path, .. } if path.ends_with("missing")));
    fixture.share.add_volume(&id("c1"), 0, &fixture.host("file"), Access::ReadWrite).unwrap();
    let again = fixture.share.add_volume(&id("c1"), 0, &fixture.host("file"), Access::ReadWrite);
    assert!(again.is_err());
}
