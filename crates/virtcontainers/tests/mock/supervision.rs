//! Helper processes that die: at boot, and under a sandbox that runs. A shell script plays the virtio-fs daemon.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use virtcontainers::{
    AgentKind, DeleteMode, ErrorKind, HypervisorKind, SandboxConfig, SandboxState, Seconds,
    agent::mock::{Method, MockFailure},
};

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
    let pid = status.processes[0].pid.to_string();
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let ended = tokio::time::timeout(Duration::from_secs(20), waiter).await.unwrap().unwrap();
    let error = ended.unwrap_err();
    assert!(error.to_string().contains("virtiofsd"), "{error}");

    let status = sandbox.status().await.unwrap();
    assert_eq!(status.state, SandboxState::Running);
    assert!(status.reason.as_ref().is_some_and(|reason| reason.contains("virtiofsd")), "{status:?}");
    // A call that breaks names it too.
    stage.agent.fail(Method::PauseContainer, 1, MockFailure::Disconnected);
    let error = container.pause().await.unwrap_err();
    assert!(error.to_string().contains("virtiofsd"), "{error}");
    sandbox.delete(DeleteMode::Force).await.unwrap();
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
