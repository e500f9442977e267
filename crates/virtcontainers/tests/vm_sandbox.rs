//! The library with real virtual machines, one at a time. They need root, QEMU, vc-virtiofsd, vc-helper, a guest
//! image (`VC_GUEST_DIR`, or build/guest in the workspace) and Debian's busybox-static; what is missing fails the test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test tells by panicking")]

mod guest;

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use guest::{Stage, guest_dir, output};
use tokio::io::AsyncWriteExt as _;
use virtcontainers::{
    Cmd, ContainerId, ContainerState, DeleteMode, ErrorKind, KernelParam, Mount, ProxyKind, Runtime,
    SandboxConfig, SandboxId, SandboxState, Seconds, SharedFs, StopMode, Transport,
};
use virtcontainers_sys::mount::mounts_under;
use virtcontainers_testkit::kill;

impl Stage {
    /// A runtime of a user who has a program of his own for helpers.
    fn users_runtime(&self) -> Runtime {
        Runtime::builder().root(self.root.path()).helper_program(example("helper")).build().unwrap()
    }

    /// A guest that comes up and has no agent, so it never answers, however fast the host is.
    fn silent_config(&self, id: &str) -> SandboxConfig {
        let initrd = self.rootfs.path().join("initrd");
        let busybox = fs::read(self.rootfs.path().join("bin/busybox")).unwrap();
        let init = b"#!/bin/busybox sh\nwhile :; do /bin/busybox sleep 1000; done\n";
        let files: [(&str, u32, &[u8]); 4] = [
            ("dev", 0o040_755, b""),
            ("bin", 0o040_755, b""),
            ("bin/busybox", 0o100_755, &busybox),
            ("init", 0o100_755, init),
        ];
        fs::write(&initrd, cpio(&files)).unwrap();
        let mut config = self.config(id);
        config.hypervisor_config.initrd_path = Some(initrd);
        config
    }
}

/// An initrd of these files (name, mode, content) in the kernel's format "newc"
/// (Documentation/driver-api/early-userspace/buffer-format.rst).
fn cpio(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (number, (name, mode, content)) in files.iter().chain(&[("TRAILER!!!", 0, &b""[..])]).enumerate() {
        let align = |archive: &mut Vec<u8>| archive.resize(archive.len().next_multiple_of(4), 0);
        let (mode, size) = (*mode as usize, content.len());
        archive.extend(b"070701");
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
        for field in [number + 1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name.len() + 1, 0] {
            archive.extend(format!("{field:08x}").into_bytes());
        }
        archive.extend_from_slice(name.as_bytes());
        archive.push(0);
        align(&mut archive);
        archive.extend_from_slice(content);
        align(&mut archive);
    }
    archive
}

/// A program among this package's examples, which `cargo test` builds beside the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.exists(), "{} is missing: `cargo build --examples`", program.display());
    program
}

fn cid(id: &str) -> ContainerId {
    ContainerId::new(id).unwrap()
}

fn sid(id: &str) -> SandboxId {
    SandboxId::new(id).unwrap()
}

