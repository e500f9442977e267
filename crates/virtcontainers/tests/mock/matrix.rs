//! The matrix of failures: every verb, at every point that it passes, fails, panics, hangs under a caller that leaves, or
//! is killed with its process. What is not being ended lives on, the next call carries on, gc finds what is left, and in
//! the end nothing is.
//!
//! The points are those that a verb passes when all goes well, so a new step is covered without a new test, and a new verb
//! is one line of the table in `matrix/verbs.rs`.

mod verbs;

use std::{path::PathBuf, process::Command};

use futures::future::BoxFuture;
use virtcontainers::{
    ContainerConfig, DeleteMode, Durability, Error, ErrorKind, GcOptions, NetworkConfig, Runtime,
    SandboxConfig, SandboxState, StatusReason, StopMode,
    agent::mock::{MockAgent, MockProcess},
    hypervisor::mock::MockHypervisor,
    store::{FaultKind, FaultPlan, FaultPoint},
};
use virtcontainers_testkit::TestRoot;

use crate::{
    network::Wired,
    stage::{Stage, cid, sid},
};

const VERB: &str = "VC_TEST_MATRIX_VERB";
const POINT: &str = "VC_TEST_MATRIX_POINT";
const ROOT: &str = "VC_TEST_MATRIX_ROOT";
const ROOTFS: &str = "VC_TEST_MATRIX_ROOTFS";
const NETNS: &str = "VC_TEST_MATRIX_NETNS";

/// What a verb does to the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It makes it, or nothing.
    Makes,
    /// It lives before and after.
    Keeps,
    /// It ends.
    Ends,
}

/// How a sandbox is before the verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// Container `a` is created.
    Created,
    /// Container `a` runs, `b` is created.
    Running,
    Paused,
    /// Container `a` is frozen.
    Frozen,
    /// Container `a` has ended.
    Ended,
    Stopped,
}

type Run = fn(Runtime, Set) -> BoxFuture<'static, Result<(), Error>>;

/// One line of the table.
#[derive(Clone, Copy)]
struct Verb {
    name: &'static str,
    before: Before,
    effect: Effect,
    /// Whether the sandbox has a network.
    wired: bool,
    run: Run,
}

/// What configurations are made of, in this process and in the one that dies.
#[derive(Clone)]
struct Set {
    rootfs: PathBuf,
    netns: Option<PathBuf>,
}

impl Set {
    fn container(&self, id: &str) -> ContainerConfig {
        ContainerConfig::new(id, &self.rootfs, ["/bin/sh"])
    }

    fn config(&self) -> SandboxConfig {
        SandboxConfig {
            id: "web".into(),
            hypervisor_type: virtcontainers::HypervisorKind::Mock,
            containers: vec![self.container("a")],
            network_config: NetworkConfig { netns_path: self.netns.clone(), ..NetworkConfig::default() },
            ..SandboxConfig::default()
        }
    }
}

/// Makes the sandbox what it is before a verb.
async fn prepare(runtime: &Runtime, set: &Set, before: Before) {
    let web = sid("web");
    match before {
        Before::Nothing => return,
        Before::Created => drop(runtime.create_sandbox(set.config()).await.unwrap()),
        Before::Running | Before::Paused | Before::Frozen | Before::Ended | Before::Stopped => {
            let sandbox = runtime.run_sandbox(set.config()).await.unwrap();
            sandbox.create_container(set.container("b")).await.unwrap();
        }
    }
    let a = runtime.fetch_sandbox(&web).await.unwrap().container(&cid("a"));
    match before {
        Before::Paused => drop(runtime.pause_sandbox(&web).await.unwrap()),
        Before::Frozen => a.pause().await.unwrap(),
        Before::Ended => a.stop(StopMode::Force).await.unwrap(),
        Before::Stopped => drop(runtime.stop_sandbox(&web, StopMode::Force).await.unwrap()),
        Before::Nothing | Before::Created | Before::Running => {}
    }
}

/// A sandbox on its stage, as it is before a verb.
struct Scene {
    stage: Stage,
    set: Set,
    wired: Option<Wired>,
    /// The root in which the guest of a sandbox was made whose process is gone.
    elsewhere: Option<(TestRoot, Runtime)>,
}

