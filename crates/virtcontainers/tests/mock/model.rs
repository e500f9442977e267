//! Random verbs from several runtimes on one sandbox: each answers as a model of states does, and the states agree.

use std::collections::BTreeMap;

use proptest::prelude::*;
use virtcontainers::{
    Cmd, ContainerState, DeleteMode, Error, ErrorKind, KillScope, Runtime, SandboxState, Signal, StopMode,
    agent::mock::MockProcess,
};

use crate::stage::{Stage, cid, sid};

#[derive(Debug, Clone, Copy)]
enum Verb {
    Start,
    Stop(StopMode),
    Pause,
    Resume,
    Delete(DeleteMode),
    Create(u8),
    StartOne(u8),
    StopOne(u8),
    PauseOne(u8),
    ResumeOne(u8),
    Kill(u8),
    Exec(u8),
    DeleteOne(u8, DeleteMode),
    Gc,
}

fn verb() -> impl Strategy<Value = Verb> {
    let one = || 0u8..3;
    let mode = prop_oneof![Just(DeleteMode::IfStopped), Just(DeleteMode::Force)];
    prop_oneof![
        3 => Just(Verb::Start),
        1 => prop_oneof![Just(StopMode::Graceful), Just(StopMode::Force)].prop_map(Verb::Stop),
        3 => Just(Verb::Pause),
        3 => Just(Verb::Resume),
        1 => mode.clone().prop_map(Verb::Delete),
        4 => one().prop_map(Verb::Create),
        4 => one().prop_map(Verb::StartOne),
        2 => one().prop_map(Verb::StopOne),
        3 => one().prop_map(Verb::PauseOne),
        3 => one().prop_map(Verb::ResumeOne),
        2 => one().prop_map(Verb::Kill),
        2 => one().prop_map(Verb::Exec),
        2 => (one(), mode).prop_map(|(id, mode)| Verb::DeleteOne(id, mode)),
        1 => Just(Verb::Gc),
    ]
}

/// What there is, as the tables of states have it.
#[derive(Debug)]
struct Model {
    sandbox: Option<SandboxState>,
    containers: BTreeMap<u8, ContainerState>,
}

type Told = Result<(), ErrorKind>;
const REFUSED: Told = Err(ErrorKind::WrongState);

impl Model {
    fn expect(&mut self, verb: Verb) -> Told {
        let Some(state) = self.sandbox else {
            return if matches!(verb, Verb::Gc) { Ok(()) } else { Err(ErrorKind::NotFound) };
        };
        use SandboxState as State;
        match (verb, state) {
            (Verb::Gc, _) | (Verb::Start | Verb::Resume, State::Running) => Ok(()),
            (Verb::Start, State::Ready) => {
                self.sandbox = Some(State::Running);
                for container in self.containers.values_mut().filter(|s| **s == ContainerState::Ready) {
                    *container = ContainerState::Running;
                }
                Ok(())
            }
            (Verb::Stop(_), _) => {
                self.sandbox = Some(State::Stopped);
                self.containers.values_mut().for_each(|state| *state = ContainerState::Stopped);
                Ok(())
            }
            (Verb::Pause, State::Running | State::Paused) => self.become_(State::Paused),
            (Verb::Resume, State::Paused) => self.become_(State::Running),
            (Verb::Delete(DeleteMode::Force), _) | (Verb::Delete(_), State::Ready | State::Stopped) => {
                self.sandbox = None;
                self.containers.clear();
                Ok(())
            }
            (Verb::Start | Verb::Pause | Verb::Resume | Verb::Delete(_), _) => REFUSED,
            (Verb::Create(id), State::Ready | State::Running) => match self.containers.get(&id) {
                Some(_) => Err(ErrorKind::AlreadyExists),
                None => self.set(id, ContainerState::Ready),
            },
            (Verb::Create(_), _) => REFUSED,
            (Verb::StartOne(id), _) => self.one(id, state == State::Running, |was| match was {
                ContainerState::Ready | ContainerState::Running => Some(ContainerState::Running),
                ContainerState::Creating | ContainerState::Paused | ContainerState::Stopped => None,
            }),
            (Verb::StopOne(id), _) => self.one(id, state != State::Paused, |_| Some(ContainerState::Stopped)),
            (Verb::PauseOne(id), _) => self.one(id, is_awake(state), |was| match was {
                ContainerState::Running | ContainerState::Paused => Some(ContainerState::Paused),
                ContainerState::Creating | ContainerState::Ready | ContainerState::Stopped => None,
            }),
            (Verb::ResumeOne(id), _) => self.one(id, is_awake(state), |was| match was {
                ContainerState::Running | ContainerState::Paused => Some(ContainerState::Running),
                ContainerState::Creating | ContainerState::Ready | ContainerState::Stopped => None,
            }),
            (Verb::Kill(id), _) => self.one(id, is_awake(state), |was| match was {
                ContainerState::Creating | ContainerState::Stopped => None,
                ContainerState::Ready | ContainerState::Running | ContainerState::Paused => Some(was),
            }),
            (Verb::Exec(id), _) => self.one(id, is_awake(state), |was| match was {
                ContainerState::Running => Some(was),
                ContainerState::Creating
                | ContainerState::Ready
                | ContainerState::Paused
                | ContainerState::Stopped => None,
            }),
            (Verb::DeleteOne(id, mode), _) => {
                let told = self.one(id, state != State::Paused, |was| match (was, mode) {
                    (ContainerState::Running | ContainerState::Paused, DeleteMode::IfStopped) => None,
                    (was, _) => Some(was),
                });
                if told.is_ok() {
                    self.containers.remove(&id);
                }
                told
            }
        }
    }

