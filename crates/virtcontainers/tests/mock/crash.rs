//! A create whose process dies, as if killed, at every step: a delete by another process releases all of it.

use std::process::{Command, ExitStatus};

use virtcontainers::{
    ContainerConfig, Durability, ErrorKind, HypervisorKind, Runtime, SandboxConfig, SandboxState,
    StatusReason,
    agent::mock::MockAgent,
    hypervisor::mock::MockHypervisor,
    store::{FaultKind, FaultPlan},
};

use crate::stage::{Stage, sid};

/// Where the child is to work, and at which point it dies.
const ROOT: &str = "VC_TEST_CRASH_ROOT";
const ROOTFS: &str = "VC_TEST_CRASH_ROOTFS";
const POINT: &str = "VC_TEST_CRASH_POINT";

#[tokio::test]
#[ignore = "the child of a_create_that_is_killed_at_any_step_can_be_deleted"]
async fn child() {
    let point = std::env::var(POINT).unwrap().parse().unwrap();
    let runtime = Runtime::builder()
        .root(std::env::var(ROOT).unwrap())
        .durability(Durability::NoSync)
        .hypervisor(std::sync::Arc::new(MockHypervisor::default()))
        .connector(std::sync::Arc::new(MockAgent::new()))
        .faults(FaultPlan::at(point, FaultKind::Abort))
        .build()
        .unwrap();
    let config = SandboxConfig {
        id: "web".into(),
        hypervisor_type: HypervisorKind::Mock,
        containers: vec![ContainerConfig::new("a", std::env::var(ROOTFS).unwrap(), ["/bin/sh"])],
        ..SandboxConfig::default()
    };
    runtime.create_sandbox(config).await.unwrap();
}

fn run_child(stage: &Stage, point: usize) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--ignored", "--quiet"])
        .env(ROOT, stage.root.path())
        .env(ROOTFS, stage.rootfs.path())
        .env(POINT, point.to_string())
        .output()
        .unwrap()
        .status
}

#[tokio::test]
async fn a_create_that_is_killed_at_any_step_can_be_deleted() {
    let mut point = 0;
    loop {
        let stage = Stage::new();
        let survived = run_child(&stage, point).success();
        let runtime = stage.runtime();
        let status = runtime.sandbox_status(&sid("web")).await.unwrap();
        if survived {
            assert_eq!(status.state, SandboxState::Ready);
            runtime.delete_sandbox(&sid("web"), Default::default()).await.unwrap();
            break;
        }
        assert_eq!(status.state, SandboxState::Stopped, "after point {point}");
        assert!(status.reason == Some(StatusReason::CreateUnfinished));
        let again = runtime.create_sandbox(stage.config("web", &[])).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        runtime.delete_sandbox(&sid("web"), Default::default()).await.unwrap();
        assert!(stage.root.leaks().is_empty(), "after point {point}: {:?}", stage.root.leaks());
        point += 1;
    }
    assert!(point >= 10, "share, launch, files, two calls of the guest: {point}");
}
