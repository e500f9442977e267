//! Verbs that meet, and verbs whose callers leave.

use std::{process::Command, time::Duration};

use tokio::time::timeout;
use virtcontainers::{
    DeleteMode, ErrorKind, SandboxState, StopMode,
    agent::mock::Method,
    hypervisor::mock::{MockHypervisor, Step},
};
use virtcontainers_sys::process::ProcessRef;

use crate::stage::{Stage, cid, sid};

/// Long enough for any of these, much shorter than what a verb waits for another.
const SOON: Duration = Duration::from_secs(15);

async fn until_called(stage: &Stage, method: Method) {
    while stage.agent.count(method) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_create_and_another_verb_of_one_runtime_do_not_stop_each_other() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let web = sid("web");
    // In this order the pause finds the id claimed and the create not yet at work.
    let both =
        async { tokio::join!(runtime.pause_sandbox(&web), runtime.create_sandbox(stage.config("web", &[]))) };
    let (paused, created) = timeout(SOON, both).await.unwrap();
    assert!(matches!(paused.unwrap_err().kind(), ErrorKind::WrongState | ErrorKind::NotFound));
    created.unwrap().delete(DeleteMode::IfStopped).await.unwrap();
}

#[tokio::test]
async fn a_runtime_is_settled_when_the_stop_without_a_caller_has_ended() {
    let vmm = MockHypervisor::builder().delay(Step::Shutdown, Duration::from_millis(300)).build();
    let stage = Stage::with(vmm);
    let runtime = stage.runtime();
    let sandbox = runtime.run_sandbox(stage.config("web", &["a"])).await.unwrap();
    tokio::select! {
        stopped = sandbox.stop(StopMode::Graceful) => panic!("too quick: {stopped:?}"),
        () = until_called(&stage, Method::DestroySandbox) => {}
    }
    runtime.settled().await;
    assert_eq!(sandbox.status().await.unwrap().state, SandboxState::Stopped);

    tokio::select! {
        biased;
        deleted = sandbox.delete(DeleteMode::IfStopped) => panic!("too quick: {deleted:?}"),
        () = std::future::ready(()) => {}
    }
    runtime.settled().await;
    assert_eq!(sandbox.status().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_run_without_a_caller_leaves_nothing() {
    for method in [Method::CreateContainer, Method::StartContainer] {
        let stage = Stage::new();
        stage.agent.delay(method, Duration::from_secs(3600));
        let runtime = stage.runtime();
        tokio::select! {
            run = runtime.run_sandbox(stage.config("web", &["a"])) => panic!("too quick: {run:?}"),
            () = until_called(&stage, method) => {}
        }
        timeout(SOON, runtime.settled()).await.unwrap();
        assert_eq!(runtime.sandbox_status(&sid("web")).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(stage.root.leaks().is_empty(), "{:?}", stage.root.leaks());
    }
}

/// The mock has no process, so the record is made to name one.
#[tokio::test]
async fn a_delete_by_force_kills_the_machine_under_a_verb_at_work() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let sandbox = runtime.run_sandbox(stage.config("web", &["c"])).await.unwrap();
    let mut vmm = Command::new("sleep").arg("1000").spawn().unwrap();
    let process = serde_json::to_value(ProcessRef::of(vmm.id()).unwrap()).unwrap();
    stage.edit_record("web", |body| {
        body["phase"]["running"]["vm"]["process"] = process.clone();
        let resources = body["resources"].as_array_mut().unwrap();
        let machine = resources.iter_mut().find(|held| held.get("machine").is_some()).unwrap();
        machine["machine"]["vm"]["process"] = process;
    });
    stage.agent.delay(Method::PauseContainer, Duration::from_secs(5));
    let container = sandbox.container(&cid("c"));
    let pause = tokio::spawn(async move { container.pause().await });
    until_called(&stage, Method::PauseContainer).await;
    let delete = tokio::spawn(async move { sandbox.delete(DeleteMode::Force).await });
    let status =
        timeout(SOON, tokio::task::spawn_blocking(move || vmm.wait())).await.unwrap().unwrap().unwrap();
    assert!(!status.success());
    assert!(!pause.is_finished(), "it was at work when the machine was killed");
    drop(pause.await.unwrap());
    delete.await.unwrap().unwrap();
}
