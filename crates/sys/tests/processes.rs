//! Real processes: identity, marks, descriptors handed over, exit by pidfd.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::process::ExitStatusExt as _},
    path::Path,
    time::{Duration, Instant},
};

use virtcontainers_sys::{
    process::{Mark, ProcessRef, Signal},
    spawn::{Spawn, SpawnError},
};
use virtcontainers_types::SandboxId;

fn sleeper() -> Spawn {
    Spawn::new("sleep").args(["60"])
}

#[tokio::test]
async fn a_killed_process_is_seen_to_exit_and_is_gone() {
    let mut child = sleeper().spawn().unwrap();
    let process = child.process();
    assert!(process.is_alive());
    assert!(process.resident_bytes().unwrap() > 0);
    let pidfd = process.open().unwrap().expect("it runs");
    assert!(!pidfd.has_exited().unwrap());
    let early = tokio::time::timeout(Duration::from_millis(20), pidfd.exited()).await;
    assert!(early.is_err(), "a living process was said to have exited");

    assert!(process.kill(Signal::TERM).unwrap());
    tokio::time::timeout(Duration::from_secs(10), pidfd.exited()).await.expect("exit seen").unwrap();
    assert!(!process.is_alive(), "a zombie is not alive");
    assert!(!process.kill(Signal::TERM).unwrap(), "a zombie takes no signal");
    let status = child.wait().await.unwrap();
    assert_eq!(status.signal(), Some(15));
    assert_eq!(child.wait().await.unwrap(), status, "asked again");
    assert!(process.open().unwrap().is_none());
}

#[test]
fn another_start_time_is_another_process() {
    let me = ProcessRef::myself().unwrap();
    let other = ProcessRef { start: me.start + 1, ..me };
    assert!(me.is_alive() && !other.is_alive());
    assert!(other.open().unwrap().is_none());
    assert!(!other.kill(Signal::KILL).unwrap(), "or this test would be dead");
    assert!(other.resident_bytes().is_err());
    let json = serde_json::to_string(&me).unwrap();
    assert_eq!(serde_json::from_str::<ProcessRef>(&json).unwrap(), me);
}

#[tokio::test]
async fn a_dropped_child_runs_on_and_leaves_no_zombie() {
    let child = sleeper().spawn().unwrap();
    let process = child.process();
    drop(child);
    let pidfd = process.open().unwrap().expect("dropping does not kill");
    assert!(pidfd.signal(Signal::KILL).unwrap());
    pidfd.exited().await.unwrap();
    let reaped = async {
        while ProcessRef::of(process.pid).is_ok_and(|now| now == process) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), reaped).await.expect("reaped");
}

#[tokio::test]
async fn marks_are_found_and_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (SandboxId::new("one").unwrap(), SandboxId::new("two").unwrap());
    let mark = Mark::new(dir.path(), &one, "vmm");
    let mut child = sleeper().mark(&mark).spawn().unwrap();
    assert_eq!(mark.find().unwrap(), [child.process()]);
    for other in [Mark::new(dir.path(), &two, "vmm"), Mark::new(dir.path(), &one, "vm")] {
        assert_eq!(other.find().unwrap(), []);
    }
    let found = Mark::find_under(dir.path()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].sandbox, found[0].role.as_str(), found[0].process), (&one, "vmm", child.process()));
    child.signal(Signal::KILL).unwrap();
    child.wait().await.unwrap();
    assert_eq!(mark.find().unwrap(), []);
}

#[tokio::test]
async fn the_process_has_what_it_was_given_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (input, mut feed) = std::io::pipe().unwrap();
    feed.write_all(b"handed over\n").unwrap();
    drop(feed);
    let log = dir.path().join("child.log");
    fs::write(&log, "before\n").unwrap();
    let script =
        r#"cat <&7 >&5; pwd >&5; echo "${KEY}${HOME}" >&5; cut -d' ' -f1,6 /proc/$$/stat >&5; echo oops >&2"#;
    let child = Spawn::new("/bin/sh")
        .args(["-c", script])
        .cwd(dir.path())
        .env("KEY", "value")
        .fd(OwnedFd::from(writer), 5)
        .fd(OwnedFd::from(input), 7)
        .stderr(&log)
        .spawn();
    let mut child = child.unwrap();
    let pid = child.process().pid;
    assert!(child.wait().await.unwrap().success());
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    let cwd = dir.path().canonicalize().unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "handed over");
    assert_eq!(lines[1], cwd.to_str().unwrap());
    assert_eq!(lines[2], "value", "HOME is not inherited");
    assert_eq!(lines[3], format!("{pid} {pid}"), "it leads its session");
    assert_eq!(fs::read_to_string(&log).unwrap(), "before\noops\n");
}

