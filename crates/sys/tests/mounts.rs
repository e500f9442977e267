//! Real mounts; they need root.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use virtcontainers_sys::mount::{self, BindOptions};

const PLAIN: BindOptions = BindOptions { recursive: false, read_only: false, peer: false };
const RECURSIVE: BindOptions = BindOptions { recursive: true, read_only: false, peer: false };

/// A directory of its own mount, private, so that a test sees no propagation but its own; unmounted at the end.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        mount::bind(dir.path(), dir.path(), PLAIN).expect("mounting needs root: run the tests with sudo");
        mount::make_private(dir.path(), true).unwrap();
        Self(dir)
    }

    fn dir(&self, name: &str) -> PathBuf {
        let dir = self.0.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for point in mount::mounts_under(self.0.path()).unwrap() {
            mount::unmount(&point).unwrap();
        }
    }
}

fn write(path: impl AsRef<Path>) -> std::io::Result<()> {
    fs::write(path, "x")
}

#[test]
fn a_shared_directory_reaches_its_read_only_slave() {
    let scratch = Scratch::new();
    let (mounts, shared, source) = (scratch.dir("mounts"), scratch.dir("shared"), scratch.dir("source"));
    write(source.join("file")).unwrap();
    mount::bind(&mounts, &mounts, PLAIN).unwrap();
    mount::make_shared(&mounts, false).unwrap();
    mount::bind(&mounts, &shared, BindOptions { peer: true, ..PLAIN }).unwrap();
    mount::make_slave(&shared, true).unwrap();
    mount::set_read_only(&shared, false).unwrap();

    let inside = scratch.dir("mounts/c1");
    mount::bind(&source, &inside, PLAIN).unwrap();
    assert!(mount::is_mount_point(&shared.join("c1")).unwrap(), "propagated");
    assert!(shared.join("c1/file").exists());
    write(shared.join("c1/new")).unwrap();
    assert_eq!(write(shared.join("top")).unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    write(mounts.join("top")).unwrap();

    let under = mount::mounts_under(&shared).unwrap();
    assert_eq!(under, [shared.join("c1"), shared.clone()].map(|path| path.canonicalize().unwrap()));
    assert!(mount::unmount(&inside).unwrap());
    assert!(!mount::is_mount_point(&shared.join("c1")).unwrap(), "the removal propagated");
    // The other way round nothing passes.
    mount::bind(&source, &shared.join("c1"), PLAIN).unwrap();
    assert!(!mount::is_mount_point(&inside).unwrap());
}

#[test]
fn a_read_only_bind_covers_what_is_below() {
    let scratch = Scratch::new();
    let (source, below, target) = (scratch.dir("source"), scratch.dir("source/below"), scratch.dir("target"));
    mount::tmpfs(&below, 1 << 20, 0o755).unwrap();
    let both = BindOptions { read_only: true, ..RECURSIVE };
    let (from, to) = (File::open(&source).unwrap(), File::open(&target).unwrap());
    mount::bind_fd(from.as_fd(), to.as_fd(), both).unwrap();
    for refused in [target.join("a"), target.join("below/a")] {
        assert_eq!(write(refused).unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    }
    write(source.join("a")).unwrap();
    write(below.join("a")).unwrap();
}

#[test]
fn unmounting_a_bind_leaves_the_source_s_mounts_alone() {
    let scratch = Scratch::new();
    let (source, below, target) = (scratch.dir("source"), scratch.dir("source/below"), scratch.dir("target"));
    // As on hosts whose root is shared.
    mount::bind(&source, &source, PLAIN).unwrap();
    mount::make_shared(&source, false).unwrap();
    mount::tmpfs(&below, 1 << 20, 0o755).unwrap();
    let bind_and_unmount = |options| {
        mount::bind(&source, &target, options).unwrap();
        let points = mount::mounts_under(&target).unwrap();
        assert_eq!(points.len(), 2, "{points:?}");
        for point in points {
            assert!(mount::unmount(&point).unwrap());
        }
    };
    bind_and_unmount(RECURSIVE);
    assert!(mount::is_mount_point(&below).unwrap(), "the unmount passed to the source");
    // What it guards against: among peers it does pass.
    bind_and_unmount(BindOptions { peer: true, ..RECURSIVE });
    assert!(!mount::is_mount_point(&below).unwrap());
}

#[test]
fn a_file_is_bound_on_a_file_only() {
    let scratch = Scratch::new();
    let dir = scratch.dir("dir");
    let (source, target) = (dir.join("source"), dir.join("target"));
    fs::write(&source, "content").unwrap();
    fs::write(&target, "").unwrap();
    mount::bind(&source, &target, PLAIN).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "content");
    assert!(mount::bind(&source, &dir, PLAIN).is_err());
}

#[test]
fn symbolic_links_are_not_followed() {
    let scratch = Scratch::new();
    let (real, mounted) = (scratch.dir("real"), scratch.dir("mounted"));
    mount::bind(&real, &mounted, PLAIN).unwrap();
    let link = scratch.0.path().join("link");
    std::os::unix::fs::symlink(&mounted, &link).unwrap();
    assert!(!mount::unmount(&link).unwrap());
    assert!(mount::is_mount_point(&mounted).unwrap(), "unmounted through a link");
    assert!(!mount::is_mount_point(&link).unwrap());
    assert!(mount::bind(&link, &real, PLAIN).is_err());
    assert!(mount::bind(&real, &link, PLAIN).is_err());
    assert!(mount::set_read_only(&link, false).is_err());
}

#[test]
fn taking_away_what_is_not_there_is_no_error() {
    let scratch = Scratch::new();
    let dir = scratch.dir("a dir\twith\\odd characters");
    assert!(!mount::unmount(&dir).unwrap());
    assert!(!mount::unmount(&dir.join("missing")).unwrap());
    assert!(!mount::is_mount_point(&dir.join("missing")).unwrap());
    assert_eq!(mount::mounts_under(&dir.join("missing")).unwrap(), Vec::<PathBuf>::new());
    mount::bind(&dir, &dir, PLAIN).unwrap();
    mount::bind(&dir, &dir, PLAIN).unwrap();
    let here = dir.canonicalize().unwrap();
    assert_eq!(mount::mounts_under(&dir).unwrap(), [here.clone(), here], "one over the other");
    assert!(mount::unmount(&dir).unwrap());
    assert!(mount::unmount(&dir).unwrap());
    assert!(!mount::unmount(&dir).unwrap());
}

#[test]
fn removing_a_tree_stops_at_a_mount() {
    let scratch = Scratch::new();
    let (precious, tree) = (scratch.dir("precious"), scratch.dir("tree"));
    write(precious.join("file")).unwrap();
    let inside = scratch.dir("tree/a/b");
    std::os::unix::fs::symlink(&precious, tree.join("link")).unwrap();
    mount::bind(&precious, &inside, PLAIN).unwrap();
    let root = virtcontainers_sys::fs::open_dir(scratch.0.path()).unwrap();
    let remove = || virtcontainers_sys::fs::remove_tree(root.as_fd(), "tree".as_ref());
    let refused = remove().unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::CrossesDevices | ErrorKind::ResourceBusy), "{refused}");
    assert!(precious.join("file").exists(), "removed through a mount");
    mount::unmount(&inside).unwrap();
    remove().unwrap();
    assert!(!tree.exists() && precious.join("file").exists());
    remove().unwrap();
}
