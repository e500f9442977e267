use std::{fs, path::Path};

use crate::container::processes;

#[test]
fn a_process_is_described_by_what_the_kernel_shows() {
    let proc = tempfile::tempdir().unwrap();
    let directory = proc.path().join("77");
    fs::create_dir(&directory).unwrap();
    let stat = "77 (a) b (c) S 70 77 77 34817 77 4194304 1 0 0 0 250 50 0 0 20 0 3 0 1234 8192 99 0";
    fs::write(directory.join("stat"), stat).unwrap();
    let status = "Name:\tx\nUid:\t1\t1000\t1\t1\nGid:\t2\t100\t2\t2\nNSpid:\t77\t5\nVmRSS:\t     12 kB\n";
    fs::write(directory.join("status"), status).unwrap();
    fs::write(directory.join("cmdline"), b"sh\0-c\0\0").unwrap();
    let process = processes::describe(proc.path(), 77, 1_000_000).unwrap();
    assert_eq!((process.pid, process.container_pid, process.ppid), (77, 5, 70));
    assert_eq!((process.uid, process.gid, process.threads), (1000, 100, 3));
    assert_eq!((process.state.as_str(), process.tty.as_str()), ("S", "pts/1"));
    assert_eq!(process.comm, "a) b (c", "a name may hold parentheses");
    assert_eq!((process.cpu_ms, process.start_time_ms), (3000, 1_012_340));
    assert_eq!((process.rss_bytes, process.vsize_bytes), (12 * 1024, 8192));
    assert_eq!(process.args, ["sh", "-c", ""]);
}

#[test]
fn what_is_gone_or_garbled_is_left_out() {
    assert!(processes::describe(Path::new("/nowhere"), 1, 0).is_none());
    let proc = tempfile::tempdir().unwrap();
    let directory = proc.path().join("1");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("stat"), "1 (x").unwrap();
    fs::write(directory.join("status"), "").unwrap();
    assert!(processes::describe(proc.path(), 1, 0).is_none());
}
