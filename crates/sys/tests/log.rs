//! Logs of a bounded size.
#![allow(clippy::unwrap_used, reason = "a test tells by panicking")]

use std::fs;

use virtcontainers_sys::{
    log::{BoundedLog, trim},
    process::Signal,
    spawn::Spawn,
};

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

#[test]
fn a_log_that_others_write_is_cut_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    assert!(!trim(dir.path(), "a.log", 4).unwrap(), "no such file");
    let mut writer = fs::File::options().append(true).create(true).open(&path).unwrap();
    std::io::Write::write_all(&mut writer, b"123456").unwrap();
    assert!(!trim(dir.path(), "a.log", 6).unwrap());
    assert!(trim(dir.path(), "a.log", 4).unwrap());
    assert_eq!(fs::read(dir.path().join("a.log.1")).unwrap(), b"3456");
    std::io::Write::write_all(&mut writer, b"78").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"78", "with no hole before it");
    fs::create_dir(dir.path().join("dir.log")).unwrap();
    std::os::unix::fs::symlink(&path, dir.path().join("link.log")).unwrap();
    for other in ["dir.log", "link.log"] {
        assert!(!trim(dir.path(), other, 0).unwrap(), "{other}");
    }
}

/// A helper that complains without end.
fn complainer(program: Spawn) -> virtcontainers_sys::spawn::Child {
    program.args(["-c", "while :; do echo complaint >&2; done"]).spawn().unwrap()
}

#[test]
fn a_helper_that_writes_without_end_is_bounded_and_lives_on() {
    const LIMIT: u64 = 100 << 10;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let child = complainer(Spawn::new("/bin/sh").stderr(&path).largest_file(LIMIT));
    while fs::metadata(&path).unwrap().len() < LIMIT {
        std::thread::yield_now();
    }
    // It has room again, and uses it: so it was neither killed nor held up by what it could not write.
    assert!(trim(dir.path(), "a.log", LIMIT / 2).unwrap());
    while fs::metadata(&path).unwrap().len() < LIMIT {
        std::thread::yield_now();
    }
    assert!(child.process().is_alive());
    assert_eq!(fs::metadata(&path).unwrap().len(), LIMIT);
    child.signal(Signal::KILL).unwrap();
}
