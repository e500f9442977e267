//! Every step of every verb fails, panics or loses its caller; then nothing is left that was not there before.

use std::time::Duration;

use virtcontainers::{
    ContainerState, DeleteMode, ErrorKind, Runtime, SandboxState, StopMode,
    agent::mock::{Method, MockFailure},
    hypervisor::mock::{MockHypervisor, Step},
    store::{FaultKind, FaultPlan},
};

use crate::stage::{Stage, cid, sid};

/// How many points a create of two containers passes.
async fn points_of_create() -> usize {
    let stage = Stage::new();
    let counting = FaultPlan::counting();
    let runtime = stage.runtime_with(counting.clone());
    runtime.create_sandbox(stage.config("web", &["a", "b"])).await.unwrap();
    let points = counting.passed().len();
    stage.runtime().delete_sandbox(&sid("web"), DeleteMode::Force).await.unwrap();
    points
}

fn assert_nothing_left(stage: &Stage, at: usize) {
    assert!(stage.root.leaks().is_empty(), "after a fault at point {at}: {:?}", stage.root.leaks());
}

#[tokio::test]
async fn a_create_fails_at_every_step_and_leaves_nothing() {
    let points = points_of_create().await;
    assert!(points >= 14, "share, launch, two containers' files, three calls of the guest: {points}");
    for kind in [FaultKind::Fail, FaultKind::Panic] {
        for point in 0..points {
            let mut stage = Stage::new();
            let runtime = stage.runtime_with(FaultPlan::at(point, kind));
            let error = runtime.create_sandbox(stage.config("web", &["a", "b"])).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
            assert_eq!(error.undo_errors(), [""; 0]);
            assert_nothing_left(&stage, point);
            // And nothing stands in the way of the next.
            stage.new_guest();
            let sandbox = stage.runtime().create_sandbox(stage.config("web", &["a", "b"])).await.unwrap();
            sandbox.delete(DeleteMode::IfStopped).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_create_without_a_caller_leaves_nothing() {
    for point in 0..points_of_create().await {
        let stage = Stage::new();
        let faults = FaultPlan::at(point, FaultKind::Hang);
        let runtime = stage.runtime_with(faults.clone());
        let create = runtime.create_sandbox(stage.config("web", &["a", "b"]));
        let reached = async {
            while faults.passed().len() <= point {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            created = create => panic!("hung at {point}, yet {created:?}"),
            () = reached => {}
        }
        // The caller is gone. A verb that follows waits for the undoing, and finds nothing.
        let after = stage.runtime().delete_sandbox(&sid("web"), DeleteMode::Force).await;
        assert_eq!(after.unwrap_err().kind(), ErrorKind::NotFound);
        assert_nothing_left(&stage, point);
    }
}

#[tokio::test]
async fn a_machine_that_fails_to_boot_leaves_nothing() {
    for step in [Step::Plan, Step::Launch, Step::Boot] {
        let vmm =
            MockHypervisor::builder().fail(step, "told to").console("Kernel panic - not syncing\n").build();
        let stage = Stage::with(vmm);
        let error = stage.runtime().create_sandbox(stage.config("web", &["a"])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Hypervisor);
        assert_nothing_left(&stage, 0);
    }
}

#[tokio::test]
async fn a_guest_that_dies_at_boot_shows_its_console() {
    let vmm =
        MockHypervisor::builder().exit_after(Duration::ZERO).console("Kernel panic - not syncing\n").build();
    let stage = Stage::with(vmm);
    stage.agent.delay(Method::CreateSandbox, Duration::from_secs(30));
    let error = stage.runtime().create_sandbox(stage.config("web", &["a"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Hypervisor, "{error}");
    assert_eq!(error.console(), ["Kernel panic - not syncing"]);
    assert_nothing_left(&stage, 0);
}

#[tokio::test]
async fn a_container_fails_at_every_step_and_leaves_nothing() {
    let points = {
        let stage = Stage::new();
        stage.runtime().run_sandbox(stage.config("web", &[])).await.unwrap();
        let counting = FaultPlan::counting();
        let runtime = stage.runtime_with(counting.clone());
        runtime.create_container(&sid("web"), stage.container("c")).await.unwrap();
        let points = counting.passed().len();
        runtime.delete_sandbox(&sid("web"), DeleteMode::Force).await.unwrap();
        points
    };
    assert_eq!(points, 6, "its files, the guest's call and the limits");
    for kind in [FaultKind::Fail, FaultKind::Panic] {
        for point in 0..points {
            let stage = Stage::new();
            let sandbox = stage.runtime().run_sandbox(stage.config("web", &[])).await.unwrap();
            let runtime = stage.runtime_with(FaultPlan::at(point, kind));
            runtime.create_container(&sid("web"), stage.container("c")).await.unwrap_err();
            assert_eq!(stage.agent.containers(), [], "in the guest, after point {point}");
            assert_eq!(sandbox.containers().await.unwrap(), []);
            assert!(!stage.dir("web").join("mounts/c").exists());
            sandbox.create_container(stage.container("c")).await.unwrap();
            sandbox.delete(DeleteMode::Force).await.unwrap();
        }
    }
}

/// A stop or delete that fails somewhere says so; the next one brings it to its end.
#[tokio::test]
async fn an_end_that_fails_at_any_step_can_be_called_again() {
    for delete in [false, true] {
        let mut point = 0;
        loop {
            let stage = Stage::new();
            stage.runtime().run_sandbox(stage.config("web", &["a"])).await.unwrap();
            let faults = FaultPlan::at(point, FaultKind::Fail);
            let runtime = stage.runtime_with(faults.clone());
            let ended = end(&runtime, delete).await;
            if faults.passed().len() <= point {
                ended.unwrap();
                if !delete {
                    end(&stage.runtime(), true).await.unwrap();
                }
                break;
            }
            assert!(ended.is_err(), "at point {point}");
            end(&stage.runtime(), true).await.unwrap();
            assert_nothing_left(&stage, point);
            point += 1;
        }
        assert!(point >= 4, "the machine and the share, before and after: {point}");
    }
}

async fn end(runtime: &Runtime, delete: bool) -> Result<(), virtcontainers::Error> {
    match delete {
        true => runtime.delete_sandbox(&sid("web"), DeleteMode::Force).await,
        false => runtime.stop_sandbox(&sid("web"), StopMode::Force).await.map(drop),
    }
}

#[tokio::test]
async fn an_end_without_a_caller_goes_on() {
    let stage = Stage::new();
    let sandbox = stage.runtime().run_sandbox(stage.config("web", &["a"])).await.unwrap();
    stage.agent.delay(Method::DestroySandbox, Duration::from_millis(50));
    let begun = async {
        while stage.agent.count(Method::DestroySandbox) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        stopped = sandbox.stop(StopMode::Graceful) => stopped.unwrap(),
        () = begun => {}
    }
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_hangs_or_breaks_is_no_obstacle_to_the_end() {
    let stage = Stage::new();
    let sandbox = stage.runtime().run_sandbox(stage.config("web", &["a"])).await.unwrap();
    stage.agent.delay(Method::DestroySandbox, Duration::from_secs(3600));
    let begin = std::time::Instant::now();
    sandbox.stop(StopMode::Force).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(sandbox.status().await.unwrap().state, SandboxState::Stopped);
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_broke_is_made_anew() {
    let stage = Stage::new();
    let sandbox = stage.runtime().run_sandbox(stage.config("web", &["a"])).await.unwrap();
    let container = sandbox.container(&cid("a"));
    stage.agent.fail(Method::PauseContainer, 1, MockFailure::Disconnected);
    assert_eq!(container.pause().await.unwrap_err().kind(), ErrorKind::Agent);
    container.pause().await.unwrap();
    assert_eq!(container.status().await.unwrap().state, ContainerState::Paused);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}
