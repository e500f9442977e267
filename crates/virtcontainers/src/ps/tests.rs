//! What ps would print, compared whole.

use virtcontainers_agent_client::ProcessState;

use super::*;

/// 2026-02-03 04:05:06 UTC.
const NOW: Timestamp = Timestamp(1_770_091_506_000);

fn processes() -> Vec<GuestProcess> {
    let shell = GuestProcess {
        pid: 100,
        container_pid: 1,
        uid: 0,
        start_time_ms: NOW.0 - 3_600_000,
        cpu_ms: 900_000,
        rss_bytes: 1 << 20,
        vsize_bytes: 4 << 20,
        threads: 1,
        comm: "sh".into(),
        args: vec!["/bin/sh".into(), "-c".into(), "a\u{1b}[2Jb".into()],
        ..GuestProcess::default()
    };
    let worker = GuestProcess {
        pid: 101,
        container_pid: 7,
        ppid: 100,
        container_ppid: 1,
        uid: 1000,
        tty: "pts/0".into(),
        state: ProcessState::Running,
        start_time_ms: NOW.0 - 3 * 86_400_000,
        cpu_ms: 90_061_000,
        comm: "worker".into(),
        args: Vec::new(),
        ..GuestProcess::default()
    };
    vec![shell, worker]
}

fn show(args: &[&str]) -> String {
    let args = args.iter().map(|&arg| arg.to_owned()).collect();
    let view = ProcessListOptions { format: ProcessListFormat::Table, args }.view().unwrap();
    let users = [(0, "root".to_owned())].into();
    view.show(&processes(), &Setting { now: NOW, memory: 512 << 20, users }).to_string()
}

#[test]
fn the_usual_words() {
    let full = "\
USER PID PPID  C STIME TTY         TIME COMMAND
root   1    0 25 03:05 ?       00:15:00 /bin/sh -c a?[2Jb
1000   7    1 34 Jan31 pts/0 1-01:01:01 [worker]
";
    for args in [&[][..], &["-ef"], &["-e", "-f"], &["-A", "-f"]] {
        assert_eq!(show(args), full, "{args:?}");
    }
    let user = "\
USER PID %CPU %MEM  VSZ  RSS TTY   S STIME       TIME COMMAND
root   1 25.0  0.1 4096 1024 ?     S 03:05   00:15:00 /bin/sh -c a?[2Jb
1000   7 34.7  0.0    0    0 pts/0 R Jan31 1-01:01:01 [worker]
";
    for args in [&["aux"][..], &["-aux"], &["a", "u", "x"]] {
        assert_eq!(show(args), user, "{args:?}");
    }
    let chosen = "\
GPID UID    ELAPSED COMMAND
 100   0   01:00:00 sh
 101 1000 3-00:00:00 worker
";
    let columns = |text: &str| {
        text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    for args in [&["-eo", "gpid,uid,etime,comm"][..], &["-e", "-ogpid,uid", "-o", "etime comm"]] {
        assert_eq!(columns(&show(args)), columns(chosen), "{args:?}");
    }
}

#[test]
fn words_that_are_not_served() {
    for args in
        [&["-q"][..], &["--forest"], &["-o"], &["-o", "pid,nonsense"], &["-o", ""], &["-"], &["f"], &[""]]
    {
        let options =
            ProcessListOptions { args: args.iter().map(|&arg| arg.into()).collect(), ..Default::default() };
        let error = options.view().unwrap_err();
        assert!(error.to_string().contains("-ef"), "{args:?}: {error}");
    }
}

#[test]
fn json_has_everything() {
    let view = ProcessListOptions { format: ProcessListFormat::Json, args: Vec::new() }.view().unwrap();
    let users = BTreeMap::new();
    let list = view.show(&processes(), &Setting { now: NOW, memory: 1, users });
    let read: Vec<GuestProcess> = serde_json::from_slice(list.as_ref()).unwrap();
    assert_eq!(read, processes());
}

#[test]
fn a_containers_own_ps() {
    let users: BTreeMap<_, _> = [(0, "root".to_owned()), (5, "bob".to_owned())].into();
    let procps =
        "    PID    PPID USER     COMMAND\n      1       0 root     /sbin/init splash\n   7 1 bob  sleep 9\n";
    let busybox = "PID   PPID  USER     COMMAND\n    1     0 root     /sbin/init splash\n    7     1 bob      sleep 9\n";
    for listing in [procps, busybox] {
        let read = read(listing, &users).unwrap();
        let seen: Vec<_> =
            read.iter().map(|p| (p.pid, p.container_ppid, p.uid, p.comm.as_str(), p.args.len())).collect();
        assert_eq!(seen, [(1, 0, 0, "init", 2), (7, 1, 5, "sleep", 2)]);
    }
    for nonsense in ["", "ps: unknown option\n", "PID PPID USER COMMAND\none two three four\n"] {
        assert_eq!(super::read(nonsense, &users), None, "{nonsense:?}");
    }
}
