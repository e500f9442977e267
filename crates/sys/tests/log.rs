//! Logs of a bounded size.
#![allow(clippy::unwrap_used, reason = "a test tells by panicking")]

use std::fs;

use virtcontainers_sys::log::BoundedLog;

#[test]
fn a_log_at_its_limit_becomes_the_old_one_and_no_line_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = BoundedLog::open(dir.path(), "a.log", 10).unwrap();
    for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
        log.append(line.as_bytes()).unwrap();
    }
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!((read("a.log").as_str(), read("a.log.1").as_str()), ("four\nfive\n", "three\n"));
    // Whoever opens it later goes on.
    drop(log);
    BoundedLog::open(dir.path(), "a.log", 10).unwrap().append(b"six\n").unwrap();
    assert_eq!((read("a.log").as_str(), read("a.log.1").as_str()), ("six\n", "four\nfive\n"));
}

#[test]
fn a_line_beyond_the_limit_is_kept_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = BoundedLog::open(dir.path(), "a.log", 4).unwrap();
    log.append(b"much too long\n").unwrap();
    log.append(b"x\n").unwrap();
    assert_eq!(fs::read(dir.path().join("a.log")).unwrap(), b"x\n");
    assert_eq!(fs::read(dir.path().join("a.log.1")).unwrap(), b"much too long\n");
}

#[test]
fn a_symbolic_link_in_its_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/null", dir.path().join("a.log")).unwrap();
    assert!(BoundedLog::open(dir.path(), "a.log", 10).is_err());
}