impl Scene {
    fn empty(verb: Verb) -> Self {
        let stage = Stage::new();
        let wired = verb.wired.then(Wired::new);
        let netns = wired.as_ref().map(|wired| wired.ns.path().to_owned());
        let set = Set { rootfs: stage.rootfs.path().to_owned(), netns };
        Self { stage, set, wired, elsewhere: None }
    }

    async fn new(verb: Verb) -> Self {
        let scene = Self::empty(verb);
        prepare(&scene.stage.runtime(), &scene.set, verb.before).await;
        scene
    }

    /// The sandbox, with another process that dies in the midst of the verb. The guest is a mock of that process, so it is
    /// made anew here as it was before.
    async fn killed(verb: Verb, point: usize) -> Self {
        let mut scene = Self::empty(verb);
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "matrix::child", "--ignored", "--quiet"]);
        child.env(ROOT, scene.stage.root.path()).env(ROOTFS, &scene.set.rootfs);
        child.env(VERB, verb.name).env(POINT, point.to_string());
        if let Some(netns) = &scene.set.netns {
            child.env(NETNS, netns);
        }
        let output = child.output().unwrap();
        assert!(!output.status.success(), "{} at {point}: it was to die", verb.name);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!said.contains("panicked"), "{} at {point}: {said}", verb.name);
        if verb.before != Before::Nothing {
            let root = TestRoot::new();
            let runtime = Runtime::builder()
                .root(root.path())
                .durability(Durability::NoSync)
                .hypervisor(std::sync::Arc::new(MockHypervisor::default()))
                .connector(std::sync::Arc::new(scene.stage.agent.clone()))
                .build()
                .unwrap();
            prepare(&runtime, &Set { netns: None, ..scene.set.clone() }, verb.before).await;
            scene.elsewhere = Some((root, runtime));
        }
        scene
    }

    /// What must hold after a fault, however it came about.
    async fn aftermath(mut self, verb: Verb, when: &str, kind: FaultKind) {
        let runtime = self.stage.runtime();
        let web = sid("web");
        let status = runtime.sandbox_status(&web).await;
        match (verb.effect, &status) {
            (Effect::Makes, Err(error)) => assert_eq!(error.kind(), ErrorKind::NotFound, "{when}"),
            (Effect::Makes, Ok(status)) => {
                // Nobody was there to undo it.
                assert_eq!(kind, FaultKind::Abort, "{when}: {status:?}");
            }
            (Effect::Keeps, Ok(status)) => assert!(is_alive(status.state), "{when}: {status:?}"),
            (Effect::Ends, Ok(_)) => {}
            (Effect::Ends, Err(error)) => assert_eq!(error.kind(), ErrorKind::NotFound, "{when}: {error:?}"),
            (Effect::Keeps, Err(error)) => panic!("{when}: {error:?}"),
        }
        let was = status.as_ref().map(|status| status.state).ok();
        let planned = runtime.gc(GcOptions::dry_run()).await.unwrap();
        assert_eq!(
            runtime.sandbox_status(&web).await.map(|status| status.state).ok(),
            was,
            "{when}: a dry run"
        );
        let done = runtime.gc(GcOptions::default()).await.unwrap();
        assert_eq!(planned.items.len(), done.items.len(), "{when}: {planned:?} {done:?}");
        let again = runtime.gc(GcOptions::default()).await.unwrap();
        assert_eq!(again.items, [], "{when}: gc leaves nothing to gc");
        if was.is_some_and(is_alive) {
            assert_eq!(done.items, [], "{when}: it lives");
            assert_eq!(runtime.sandbox_status(&web).await.unwrap().state, was.unwrap(), "{when}");
        }
        if let Ok(status) = &status
            && (verb.effect == Effect::Makes && !is_alive(status.state)
                || status.reason == Some(StatusReason::CreateUnfinished))
        {
            let gone = runtime.sandbox_status(&web).await.unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::NotFound, "{when}: gc removed the half-made one");
            self.assert_nothing_left(when);
        }
        if verb.effect == Effect::Makes {
            self.stage.new_guest();
        }
        // The next call carries on, or says in a word why it need not.
        let next = (verb.run)(self.stage.runtime(), self.set.clone()).await;
        if let Err(error) = next {
            let fits = matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::WrongState | ErrorKind::AlreadyExists
            );
            assert!(fits, "{when}, the next call: {error:?}");
        }
        match self.stage.runtime().delete_sandbox(&web, DeleteMode::Force).await {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{when}, the delete: {error:?}"),
        }
        self.assert_nothing_left(when);
        if let Some((_root, elsewhere)) = self.elsewhere.take() {
            elsewhere.delete_sandbox(&web, DeleteMode::Force).await.unwrap();
        }
    }

    #[track_caller]
    fn assert_nothing_left(&self, when: &str) {
        assert_eq!(self.stage.root.leaks(), [], "{when}");
        if let Some(wired) = &self.wired {
            wired.assert_as_found(when);
        }
    }
}

