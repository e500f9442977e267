//! Every verb, its way through the states, and what the guest is told.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use virtcontainers::{
    Cmd, ContainerState, DeleteMode, ErrorKind, KillScope, Mount, SandboxState, Signal, StopMode,
    agent::mock::{Method, MockFailure, MockProcess},
    hypervisor::{VmExit, mock::Step},
};

use crate::stage::{Stage, cid, eid, sid};

#[tokio::test]
async fn a_sandbox_lives_from_create_to_delete() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let sandbox = runtime.create_sandbox(stage.config("web", &["a", "b"])).await.unwrap();
    let status = sandbox.status().await.unwrap();
    assert_eq!(status.state, SandboxState::Ready);
    assert_eq!(status.containers.iter().map(|c| c.state).collect::<Vec<_>>(), [ContainerState::Ready; 2]);
    assert_eq!(stage.agent.count(Method::StartContainer), 0);

    sandbox.start().await.unwrap();
    let started: Vec<_> =
        stage.agent.calls().into_iter().filter(|call| call.method == Method::StartContainer).collect();
    assert_eq!(
        started.iter().map(|call| call.container.clone().unwrap()).collect::<Vec<_>>(),
        [cid("a"), cid("b")]
    );
    assert_eq!(sandbox.status().await.unwrap().state, SandboxState::Running);

    sandbox.pause().await.unwrap();
    sandbox.pause().await.unwrap();
    assert_eq!(sandbox.status().await.unwrap().state, SandboxState::Paused);
    sandbox.resume().await.unwrap();
    assert_eq!(stage.vmm.count(Step::Pause), 1);

    let refused = sandbox.delete(DeleteMode::IfStopped).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WrongState);
    assert!(refused.to_string().contains("stop it first"), "{refused}");

    sandbox.stop(StopMode::Graceful).await.unwrap();
    sandbox.stop(StopMode::Graceful).await.unwrap();
    let status = sandbox.status().await.unwrap();
    assert_eq!((status.state, status.reason), (SandboxState::Stopped, None));
    assert!(status.containers.iter().all(|c| c.state == ContainerState::Stopped && c.exit_code == Some(143)));
    assert_eq!(stage.agent.count(Method::DestroySandbox), 1);

    assert_eq!(sandbox.start().await.unwrap_err().kind(), ErrorKind::WrongState);
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
    assert_eq!(sandbox.status().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(sandbox.delete(DeleteMode::Force).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn containers_come_and_go_in_a_running_sandbox() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let sandbox = runtime.run_sandbox(stage.config("web", &[])).await.unwrap();
    let container = sandbox.create_container(stage.container("late")).await.unwrap();
    let again = sandbox.create_container(stage.container("late")).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    assert_eq!(container.status().await.unwrap().state, ContainerState::Ready);
    assert_eq!(container.exec(Cmd::new(["/bin/true"])).await.unwrap_err().kind(), ErrorKind::WrongState);

    container.start().await.unwrap();
    container.pause().await.unwrap();
    assert_eq!(container.status().await.unwrap().state, ContainerState::Paused);
    container.resume().await.unwrap();
    assert_eq!(container.delete(DeleteMode::IfStopped).await.unwrap_err().kind(), ErrorKind::WrongState);

    let waiter = tokio::spawn({
        let container = container.clone();
        async move { container.wait().await }
    });
    container.kill(Signal::KILL, KillScope::All).await.unwrap();
    assert_eq!(waiter.await.unwrap().unwrap(), 137);
    let status = container.status().await.unwrap();
    assert_eq!((status.state, status.exit_code), (ContainerState::Stopped, Some(137)));
    assert_eq!(container.wait().await.unwrap(), 137, "the record remembers");

    container.delete(DeleteMode::IfStopped).await.unwrap();
    assert_eq!(stage.agent.containers(), []);
    assert_eq!(container.status().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(std::fs::read_dir(stage.dir("web").join("mounts")).unwrap().count(), 0);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn the_guest_is_told_guest_paths() {
    let stage = Stage::new();
    let data = tempfile::tempdir().unwrap();
    let mut container = stage.container("c");
    container.mounts = vec![Mount { read_only: true, ..Mount::bind(data.path(), "/data") }];
    container.cmd.user = "bob".into();
    container.readonly_rootfs = true;
    let mut config = stage.config("web", &[]);
    config.containers = vec![container];
    let sandbox = stage.runtime().create_sandbox(config).await.unwrap();

    let spec = stage.agent.container(&cid("c")).unwrap().spec;
    let shared = "/run/kata-containers/shared/containers/c";
    let root = spec.root().as_ref().unwrap();
    assert_eq!(root.path().to_str(), Some(format!("{shared}/rootfs").as_str()));
    assert_eq!(root.readonly(), Some(true));
    let mount = spec.mounts().iter().flatten().find(|m| m.destination().ends_with("data")).unwrap();
    assert_eq!(mount.source().as_ref().unwrap().to_str(), Some(format!("{shared}/vol-0").as_str()));
    assert!(mount.options().iter().flatten().any(|option| option == "ro"));
    let user = spec.process().as_ref().unwrap().user();
    assert_eq!((user.uid(), user.gid(), user.additional_gids().clone()), (7, 8, Some(vec![50])));
    assert_eq!(stage.agent.sandbox().unwrap().hostname, "web");
    assert_eq!(stage.agent.sandbox().unwrap().storages[0].fstype, "virtiofs");

    let seen = stage.dir("web").join("shared/c/rootfs");
    assert!(seen.join("etc/passwd").exists(), "the exported tree has the container's files");
    assert!(
        std::fs::write(seen.join("new"), "").is_err(),
        "a read-only root is read-only on the host's side too"
    );
    sandbox.delete(DeleteMode::Force).await.unwrap();
    assert!(stage.rootfs.path().join("etc/passwd").exists());
}

#[tokio::test]
async fn processes_have_streams_and_ends() {
    let stage = Stage::new();
    let sandbox = stage.runtime().run_sandbox(stage.config("web", &["c"])).await.unwrap();
    let container = sandbox.container(&cid("c"));

    stage.agent.script_all(MockProcess::output("hello", 7));
    let process = container.exec(Cmd::new(["/bin/hello"])).await.unwrap();
    let mut text = String::new();
    process.stdout().read_to_string(&mut text).await.unwrap();
    assert_eq!((text.as_str(), process.wait().await.unwrap()), ("hello", 7));

    stage.agent.script_all(MockProcess::cat());
    let process = container.exec(Cmd { stdin: true, ..Cmd::new(["/bin/cat"]) }).await.unwrap();
    let mut stdin = process.stdin();
    stdin.write_all(b"echo").await.unwrap();
    stdin.shutdown().await.unwrap();
    let mut text = String::new();
    process.stdout().read_to_string(&mut text).await.unwrap();
    assert_eq!((text.as_str(), process.wait().await.unwrap()), ("echo", 0));

    let first = container.process().await.unwrap();
    assert_eq!(first.id(), &eid("c"));
    assert!(stage.agent.end(&cid("c"), &eid("c"), 5));
    assert_eq!(first.wait().await.unwrap(), 5);
    assert_eq!(container.status().await.unwrap().exit_code, Some(5));
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn another_runtime_takes_over() {
    let stage = Stage::new();
    let (first, second) = (stage.runtime(), stage.runtime());
    let here = first.run_sandbox(stage.config("web", &["c"])).await.unwrap();
    let there = second.fetch_sandbox(&sid("web")).await.unwrap();
    there.pause().await.unwrap();
    assert_eq!(stage.vmm.count(Step::Reattach), 1);
    assert_eq!(
        here.container(&cid("c")).stop(StopMode::Force).await.unwrap_err().kind(),
        ErrorKind::WrongState
    );
    here.resume().await.unwrap();
    there.container(&cid("c")).stop(StopMode::Graceful).await.unwrap();
    assert_eq!(here.container(&cid("c")).wait().await.unwrap(), 143);
    second.stop_sandbox(&sid("web"), StopMode::Force).await.unwrap();
    assert_eq!(here.pause().await.unwrap_err().kind(), ErrorKind::WrongState);
    first.delete_sandbox(&sid("web"), DeleteMode::IfStopped).await.unwrap();
}

#[tokio::test]
async fn a_duplicate_leaves_the_winner_alone() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let winner = runtime.run_sandbox(stage.config("web", &["c"])).await.unwrap();
    let before = std::fs::read(stage.dir("web").join("record.json")).unwrap();
    let loser = stage.runtime().create_sandbox(stage.config("web", &["d"])).await.unwrap_err();
    assert_eq!(loser.kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(stage.dir("web").join("record.json")).unwrap(), before);
    winner.container(&cid("c")).exec(Cmd::new(["/bin/true"])).await.unwrap();
    winner.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn many_at_once_make_one() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let creates: Vec<_> = (0..8)
        .map(|_| {
            let (runtime, config) = (runtime.clone(), stage.config("web", &["c"]));
            tokio::spawn(async move { runtime.create_sandbox(config).await.map(drop).map_err(|e| e.kind()) })
        })
        .collect();
    let mut made = 0;
    for create in creates {
        match create.await.unwrap() {
            Ok(()) => made += 1,
            Err(kind) => assert_eq!(kind, ErrorKind::AlreadyExists),
        }
    }
    assert_eq!(made, 1);
    runtime.delete_sandbox(&sid("web"), DeleteMode::IfStopped).await.unwrap();
}

#[tokio::test]
async fn a_machine_that_died_can_be_stopped_and_deleted() {
    for verb in ["stop", "delete", "delete from elsewhere"] {
        let stage = Stage::new();
        let sandbox = stage.runtime().run_sandbox(stage.config("web", &["c"])).await.unwrap();
        stage.vmm.crash(&stage.dir("web"), VmExit { code: Some(1), signal: None }).unwrap();
        stage.agent.fail(Method::DestroySandbox, 9, MockFailure::Disconnected);
        stage.agent.fail(Method::SignalProcess, 9, MockFailure::Disconnected);
        match verb {
            "stop" => sandbox.stop(StopMode::Graceful).await.unwrap(),
            "delete" => {}
            _ => stage.runtime().delete_sandbox(&sid("web"), DeleteMode::Force).await.unwrap(),
        }
        if verb != "delete from elsewhere" {
            sandbox.delete(DeleteMode::Force).await.unwrap();
        }
    }
}

#[tokio::test]
async fn waiting_ends_when_the_machine_dies() {
    let stage = Stage::new();
    let sandbox = stage.runtime().run_sandbox(stage.config("web", &["c"])).await.unwrap();
    let container = sandbox.container(&cid("c"));
    let waiter = tokio::spawn(async move { container.wait().await });
    while stage.agent.count(Method::WaitProcess) == 0 {
        tokio::task::yield_now().await;
    }
    stage.vmm.crash(&stage.dir("web"), VmExit { code: Some(1), signal: None }).unwrap();
    let error = waiter.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Hypervisor, "{error}");
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_start_that_fails_can_be_called_again() {
    let stage = Stage::new();
    let sandbox = stage.runtime().create_sandbox(stage.config("web", &["a", "b", "c"])).await.unwrap();
    stage.agent.fail(Method::StartContainer, 1, MockFailure::Unimplemented);
    sandbox.start().await.unwrap_err();
    assert_eq!(sandbox.status().await.unwrap().state, SandboxState::Ready);
    sandbox.start().await.unwrap();
    assert!(sandbox.status().await.unwrap().containers.iter().all(|c| c.state == ContainerState::Running));
    sandbox.delete(DeleteMode::Force).await.unwrap();

    stage.agent.fail(Method::StartContainer, 1, MockFailure::Unimplemented);
    stage.runtime().run_sandbox(stage.config("web", &["a"])).await.unwrap_err();
    assert!(!stage.dir("web").exists(), "a run is all or nothing");
}

#[tokio::test]
async fn the_last_container_takes_the_sandbox_along() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let sandbox = runtime.run_sandbox(stage.config("web", &["a", "b"])).await.unwrap();
    let unknown = runtime.cleanup_container(&sid("web"), &cid("unknown"), StopMode::Force).await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
    runtime.cleanup_container(&sid("web"), &cid("a"), StopMode::Force).await.unwrap();
    assert_eq!(stage.agent.containers(), [cid("b")]);
    assert_eq!(sandbox.status().await.unwrap().state, SandboxState::Running);
    sandbox.container(&cid("b")).kill(Signal::KILL, KillScope::All).await.unwrap();
    runtime.cleanup_container(&sid("web"), &cid("b"), StopMode::Graceful).await.unwrap();
    assert_eq!(sandbox.status().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(stage.root.leaks().is_empty(), "{:?}", stage.root.leaks());
}