/// What works whatever the transport and the share.
async fn whole_tour(stage: &Stage, mut config: SandboxConfig) {
    let (data, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first =
        stage.shell("first", "hostname; id; echo kept > /data/file; echo no > /secret/file; exit 3");
    first.mounts = vec![
        Mount::bind(data.path(), "/data"),
        Mount { read_only: true, ..Mount::bind(secret.path(), "/secret") },
    ];
    config.hostname = "tour".into();
    let mut second = stage.shell("second", "sleep 1000");
    second.resources = Some(serde_json::from_str(r#"{"pids":{"limit":33}}"#).unwrap());
    config.containers = vec![first, second];
    let sandbox =
        stage.users_runtime().run_sandbox(config).await.unwrap_or_else(|error| panic!("{}", error.report()));
    assert!(!sandbox.agent_info().await.unwrap().protocol_version.is_empty());

    let first = sandbox.container(&cid("first"));
    let (text, code) = output(&first.process().await.unwrap()).await;
    assert!(text.starts_with("tour\nuid=0(root)"), "{text}");
    assert!(text.contains("Read-only file system"), "{text}");
    assert_eq!(code, 3);
    assert_eq!(fs::read_to_string(data.path().join("file")).unwrap(), "kept\n");
    assert!(!secret.path().join("file").exists());

    let second = sandbox.container(&cid("second"));
    let cat = second.exec(Cmd { stdin: true, user: "bob".into(), ..Cmd::new(["cat"]) }).await.unwrap();
    let mut stdin = cat.stdin();
    stdin.write_all(b"to and fro").await.unwrap();
    stdin.shutdown().await.unwrap();
    assert_eq!(output(&cat).await, ("to and fro".into(), 0));

    let limits = second.exec(Cmd::new(["cat", "/sys/fs/cgroup/pids.max"])).await.unwrap();
    assert_eq!(output(&limits).await, ("33\n".into(), 0));

    links_stay_inside(stage, &sandbox).await;

    sandbox.pause().await.unwrap();
    sandbox.resume().await.unwrap();
    second.pause().await.unwrap();
    second.resume().await.unwrap();
    second.stop(StopMode::Force).await.unwrap();
    assert_eq!(second.status().await.unwrap().exit_code, Some(137));
    files_are_out_of_reach(stage, sandbox.id());
    assert_eq!(fs::read_to_string(data.path().join("file")).unwrap(), "kept\n");
    sandbox.stop(StopMode::Graceful).await.unwrap();
    assert_eq!(sandbox.status().await.unwrap().state, SandboxState::Stopped);
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}

/// Below the directory of a sandbox that runs there is nothing of a user's, so to remove it by hand, as a careless `rm -r`
/// does, harms none of it.
fn files_are_out_of_reach(stage: &Stage, id: &SandboxId) {
    let dir = stage.root.path().join("sandboxes").join(id.as_str());
    assert_eq!(mounts_under(&dir).unwrap(), [dir.join("shared")], "no container's");
    for place in ["mounts/second/rootfs", "shared/second/rootfs"] {
        assert_eq!(fs::read_dir(dir.join(place)).unwrap().count(), 0, "{place}");
    }
    fs::remove_dir_all(dir.join("mounts")).unwrap();
    assert!(stage.rootfs.path().join("bin/busybox").exists());
}

/// Symbolic links in a container's root lead nowhere on the host: a process finds nothing behind one, and a mount that
/// is to be made below one is refused.
async fn links_stay_inside(stage: &Stage, sandbox: &virtcontainers::Sandbox) {
    let (hidden, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(hidden.path().join("key"), "of the host").unwrap();
    symlink(hidden.path(), stage.rootfs.path().join("leak")).unwrap();
    let mut late = stage.shell("late", "cat /leak/key");
    late.mounts = vec![Mount::bind(volume.path(), "/leak/inner")];
    assert_eq!(sandbox.create_container(late.clone()).await.unwrap_err().kind(), ErrorKind::Agent);
    late.mounts.clear();
    let late = sandbox.create_container(late).await.unwrap();
    late.start().await.unwrap();
    let (text, code) = output(&late.process().await.unwrap()).await;
    assert_eq!(code, 1, "{text}");
    assert!(!text.contains("of the host"), "{text}");
    late.delete(DeleteMode::IfStopped).await.unwrap();
    let there: Vec<_> =
        fs::read_dir(hidden.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, ["key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_tour_over_hybrid_vsock_and_virtio_fs() {
    let stage = Stage::new().await;
    let mut config = stage.config("tour");
    config.hypervisor_config.transport = Transport::HybridVsock;
    whole_tour(&stage, config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_tour_over_virtio_serial_and_9p() {
    let stage = Stage::new().await;
    let mut config = stage.config("tour");
    config.hypervisor_config.transport = Transport::VirtioSerial;
    config.hypervisor_config.shared_fs = SharedFs::Virtio9p;
    config.proxy_type = ProxyKind::Kata;
    whole_tour(&stage, config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_tour_with_the_proxy_built_in() {
    let stage = Stage::new().await;
    let mut config = stage.config("tour");
    config.hypervisor_config.transport = Transport::VirtioSerial;
    config.proxy_type = ProxyKind::KataBuiltIn;
    whole_tour(&stage, config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_sandbox_outlives_its_creator() {
    let stage = Stage::new().await;
    let helpers = guest::helper();
    let mut creator = Command::new(example("create_and_start"))
        .env("PATH", format!("{}:{}", helpers.parent().unwrap().display(), std::env::var("PATH").unwrap()))
        .args([guest_dir().as_path(), stage.rootfs.path()])
        .args(["/bin/sh", "-c", "echo up; sleep 1000"])
        .env("VC_ROOT", stage.root.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 3];
    std::io::Read::read_exact(&mut creator.stdout.take().unwrap(), &mut said).unwrap();
    creator.kill().unwrap();
    creator.wait().unwrap();

    let runtime = stage.runtime();
    let (name, status) = runtime.list_sandboxes().await.unwrap().remove(0);
    assert_eq!(status.unwrap().state, SandboxState::Running);
    let sandbox = runtime.fetch_sandbox(&sid(&name)).await.unwrap();
    let container = sandbox.container(&cid("1"));
    assert_eq!(
        output(&container.exec(Cmd::new(["echo", "still here"])).await.unwrap()).await.0,
        "still here\n"
    );
    sandbox.pause().await.unwrap();
    sandbox.resume().await.unwrap();
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_that_was_killed_is_seen_and_cleaned_up() {
    let stage = Stage::new().await;
    let mut config = stage.config("victim");
    config.containers = vec![stage.shell("c", "sleep 1000")];
    let sandbox = stage.runtime().run_sandbox(config).await.unwrap();
    let container = sandbox.container(&cid("c"));
    let mut wait = std::pin::pin!(container.wait());
    let early = tokio::time::timeout(Duration::from_secs(1), &mut wait).await;
    assert!(early.is_err(), "it sleeps: {early:?}");
    let pid = sandbox.status().await.unwrap().vmm_pid.unwrap();
    kill(pid).await;
    sandbox.wait_exit().await.unwrap();
    assert_eq!(wait.await.unwrap_err().kind(), ErrorKind::Hypervisor);
    let status = stage.runtime().sandbox_status(&sid("victim")).await.unwrap();
    assert_eq!((status.state, status.containers[0].state), (SandboxState::Stopped, ContainerState::Stopped));
    assert!(status.reason == Some(virtcontainers::StatusReason::MachineDied));
    stage.runtime().delete_sandbox(&sid("victim"), DeleteMode::IfStopped).await.unwrap();
}

/// Each ends in one error of the right kind, within a bounded time; the stage sees that nothing is left.
#[tokio::test(flavor = "multi_thread")]
async fn vm_that_does_not_come_up_says_why() {
    let stage = Stage::new().await;
    let mut panics = stage.config("panics");
    panics.hypervisor_config.kernel_params = vec![KernelParam::new("rdinit", "/nonexistent")];
    let error = stage.runtime().create_sandbox(panics).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Hypervisor, "{error}");
    assert!(error.console().iter().any(|line| line.contains("Kernel panic")), "{error}");

    let mut refuses = stage.config("refuses");
    refuses.hypervisor_config.hypervisor_params = vec![KernelParam::new("-no-such-option", "")];
    let error = stage.runtime().create_sandbox(refuses).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Hypervisor, "{error}");
    assert!(error.report().to_string().contains("no-such-option"), "{}", error.report());

    let mut silent = stage.silent_config("silent");
    silent.agent_config.boot_timeout = Seconds(2);
    let runtime = stage.runtime();
    let create = tokio::time::timeout(Duration::from_secs(40), runtime.create_sandbox(silent));
    let error = create.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_create_without_a_caller_leaves_nothing() {
    let stage = Stage::new().await;
    let runtime = stage.runtime();
    let record = stage.root.path().join("sandboxes/gone/record.json");
    let launched = async {
        while !fs::read_to_string(&record).is_ok_and(|record| record.contains(r#""machine":{"vm":{"#)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        created = runtime.create_sandbox(stage.silent_config("gone")) => panic!("nobody answered, yet {created:?}"),
        () = launched => {}
    }
    let after = runtime.delete_sandbox(&sid("gone"), DeleteMode::Force).await.unwrap_err();
    assert_eq!(after.kind(), ErrorKind::NotFound);
}
