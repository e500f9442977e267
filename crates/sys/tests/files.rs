//! Atomic writes and bounded, confined reads.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{fs, io::ErrorKind, os::fd::AsFd as _, os::unix::fs::PermissionsExt as _, path::Path};

use rustix::fs::{Mode, OFlags};
use virtcontainers_sys::fs::{Durability, open_beneath, open_dir, read_bounded, write_atomically};

#[test]
fn a_write_replaces_all_and_leaves_nothing_beside() {
    let root = tempfile::tempdir().unwrap();
    let dir = open_dir(root.path()).unwrap();
    for (content, durability) in [("a longer first text", Durability::Full), ("second", Durability::NoSync)] {
        write_atomically(dir.as_fd(), "record.json", content.as_bytes(), durability).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("record.json")).unwrap(), content);
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    let mode = fs::metadata(root.path().join("record.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
}

#[test]
fn a_failed_write_leaves_the_old_content_and_no_file() {
    let root = tempfile::tempdir().unwrap();
    let dir = open_dir(root.path()).unwrap();
    fs::create_dir(root.path().join("taken")).unwrap();
    assert!(write_atomically(dir.as_fd(), "taken", b"x", Durability::Full).is_err());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn nothing_leads_out_of_a_directory() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("in/side")).unwrap();
    fs::write(root.path().join("secret"), "s").unwrap();
    fs::write(root.path().join("in/side/file"), "f").unwrap();
    std::os::unix::fs::symlink("side", root.path().join("in/link")).unwrap();
    std::os::unix::fs::symlink("../secret", root.path().join("in/leak")).unwrap();
    let dir = open_dir(&root.path().join("in")).unwrap();
    let open = |path: &str| open_beneath(dir.as_fd(), Path::new(path), OFlags::RDONLY, Mode::empty());
    assert_eq!(read_bounded(open("side/file").unwrap(), 10).unwrap(), b"f");
    for refused in ["../secret", "link/file", "leak", "/etc/passwd", "side/../../secret"] {
        assert!(open(refused).is_err(), "{refused}");
    }
}

#[test]
fn reads_are_bounded_and_of_files_only() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("ten"), "0123456789").unwrap();
    let dir = open_dir(root.path()).unwrap();
    let open =
        |path: &str| open_beneath(dir.as_fd(), Path::new(path), OFlags::RDONLY, Mode::empty()).unwrap();
    assert_eq!(read_bounded(open("ten"), 10).unwrap().len(), 10);
    assert_eq!(read_bounded(open("ten"), 9).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(read_bounded(open("."), 9).unwrap_err().kind(), ErrorKind::InvalidInput);
}