#[tokio::test]
async fn no_other_descriptor_leaks_into_the_process() {
    let leaky = fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&leaky, rustix::io::FdFlags::empty()).unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let given = OwnedFd::from(fs::File::open("/dev/null").unwrap());
    let child = Spawn::new("ls").args(["/proc/self/fd"]).fd(OwnedFd::from(writer), 1).fd(given, 40).spawn();
    let mut child = child.unwrap();
    assert!(child.wait().await.unwrap().success());
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    // 3 is the directory that ls itself reads.
    let mut fds: Vec<&str> = said.lines().collect();
    fds.sort_unstable();
    assert_eq!(fds, ["0", "1", "2", "3", "40"]);
}

#[test]
fn what_cannot_start_says_why() {
    let missing = Spawn::new("/nonexistent/program").spawn().unwrap_err();
    assert!(
        matches!(missing, SpawnError::NotFound { ref program } if program == Path::new("/nonexistent/program"))
    );
    let nowhere = sleeper().cwd("/nonexistent").spawn().unwrap_err();
    assert!(matches!(nowhere, SpawnError::Failed { .. }), "{nowhere:?}");
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("log")).unwrap();
    let led_astray = sleeper().stderr(dir.path().join("log")).spawn().unwrap_err();
    assert!(matches!(led_astray, SpawnError::Log { .. }), "{led_astray:?}");
    let fd = || OwnedFd::from(fs::File::open("/dev/null").unwrap());
    let twice = sleeper().fd(fd(), 4).fd(fd(), 4).spawn().unwrap_err();
    assert!(matches!(twice, SpawnError::Failed { .. }), "{twice:?}");
}

#[tokio::test]
async fn a_task_ends_with_its_owner() {
    let (ended, on_end) = tokio::sync::oneshot::channel::<()>();
    let task = virtcontainers_sys::task::spawn("test", async move {
        let _ended = ended;
        std::future::pending::<()>().await;
    });
    drop(task);
    assert!(on_end.await.is_err(), "the task's own state was dropped");
    assert_eq!(virtcontainers_sys::task::spawn("test", async { 7 }).await.unwrap(), 7);
}

#[test]
fn spawning_is_quick() {
    let begin = Instant::now();
    let child = Spawn::new("/bin/true").spawn().unwrap();
    drop(child);
    assert!(begin.elapsed() < Duration::from_secs(2));
}

/// A file that an `ip netns` made, gone when the test ends.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        let name = format!("vc-sys-{}", std::process::id());
        let made = std::process::Command::new("ip").args(["netns", "add", &name]).status();
        assert!(made.expect("ip runs: apt-get install iproute2").success());
        Self(name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        std::process::Command::new("ip").args(["netns", "del", &self.0]).status().expect("ip runs");
    }
}

#[tokio::test]
async fn a_process_starts_in_the_network_namespace_it_is_given() {
    let namespace = Namespace::new();
    let path = Path::new("/run/netns").join(&namespace.0);
    let inside = virtcontainers_sys::netns::open(&path).unwrap();
    let there = format!("net:[{}]\n", rustix::fs::fstat(&inside).unwrap().st_ino);
    let here = fs::read_link("/proc/self/ns/net").unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let readlink = Spawn::new("readlink").args(["/proc/self/ns/net"]).netns(inside);
    let mut child = readlink.fd(OwnedFd::from(writer), 1).spawn().unwrap();
    assert!(child.wait().await.unwrap().success());
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert_eq!(said, there);
    assert_eq!(fs::read_link("/proc/self/ns/net").unwrap(), here, "the starter stays where it is");

    let no_namespace = OwnedFd::from(fs::File::open("/dev/null").unwrap());
    let refused = sleeper().netns(no_namespace).spawn().unwrap_err();
    assert!(matches!(refused, SpawnError::Netns { .. }), "{refused:?}");
}
