//! The real daemons, without a virtual machine.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use virtcontainers_device::{
    Access, DaemonRole, DeviceError, STOP_GRACE, Share, stop, stop_marked,
    vhost_vsock::{self, VHOST_SOCKET, VSOCK_SOCKET},
    virtiofsd::{self, SOCKET, VirtiofsdConfig},
};
use virtcontainers_sys::{process::ProcessRef, unix};
use virtcontainers_types::{ContainerId, SandboxId};

/// A root with one sandbox's directory, longer than a socket address holds.
struct Sandbox {
    root: tempfile::TempDir,
    id: SandboxId,
    dir: PathBuf,
}

impl Sandbox {
    fn new() -> Self {
        let (root, id) = (tempfile::tempdir().unwrap(), SandboxId::new("s".repeat(120)).unwrap());
        let dir = root.path().join("sandboxes").join(id.as_str());
        fs::create_dir_all(&dir).unwrap();
        Self { root, id, dir }
    }

    fn marked(&self, role: DaemonRole) -> Vec<ProcessRef> {
        role.mark(self.root.path(), &self.id).find().unwrap()
    }

    async fn stop_all(&self) {
        for role in [DaemonRole::Virtiofsd, DaemonRole::VhostVsock] {
            stop_marked(&role.mark(self.root.path(), &self.id), STOP_GRACE).await.unwrap();
        }
    }
}

/// The daemon, which is built beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("vc-virtiofsd");
    let remedy = "`cargo build -p virtcontainers-virtiofs-device`";
    assert!(program.exists(), "{} is missing: {remedy}", program.display());
    program
}

fn mountinfo(process: ProcessRef) -> String {
    fs::read_to_string(format!("/proc/{}/mountinfo", process.pid)).unwrap()
}

/// Namespaces of its own, system calls filtered, the shared directory for a root with no mount of the host's in sight.
fn is_confined(pid: u32, shared: &Path) -> bool {
    let elsewhere = ["mnt", "net", "ipc", "uts", "pid"].iter().all(|kind| {
        let mine = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        fs::read_link(format!("/proc/{pid}/ns/{kind}")).is_ok_and(|theirs| theirs != mine)
    });
    let tells = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let filtered = tells("status").contains("Seccomp:\t2");
    let rooted = fs::read_link(format!("/proc/{pid}/root")).is_ok_and(|root| root == shared);
    elsewhere && filtered && rooted && tells("mountinfo").lines().all(|line| !line.contains(" / /proc "))
}

/// Waits for something that the daemon does on its own.
async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !check() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn mounts_made_later_reach_virtiofsd_in_its_namespace() {
    let sandbox = Sandbox::new();
    let share = Share::new(&sandbox.dir);
    share.make().unwrap();
    let config = VirtiofsdConfig { program: Some(program()), ..VirtiofsdConfig::default() };
    let mut daemon = virtiofsd::launch(sandbox.root.path(), &sandbox.id, &sandbox.dir, &config).unwrap();
    let server = daemon.record().process;
    eventually("virtiofsd is not confined", || is_confined(server.pid, &share.exported())).await;
    assert_eq!(sandbox.marked(DaemonRole::Virtiofsd), [server], "one process");

    let source = tempfile::tempdir().unwrap();
    let container = ContainerId::new("c1").unwrap();
    share.add_rootfs(&container, source.path(), Access::ReadOnly).unwrap();
    eventually("the mount does not reach the daemon", || mountinfo(server).contains(" /c1/rootfs ro,")).await;
    share.remove_container(&container).unwrap();
    eventually("the mount stays in the daemon", || !mountinfo(server).contains("/c1/rootfs")).await;

    // The VMM's connection waits in the backlog or is taken; either way it is there at once.
    drop(unix::connect_in(&sandbox.dir, SOCKET).unwrap());
    stop(&daemon.record(), STOP_GRACE).await.unwrap();
    daemon.wait().await.unwrap();
    sandbox.stop_all().await;
    assert_eq!(sandbox.marked(DaemonRole::Virtiofsd), []);
    share.remove().unwrap();
}

/// `cat` takes its words for files: what matters is the sockets, which are there before it runs, and its end.
#[tokio::test]
async fn the_sockets_of_the_vsock_device_listen_before_its_process_does_anything() {
    let sandbox = Sandbox::new();
    let program = Path::new("/bin/cat");
    let daemon =
        vhost_vsock::start(sandbox.root.path(), &sandbox.id, &sandbox.dir, program, Vec::new()).unwrap();
    for socket in [VHOST_SOCKET, VSOCK_SOCKET] {
        assert!(sandbox.dir.join(socket).exists());
    }
    stop(&daemon.record(), STOP_GRACE).await.unwrap();
    stop(&daemon.record(), STOP_GRACE).await.unwrap();
    sandbox.stop_all().await;
    assert_eq!(sandbox.marked(DaemonRole::VhostVsock), []);
}

#[tokio::test]
async fn a_missing_program_is_told_by_its_path() {
    let sandbox = Sandbox::new();
    let program = Some(PathBuf::from("/nonexistent/virtiofsd"));
    let config = VirtiofsdConfig { program, ..VirtiofsdConfig::default() };
    let error = virtiofsd::launch(sandbox.root.path(), &sandbox.id, &sandbox.dir, &config).unwrap_err();
    assert!(
        matches!(error, DeviceError::NoSuchProgram { ref path, .. } if path == Path::new("/nonexistent/virtiofsd"))
    );
}