const fn is_alive(state: SandboxState) -> bool {
    match state {
        SandboxState::Ready | SandboxState::Running | SandboxState::Paused => true,
        SandboxState::Creating | SandboxState::Stopped => false,
    }
}

/// The points that a verb passes.
async fn points(verb: Verb) -> Vec<FaultPoint> {
    let scene = Scene::new(verb).await;
    let counting = FaultPlan::counting();
    (verb.run)(scene.stage.runtime_with(counting.clone()), scene.set.clone()).await.unwrap();
    let passed = counting.passed();
    drop(scene.stage.runtime().delete_sandbox(&sid("web"), DeleteMode::Force).await);
    passed
}

/// The verb without a caller, as soon as it hangs.
async fn abandoned(runtime: Runtime, verb: Verb, set: Set, faults: &FaultPlan, point: usize) {
    let reached = async {
        while faults.passed().len() <= point {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        // Some hangs are waited for with a limit, and the verb goes on.
        ended = (verb.run)(runtime.clone(), set) => drop(ended),
        () = reached => {}
    }
    tokio::time::timeout(std::time::Duration::from_secs(30), runtime.settled())
        .await
        .unwrap_or_else(|_| panic!("{} at {point}: a verb without a caller goes on for ever", verb.name));
}

/// A part of one line of the matrix.
async fn line(name: &str, kinds: &[FaultKind]) {
    let verb = verbs::find(name);
    let points = points(verb).await;
    assert!(!points.is_empty(), "{} passes no point", verb.name);
    for point in &points {
        for &kind in kinds {
            let when = format!("{}, {kind:?} {:?} {}", verb.name, point.moment, point.step);
            let faults = FaultPlan::at(point.index, kind);
            let scene = match kind {
                FaultKind::Abort => Scene::killed(verb, point.index).await,
                FaultKind::Fail | FaultKind::Panic | FaultKind::Hang => Scene::new(verb).await,
            };
            let (runtime, set) = (scene.stage.impatient_runtime(faults.clone()), scene.set.clone());
            match kind {
                FaultKind::Abort => {}
                FaultKind::Hang => abandoned(runtime, verb, set, &faults, point.index).await,
                // Some faults are no obstacle: who stops a sandbox does not depend on its guest.
                FaultKind::Fail | FaultKind::Panic => drop(tokio::spawn((verb.run)(runtime, set)).await),
            }
            scene.aftermath(verb, &when, kind).await;
        }
    }
}

#[tokio::test]
async fn size() {
    let (mut all, mut verbs) = (0, 0);
    for verb in verbs::TABLE {
        let points = points(*verb).await.len();
        println!("{:32} {points:4} points {:5} cases", verb.name, points * 4);
        (all, verbs) = (all + points, verbs + 1);
    }
    println!("{verbs} verbs, {all} points, {} cases", all * 4);
    assert!(verbs >= 20 && all >= 100, "{verbs} verbs, {all} points");
}

#[tokio::test]
#[ignore = "the process that dies in the midst of a verb"]
async fn child() {
    let var = |name: &str| std::env::var(name).unwrap();
    let verb = verbs::find(&var(VERB));
    let agent = MockAgent::new();
    agent.script_all(MockProcess::endless());
    let vmm = MockHypervisor::default();
    let runtime = |faults: FaultPlan| {
        Runtime::builder()
            .root(var(ROOT))
            .durability(Durability::NoSync)
            .hypervisor(std::sync::Arc::new(vmm.clone()))
            .connector(std::sync::Arc::new(agent.clone()))
            .faults(faults)
            .build()
            .unwrap()
    };
    let set = Set { rootfs: var(ROOTFS).into(), netns: std::env::var_os(NETNS).map(PathBuf::from) };
    prepare(&runtime(FaultPlan::none()), &set, verb.before).await;
    let faults = FaultPlan::at(var(POINT).parse().unwrap(), FaultKind::Abort);
    (verb.run)(runtime(faults), set).await.unwrap();
}
