//! Monitor: who is told, how often, and what is no failure.

use std::time::Duration;

use virtcontainers::{
    DeleteMode, ErrorKind, Monitor, Sandbox, SandboxState, StatusReason, StopMode,
    agent::mock::{Method, MockFailure},
    hypervisor::VmExit,
};

use crate::stage::Stage;

const OFTEN: Duration = Duration::from_millis(10);
const SOON: Duration = Duration::from_secs(1);

async fn watched(stage: &Stage) -> (Sandbox, Monitor) {
    let sandbox = stage.runtime().run_sandbox(stage.config("web", &["c"])).await.unwrap();
    let monitor = sandbox.monitor_every(OFTEN).await.unwrap();
    (sandbox, monitor)
}

/// The error, told within a second.
async fn failure(monitor: &mut Monitor) -> std::sync::Arc<virtcontainers::Error> {
    tokio::time::timeout(SOON, monitor.recv()).await.unwrap().unwrap()
}

async fn is_silent(monitor: &mut Monitor) -> bool {
    tokio::time::timeout(10 * OFTEN, monitor.recv()).await.is_err()
}

async fn checks(stage: &Stage) {
    let before = stage.agent.count(Method::Check);
    while stage.agent.count(Method::Check) == before {
        tokio::time::sleep(OFTEN).await;
    }
}

#[tokio::test]
async fn a_machine_that_dies_is_told_to_each_watcher_once() {
    let stage = Stage::new();
    let (sandbox, mut first) = watched(&stage).await;
    let mut second = sandbox.monitor().await.unwrap();
    let mut third = first.clone();
    checks(&stage).await;
    stage.vmm.crash(&stage.dir("web"), VmExit { code: Some(7), signal: None }).unwrap();
    for monitor in [&mut first, &mut second, &mut third] {
        let error = failure(monitor).await;
        assert_eq!(error.kind(), ErrorKind::Hypervisor, "{error}");
        assert!(monitor.recv().await.is_none(), "told once");
    }
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_gone_is_told_and_a_broken_connection_is_not() {
    let stage = Stage::new();
    let (sandbox, mut monitor) = watched(&stage).await;
    stage.agent.fail(Method::Check, 1, MockFailure::Disconnected);
    assert!(is_silent(&mut monitor).await);
    // Nobody answers, however often it is dialled.
    stage.agent.fail(Method::Check, 1000, MockFailure::Disconnected);
    assert_eq!(failure(&mut monitor).await.kind(), ErrorKind::Agent);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_paused_sandbox_is_not_dead() {
    let stage = Stage::new();
    let (sandbox, mut monitor) = watched(&stage).await;
    sandbox.pause().await.unwrap();
    stage.agent.fail(Method::Check, 1000, MockFailure::Timeout);
    assert!(is_silent(&mut monitor).await);
    sandbox.resume().await.unwrap();
    assert_eq!(failure(&mut monitor).await.kind(), ErrorKind::Timeout);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn an_end_on_purpose_is_no_failure() {
    let mut stage = Stage::new();
    let (sandbox, mut monitor) = watched(&stage).await;
    sandbox.stop(StopMode::Graceful).await.unwrap();
    assert!(tokio::time::timeout(SOON, monitor.recv()).await.unwrap().is_none());
    let error = sandbox.monitor().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Hypervisor, "{error}");
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
    assert_eq!(sandbox.monitor().await.unwrap_err().kind(), ErrorKind::NotFound);

    stage.new_guest();
    let (sandbox, mut monitor) = watched(&stage).await;
    sandbox.delete(DeleteMode::Force).await.unwrap();
    assert!(tokio::time::timeout(SOON, monitor.recv()).await.unwrap().is_none());

    stage.new_guest();
    let (sandbox, mut monitor) = watched(&stage).await;
    sandbox.release().await.unwrap();
    assert!(tokio::time::timeout(SOON, monitor.recv()).await.unwrap().is_none());
    // The sandbox is well, and can be watched again.
    assert!(is_silent(&mut sandbox.monitor_every(OFTEN).await.unwrap()).await);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn nobody_is_asked_for_nobody() {
    let stage = Stage::new();
    let (sandbox, monitor) = watched(&stage).await;
    let other = monitor.clone();
    drop(monitor);
    checks(&stage).await;
    drop(other);
    // One check may be under way.
    tokio::time::sleep(2 * OFTEN).await;
    let asked = stage.agent.count(Method::Check);
    tokio::time::sleep(10 * OFTEN).await;
    assert_eq!(stage.agent.count(Method::Check), asked);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn status_tells_of_an_agent_that_does_not_answer_until_it_does() {
    let stage = Stage::new();
    let (sandbox, mut monitor) = watched(&stage).await;
    assert_eq!(sandbox.status().await.unwrap().reason, None);
    stage.agent.fail(Method::Check, 1, MockFailure::Timeout);
    assert_eq!(failure(&mut monitor).await.kind(), ErrorKind::Timeout);
    let status = stage.runtime().sandbox_status(sandbox.id()).await.unwrap();
    assert_eq!(status.reason, None, "another process has asked nobody");
    let status = sandbox.status().await.unwrap();
    assert_eq!((status.state, status.reason), (SandboxState::Running, Some(StatusReason::AgentSilent)));
    sandbox.pause().await.unwrap();
    assert_eq!(sandbox.status().await.unwrap().reason, None, "it cannot answer");
    sandbox.resume().await.unwrap();
    assert_eq!(sandbox.probe(SOON).await.unwrap(), None);
    assert_eq!(sandbox.status().await.unwrap().reason, None);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_probe_waits_no_longer_than_it_may() {
    let stage = Stage::new();
    let sandbox = stage.runtime().run_sandbox(stage.config("web", &["c"])).await.unwrap();
    assert_eq!(sandbox.probe(SOON).await.unwrap(), None);
    stage.agent.delay(Method::Check, Duration::from_secs(3600));
    let silent = tokio::time::timeout(SOON, sandbox.probe(OFTEN)).await.unwrap().unwrap();
    assert_eq!(silent, Some(StatusReason::AgentSilent));
    assert_eq!(sandbox.status().await.unwrap().reason, silent);
    sandbox.stop(StopMode::Force).await.unwrap();
    let asked = stage.agent.count(Method::Check);
    assert_eq!(sandbox.probe(SOON).await.unwrap(), None, "there is nobody to ask");
    assert_eq!(stage.agent.count(Method::Check), asked);
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}
