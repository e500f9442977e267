//! What tests with a real virtual machine share: a root directory, a root filesystem of busybox, the guest image, and the
//! turn of each test.

#![allow(dead_code, reason = "each test program uses its part of it")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use tokio::{
    io::AsyncReadExt as _,
    sync::{Mutex, MutexGuard},
};
use virtcontainers::{ContainerConfig, MiB, Process, Runtime, SandboxConfig};
use virtcontainers_testkit::TestRoot;

/// A machine under TCG takes a core: two at once would time out for want of it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The applets that the tests' containers call.
const APPLETS: [&str; 20] = [
    "sh",
    "cat",
    "dd",
    "echo",
    "sleep",
    "true",
    "id",
    "env",
    "pwd",
    "stty",
    "ps",
    "tail",
    "seq",
    "uname",
    "hostname",
    "ls",
    "ip",
    "nc",
    "ping",
    "sha256sum",
];

/// A root directory, a root filesystem of busybox, and the turn of this test.
pub(crate) struct Stage {
    pub(crate) rootfs: tempfile::TempDir,
    pub(crate) root: TestRoot,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        Self { rootfs: busybox(), root: TestRoot::new(), _turn: turn }
    }

    pub(crate) fn runtime(&self) -> Runtime {
        Runtime::builder().root(self.root.path()).helper_program(helper()).build().unwrap()
    }

    pub(crate) fn shell(&self, id: &str, script: &str) -> ContainerConfig {
        ContainerConfig::new(id, self.rootfs.path(), ["/bin/sh", "-c", script])
    }

    pub(crate) fn config(&self, id: &str) -> SandboxConfig {
        let guest = guest_dir();
        let mut config = SandboxConfig { id: id.into(), ..SandboxConfig::default() };
        config.hypervisor_config.kernel_path = guest.join("vmlinux");
        config.hypervisor_config.initrd_path = Some(guest.join("initrd.img"));
        config.hypervisor_config.memory_size = MiB(512);
        config.hypervisor_config.virtio_fs_daemon = Some(virtiofsd());
        config
    }
}

/// The helpers' program.
pub(crate) fn helper() -> PathBuf {
    built("vc-helper", "virtcontainers-agent-client")
}

/// The virtio-fs daemon.
pub(crate) fn virtiofsd() -> PathBuf {
    built("vc-virtiofsd", "virtcontainers-virtiofs-device")
}

/// A program of another package, which is built beside the tests.
fn built(name: &str, package: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join(name);
    assert!(program.exists(), "{} is missing: `cargo build -p {package}`", program.display());
    program
}

pub(crate) fn guest_dir() -> PathBuf {
    let dir = std::env::var_os("VC_GUEST_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/guest"), PathBuf::from);
    dir.canonicalize().unwrap_or_else(|error| {
        panic!(
            "no guest image in {}: {error}; make one with `virtc guest build`, or set VC_GUEST_DIR",
            dir.display()
        )
    })
}

fn busybox() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["bin", "etc", "proc", "sys", "dev", "tmp", "data", "srv"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::copy("/bin/busybox", dir.path().join("bin/busybox"))
        .unwrap_or_else(|error| panic!("no /bin/busybox: {error}; `apt-get install busybox-static`"));
    for applet in APPLETS {
        symlink("busybox", dir.path().join("bin").join(applet)).unwrap();
    }
    fs::write(dir.path().join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/srv:/bin/sh\n")
        .unwrap();
    fs::write(dir.path().join("etc/group"), "root:x:0:\nbob:x:1000:\nstaff:x:50:bob\n").unwrap();
    dir
}

/// All that a process says, and its exit code.
pub(crate) async fn output(process: &Process) -> (String, i32) {
    let (mut text, mut errors) = (String::new(), String::new());
    let (mut stdout, mut stderr) = (process.stdout(), process.stderr());
    let (out, err) = tokio::join!(stdout.read_to_string(&mut text), stderr.read_to_string(&mut errors));
    out.and(err).unwrap();
    (text + &errors, process.wait().await.unwrap())
}