    fn become_(&mut self, state: SandboxState) -> Told {
        self.sandbox = Some(state);
        Ok(())
    }

    fn set(&mut self, id: u8, state: ContainerState) -> Told {
        self.containers.insert(id, state);
        Ok(())
    }

    /// A verb on one container, the sandbox permitting.
    fn one(
        &mut self,
        id: u8,
        admitted: bool,
        change: impl Fn(ContainerState) -> Option<ContainerState>,
    ) -> Told {
        let Some(was) = self.containers.get_mut(&id) else { return Err(ErrorKind::NotFound) };
        match change(*was).filter(|_| admitted) {
            Some(new) => {
                *was = new;
                Ok(())
            }
            None => REFUSED,
        }
    }
}

const fn is_awake(state: SandboxState) -> bool {
    matches!(state, SandboxState::Ready | SandboxState::Running)
}

async fn act(stage: &Stage, runtime: &Runtime, verb: Verb) -> Result<(), Error> {
    let web = sid("web");
    let one = |id: u8| cid(&format!("c{id}"));
    match verb {
        Verb::Start => runtime.start_sandbox(&web).await.map(drop),
        Verb::Stop(mode) => runtime.stop_sandbox(&web, mode).await.map(drop),
        Verb::Pause => runtime.pause_sandbox(&web).await.map(drop),
        Verb::Resume => runtime.resume_sandbox(&web).await.map(drop),
        Verb::Delete(mode) => runtime.delete_sandbox(&web, mode).await,
        Verb::Create(id) => runtime.create_container(&web, stage.container(one(id).as_str())).await.map(drop),
        Verb::StartOne(id) => runtime.start_container(&web, &one(id)).await.map(drop),
        Verb::StopOne(id) => runtime.stop_container(&web, &one(id), StopMode::Force).await.map(drop),
        Verb::PauseOne(id) => runtime.pause_container(&web, &one(id)).await.map(drop),
        Verb::ResumeOne(id) => runtime.resume_container(&web, &one(id)).await.map(drop),
        Verb::Kill(id) => runtime.kill_container(&web, &one(id), Signal::HUP, KillScope::Init).await,
        Verb::Exec(id) => runtime.enter_container(&web, &one(id), Cmd::new(["/bin/true"])).await.map(drop),
        Verb::DeleteOne(id, mode) => runtime.delete_container(&web, &one(id), mode).await,
        Verb::Gc => runtime.gc(Default::default()).await.map(|report| assert_eq!(report.items, [])),
    }
}

async fn play(verbs: Vec<(usize, Verb)>) {
    let stage = Stage::new();
    // A signal that is looked for ends nobody.
    stage.agent.script_all(MockProcess { ignores: vec![1], ..MockProcess::endless() });
    let runtimes = [stage.runtime(), stage.runtime(), stage.runtime()];
    runtimes[0].create_sandbox(stage.config("web", &["c0"])).await.unwrap();
    let mut model = Model {
        sandbox: Some(SandboxState::Ready),
        containers: BTreeMap::from([(0, ContainerState::Ready)]),
    };
    for (step, (who, verb)) in verbs.iter().enumerate() {
        let runtime = &runtimes[who % runtimes.len()];
        let told = act(&stage, runtime, *verb).await.map_err(|error| error.kind());
        let expected = model.expect(*verb);
        assert_eq!(told, expected, "step {step} of {verbs:?}; {model:?}");
        let status = stage.runtime().sandbox_status(&sid("web")).await;
        assert_eq!(status.as_ref().ok().map(|s| s.state), model.sandbox, "step {step} of {verbs:?}");
        let seen: Vec<_> = status.iter().flat_map(|s| &s.containers).map(|c| c.state).collect();
        let meant: Vec<_> = model.containers.values().copied().collect();
        assert_eq!(seen, meant, "step {step} of {verbs:?}");
    }
    drop(stage.runtime().delete_sandbox(&sid("web"), DeleteMode::Force).await);
    assert_eq!(stage.root.leaks(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn verbs_answer_as_the_model_does(verbs in prop::collection::vec((0usize..3, verb()), 1..30)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(verbs));
    }
}
