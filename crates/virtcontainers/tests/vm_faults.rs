//! Failures at the points of create, start, stop and delete with real virtual machines. A sample by default: one case for
//! each few points. `VC_FAULTS=all` plays every point (`scripts/faults`). They need what the tests of `vm_sandbox` need.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test tells by panicking, says how much it did, and its tasks end with its runtime"
)]

mod guest;

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use guest::{Stage, helper};
use virtcontainers::{
    Cmd, ContainerConfig, ContainerId, DeleteMode, Error, ErrorKind, GcOptions, MiB, Runtime, SandboxConfig,
    SandboxId, SandboxState, StatusReason, StopMode, Transport,
    store::{FaultKind, FaultPlan},
};
use virtcontainers_testkit::kill;

const ROOT: &str = "VC_TEST_FAULTS_ROOT";
const ROOTFS: &str = "VC_TEST_FAULTS_ROOTFS";
const VERB: &str = "VC_TEST_FAULTS_VERB";
const POINT: &str = "VC_TEST_FAULTS_POINT";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Create,
    Start,
    Stop,
    Delete,
}

impl Verb {
    const ALL: [Self; 4] = [Self::Create, Self::Start, Self::Stop, Self::Delete];

    /// Of the points of this verb one in so many is in the sample.
    const fn stride(self) -> usize {
        match self {
            Self::Create => 7,
            Self::Start => 3,
            Self::Stop | Self::Delete => 5,
        }
    }
}

fn web() -> SandboxId {
    SandboxId::new("web").unwrap()
}

fn runtime(root: PathBuf, faults: FaultPlan) -> Runtime {
    let builder = Runtime::builder().root(root).helper_program(helper()).faults(faults);
    builder.patience(Duration::from_millis(20)).build().unwrap()
}

fn config(rootfs: PathBuf) -> SandboxConfig {
    let mut config = SandboxConfig { id: "web".into(), ..SandboxConfig::default() };
    config.hypervisor_config.kernel_path = guest::guest_dir().join("vmlinux");
    config.hypervisor_config.initrd_path = Some(guest::guest_dir().join("initrd.img"));
    config.hypervisor_config.memory_size = MiB(256);
    config.hypervisor_config.transport = Transport::HybridVsock;
    config.containers = vec![ContainerConfig::new("a", rootfs, ["/bin/sh", "-c", "sleep 1000"])];
    config
}

async fn prepare(runtime: &Runtime, rootfs: PathBuf, verb: Verb) {
    match verb {
        Verb::Create => {}
        Verb::Start => drop(runtime.create_sandbox(config(rootfs)).await.unwrap()),
        Verb::Stop | Verb::Delete => drop(runtime.run_sandbox(config(rootfs)).await.unwrap()),
    }
}

async fn act(runtime: &Runtime, rootfs: PathBuf, verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::Create => runtime.create_sandbox(config(rootfs)).await.map(drop),
        Verb::Start => runtime.start_sandbox(&web()).await.map(drop),
        Verb::Stop => runtime.stop_sandbox(&web(), StopMode::Graceful).await.map(drop),
        Verb::Delete => runtime.delete_sandbox(&web(), DeleteMode::Force).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that dies in the midst of a verb"]
async fn child() {
    let var = |name: &str| std::env::var(name).unwrap();
    let (root, rootfs) = (PathBuf::from(var(ROOT)), PathBuf::from(var(ROOTFS)));
    let verb = *Verb::ALL.iter().find(|verb| format!("{verb:?}") == var(VERB)).unwrap();
    prepare(&runtime(root.clone(), FaultPlan::none()), rootfs.clone(), verb).await;
    let faults = FaultPlan::at(var(POINT).parse().unwrap(), FaultKind::Abort);
    act(&runtime(root, faults), rootfs, verb).await.unwrap();
}

/// A fault in the midst of a verb, and what came of it.
async fn case(stage: &Stage, verb: Verb, point: usize, kind: FaultKind) {
    let when = format!("{verb:?}, {kind:?} at {point}");
    let (root, rootfs) = (stage.root.path().to_owned(), stage.rootfs.path().to_owned());
    let healthy = runtime(root.clone(), FaultPlan::none());
    if kind == FaultKind::Abort {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--quiet"])
            .env(ROOT, &root)
            .env(ROOTFS, &rootfs)
            .env(VERB, format!("{verb:?}"))
            .env(POINT, point.to_string())
            .output()
            .unwrap();
        assert!(!output.status.success(), "{when}: it was to die");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!said.contains("panicked"), "{when}: {said}");
    } else {
        prepare(&healthy, rootfs.clone(), verb).await;
        let faulty = runtime(root, FaultPlan::at(point, kind));
        let verb = tokio::spawn({
            let (faulty, rootfs) = (faulty.clone(), rootfs.clone());
            async move { act(&faulty, rootfs, verb).await }
        });
        drop(tokio::time::timeout(Duration::from_secs(90), verb).await.unwrap());
        faulty.settled().await;
    }
    let status = healthy.sandbox_status(&web()).await;
    match (verb, &status) {
        (Verb::Create, Err(error)) => assert_eq!(error.kind(), ErrorKind::NotFound, "{when}"),
        (Verb::Create, Ok(status)) => {
            assert_eq!(
                (kind, status.reason),
                (FaultKind::Abort, Some(StatusReason::CreateUnfinished)),
                "{when}"
            );
        }
        (Verb::Start, Ok(status)) => assert!(status.vmm_pid.is_some(), "{when}: it lives: {status:?}"),
        (Verb::Start, Err(error)) => panic!("{when}: {error:?}"),
        (Verb::Stop | Verb::Delete, _) => {}
    }
    let alive =
        status.as_ref().is_ok_and(|s| s.state == SandboxState::Ready || s.state == SandboxState::Running);
    let report = healthy.gc(GcOptions::default()).await.unwrap();
    if alive {
        assert_eq!(report.items, [], "{when}");
    }
    if verb == Verb::Start {
        act(&healthy, rootfs, verb).await.unwrap_or_else(|error| panic!("{when}: {}", error.report()));
        assert_eq!(healthy.sandbox_status(&web()).await.unwrap().state, SandboxState::Running, "{when}");
    }
    match healthy.delete_sandbox(&web(), DeleteMode::Force).await {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{when}: {}", error.report()),
    }
    assert_eq!(stage.root.leaks(), [], "{when}");
}

