//! Helper processes that die: at boot, and under a sandbox that runs. A shell script plays the virtio-fs daemon.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use virtcontainers::{
    AgentKind, DeleteMode, ErrorKind, HypervisorKind, ProxyKind, SandboxConfig, SandboxState, Seconds,
    StatusReason, StopMode, Transport, agent::mock::Method,
};
use virtcontainers_testkit::kill;

use crate::stage::{Stage, cid};

/// A sandbox whose virtio-fs daemon is this script.
fn served_by(stage: &Stage, script: &str) -> SandboxConfig {
    let program = stage.rootfs.path().join("daemon");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = stage.config("web", &["c"]);
    config.hypervisor_config.virtio_fs_daemon = Some(program);
    config
}

#[tokio::test]
async fn a_helper_that_dies_at_boot_ends_the_create() {
    let stage = Stage::new();
    stage.agent.delay(Method::CreateSandbox, Duration::from_secs(3600));
    let config = served_by(&stage, "echo no room left >&2; exit 3");
    let runtime = stage.runtime();
    let create = runtime.create_sandbox(config);
    let error = tokio::time::timeout(Duration::from_secs(20), create).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Hypervisor, "{error}");
    for told in ["virtiofsd", "exit code 3", "no room left"] {
        assert!(error.to_string().contains(told), "{error}");
    }
    assert!(stage.root.leaks().is_empty(), "{:?}", stage.root.leaks());
}

#[tokio::test]
async fn a_helper_that_dies_under_a_wait_ends_the_wait() {
    let stage = Stage::new();
    let sandbox = stage.runtime().run_sandbox(served_by(&stage, "exec sleep 1000")).await.unwrap();
    let status = sandbox.status().await.unwrap();
    assert_eq!((status.reason, status.processes[0].role.as_str()), (None, "virtiofsd"));
    let container = sandbox.container(&cid("c"));
    let waiter = tokio::spawn({
        let container = container.clone();
        async move { container.wait().await }
    });
    while stage.agent.count(Method::WaitProcess) == 0 {
        tokio::task::yield_now().await;
    }
    kill(status.processes[0].pid).await;
    let ended = tokio::time::timeout(Duration::from_secs(20), waiter).await.unwrap().unwrap();
    let error = ended.unwrap_err();
    assert!(error.to_string().contains("virtiofsd"), "{error}");

    let status = sandbox.status().await.unwrap();
    assert_eq!(status.state, SandboxState::Stopped, "its machine cannot do without");
    assert_eq!(status.reason, Some(StatusReason::HelperDied { role: "virtiofsd" }));
    // Whoever calls is told of it, and can take it away.
    let error = container.pause().await.unwrap_err();
    assert!(error.to_string().contains("virtiofsd"), "{error}");
    sandbox.stop(StopMode::Graceful).await.unwrap();
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}

/// The real driver with a script for a VMM, and one for its virtio-fs daemon.
fn vmm_and_daemon(stage: &Stage, vmm: &str, daemon: &str) -> SandboxConfig {
    let mut config = served_by(stage, daemon);
    let program = stage.rootfs.path().join("vmm");
    std::fs::write(&program, format!("#!/bin/sh\n{vmm}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let kernel = stage.rootfs.path().join("etc/passwd");
    config.hypervisor_type = HypervisorKind::Qemu;
    config.proxy_type = ProxyKind::KataBuiltIn;
    config.hypervisor_config.transport = Transport::VirtioSerial;
    config.hypervisor_config.hypervisor_path = Some(program);
    config.hypervisor_config.kernel_path = kernel.clone();
    config.hypervisor_config.initrd_path = Some(kernel);
    config
}

#[tokio::test]
async fn a_helper_that_dies_while_the_vmm_starts_is_named() {
    for (vmm, daemon) in [
        // The VMM waits for ever for what the daemon does not do.
        ("exec sleep 1000", "echo no room left >&2; exit 3"),
        ("exec sleep 1000", "echo no room left >&2; kill -9 $$"),
        // It ends for the same reason, and is seen first or last.
        ("echo the socket broke >&2; exit 1", "echo no room left >&2; exit 3"),
        ("echo the socket broke >&2; exit 1", "echo no room left >&2; sleep 0.1; exit 3"),
        // A daemon that just goes, under a VMM that stays.
        ("exec sleep 1000", "echo no room left >&2; exit 0"),
    ] {
        let stage = Stage::new();
        let runtime = stage.runtime();
        let create = runtime.create_sandbox(vmm_and_daemon(&stage, vmm, daemon));
        let error = tokio::time::timeout(Duration::from_secs(20), create).await.unwrap().unwrap_err();
        for told in ["virtiofsd", "no room left"] {
            assert!(error.to_string().contains(told), "{vmm:?}, {daemon:?}: {error}");
        }
        assert!(stage.root.leaks().is_empty(), "{:?}", stage.root.leaks());
    }
}

#[tokio::test]
async fn a_vmm_that_dies_at_its_start_is_named_and_not_the_helper_that_follows_it() {
    for daemon in ["exec sleep 1000", "sleep 0.1; exit 0"] {
        let stage = Stage::new();
        let runtime = stage.runtime();
        let create =
            runtime.create_sandbox(vmm_and_daemon(&stage, "echo no such machine >&2; exit 1", daemon));
        let error = tokio::time::timeout(Duration::from_secs(20), create).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("no such machine"), "{daemon:?}: {error}");
        assert!(!error.to_string().contains("virtiofsd"), "{daemon:?}: {error}");
        assert!(stage.root.leaks().is_empty(), "{:?}", stage.root.leaks());
    }
}

/// The real driver, with a program that starts and then says nothing.
#[tokio::test]
async fn a_vmm_that_hangs_is_ended_when_the_boot_may_take_no_longer() {
    let stage = Stage::new();
    let mut config = served_by(&stage, "exec sleep 1000");
    let vmm = config.hypervisor_config.virtio_fs_daemon.take();
    let kernel = stage.rootfs.path().join("etc/passwd");
    config.hypervisor_type = HypervisorKind::Qemu;
    config.agent_type = AgentKind::Noop;
    config.hypervisor_config.hypervisor_path = vmm;
    config.hypervisor_config.kernel_path = kernel.clone();
    config.hypervisor_config.initrd_path = Some(kernel);
    config.agent_config.boot_timeout = Seconds(1);
    let runtime = stage.runtime();
    let create = runtime.create_sandbox(config);
    let error = tokio::time::timeout(Duration::from_secs(20), create).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(stage.root.leaks().is_empty(), "{:?}", stage.root.leaks());
}