async fn points(stage: &Stage, verb: Verb) -> usize {
    let (root, rootfs) = (stage.root.path().to_owned(), stage.rootfs.path().to_owned());
    prepare(&runtime(root.clone(), FaultPlan::none()), rootfs.clone(), verb).await;
    let counting = FaultPlan::counting();
    act(&runtime(root.clone(), counting.clone()), rootfs, verb).await.unwrap();
    let passed = counting.passed().len();
    drop(runtime(root, FaultPlan::none()).delete_sandbox(&web(), DeleteMode::Force).await);
    passed
}

async fn matrix(verb: Verb) {
    let stage = Stage::new().await;
    let all = std::env::var("VC_FAULTS").is_ok_and(|asked| asked == "all");
    let (begin, points) = (Instant::now(), points(&stage, verb).await);
    let mut cases = 0;
    let kinds: &[FaultKind] =
        if all { &[FaultKind::Fail, FaultKind::Panic, FaultKind::Abort] } else { &[FaultKind::Abort] };
    for point in (0..points).step_by(if all { 1 } else { verb.stride() }) {
        for &kind in kinds {
            case(&stage, verb, point, kind).await;
            cases += 1;
        }
    }
    println!("{verb:?}: {points} points, {cases} cases in {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_create_that_fails_leaves_nothing() {
    matrix(Verb::Create).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_start_that_fails_can_be_called_again() {
    matrix(Verb::Start).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_stop_that_fails_is_finished_by_the_next() {
    matrix(Verb::Stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_delete_that_fails_is_finished_by_the_next() {
    matrix(Verb::Delete).await;
}

/// Whichever daemon dies, a watcher is told within a second, status says which, and stop and delete do their work.
#[tokio::test(flavor = "multi_thread")]
async fn vm_death_of_a_daemon_is_noticed_within_a_second() {
    let stage = Stage::new().await;
    for role in ["virtiofsd", "vhost-vsock"] {
        let runtime = runtime(stage.root.path().to_owned(), FaultPlan::none());
        let sandbox = runtime.run_sandbox(config(stage.rootfs.path().to_owned())).await.unwrap();
        let mut monitor = sandbox.monitor().await.unwrap();
        let helper = sandbox.status().await.unwrap().processes.into_iter().find(|helper| helper.role == role);
        let killed = Instant::now();
        kill(helper.unwrap().pid).await;
        let told = tokio::time::timeout(Duration::from_secs(20), monitor.recv()).await.unwrap().unwrap();
        assert!(killed.elapsed() < Duration::from_secs(1), "{role}: {:?}", killed.elapsed());
        assert_eq!(told.kind(), ErrorKind::Hypervisor, "{told}");
        let status = runtime.sandbox_status(&web()).await.unwrap();
        assert_eq!(status.state, SandboxState::Stopped, "{role}");
        let reason = status.reason.unwrap();
        assert!(
            reason == StatusReason::MachineDied
                || matches!(reason, StatusReason::HelperDied { role: dead } if dead == role),
            "{role}: {reason}"
        );
        sandbox.stop(StopMode::Graceful).await.unwrap();
        sandbox.delete(DeleteMode::IfStopped).await.unwrap();
        assert_eq!(stage.root.leaks(), [], "{role}");
    }
}

/// A program whose files do not come is not waited for any longer than the daemon that serves them lives.
#[tokio::test(flavor = "multi_thread")]
async fn vm_death_of_a_daemon_ends_the_calls_that_wait_for_it() {
    let stage = Stage::new().await;
    let runtime = runtime(stage.root.path().to_owned(), FaultPlan::none());
    let sandbox = runtime.run_sandbox(config(stage.rootfs.path().to_owned())).await.unwrap();
    let container = sandbox.container(&ContainerId::new("a").unwrap());
    let processes = sandbox.status().await.unwrap().processes;
    let pid = processes.into_iter().find(|helper| helper.role == "virtiofsd").unwrap().pid;
    assert!(Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap().success());
    let mut exec = Box::pin(container.exec(Cmd::new(["/bin/ls", "/"])));
    let hangs = tokio::time::timeout(Duration::from_secs(2), &mut exec).await;
    assert!(hangs.is_err(), "its files did not come");
    kill(pid).await;
    let answer = tokio::time::timeout(Duration::from_secs(10), exec).await.unwrap();
    let error = answer.unwrap_err();
    assert!(error.to_string().contains("virtiofsd"), "{error}");
    sandbox.stop(StopMode::Graceful).await.unwrap();
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
    assert_eq!(stage.root.leaks(), []);
}
