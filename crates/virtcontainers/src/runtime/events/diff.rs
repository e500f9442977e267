//! From two looks at a sandbox to what must have happened between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use oci_spec::runtime::LinuxResources;
use virtcontainers_types::{ContainerId, ContainerState, SandboxId, SandboxState};

use super::{Event, EventKind};
use crate::{
    status::{ContainerStatus, SandboxStatus},
    time::Timestamp,
};

/// A sandbox at one look.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    life: Life<SandboxState>,
    containers: BTreeMap<ContainerId, Life<ContainerState>>,
}

/// A sandbox or a container at one look.
#[derive(Debug, Clone)]
struct Life<State> {
    state: State,
    /// When its create began: another time is another one of the same id.
    created: Timestamp,
    started: Option<Timestamp>,
    code: Option<i32>,
    annotations: BTreeMap<String, String>,
    resources: Option<LinuxResources>,
}

/// What the states of sandboxes and containers have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unborn,
    Created,
    Running,
    Paused,
    Stopped,
}

impl From<SandboxState> for Stage {
    fn from(state: SandboxState) -> Self {
        match state {
            SandboxState::Creating => Self::Unborn,
            SandboxState::Ready => Self::Created,
            SandboxState::Running => Self::Running,
            SandboxState::Paused => Self::Paused,
            SandboxState::Stopped => Self::Stopped,
        }
    }
}

impl From<ContainerState> for Stage {
    fn from(state: ContainerState) -> Self {
        match state {
            ContainerState::Creating => Self::Unborn,
            ContainerState::Ready => Self::Created,
            ContainerState::Running => Self::Running,
            ContainerState::Paused => Self::Paused,
            ContainerState::Stopped => Self::Stopped,
        }
    }
}

impl From<SandboxStatus> for Seen {
    fn from(status: SandboxStatus) -> Self {
        let life = Life {
            state: status.state,
            created: status.created,
            started: None,
            code: None,
            annotations: status.annotations,
            resources: None,
        };
        let containers =
            status.containers.into_iter().map(|container| (container.id.clone(), container.into()));
        Self { life, containers: containers.collect() }
    }
}

impl From<ContainerStatus> for Life<ContainerState> {
    fn from(status: ContainerStatus) -> Self {
        Self {
            state: status.state,
            created: status.created,
            started: status.started,
            code: status.exit_code,
            annotations: status.annotations,
            resources: status.resources,
        }
    }
}

impl Seen {
    pub(super) const fn state(&self) -> SandboxState {
        self.life.state
    }

    /// Whether it has a machine.
    pub(super) const fn is_up(&self) -> bool {
        matches!(self.life.state, SandboxState::Ready | SandboxState::Running | SandboxState::Paused)
    }

    /// Whether it is the same sandbox, not another one of the same id.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.life.created == other.life.created
    }
}

/// Tells what has happened to a sandbox between two looks; `None` is one that is not there.
pub(super) fn tell(id: &SandboxId, before: Option<&Seen>, now: Option<&Seen>, queue: &mut VecDeque<Event>) {
    if let (Some(before), Some(now)) = (before, now)
        && !before.same_as(now)
    {
        tell(id, Some(before), None, queue);
        return tell(id, None, Some(now), queue);
    }
    let mut push = |container: Option<&ContainerId>, (kind, time): (EventKind, Timestamp)| {
        queue.push_back(Event { time, sandbox: Some(id.clone()), container: container.cloned(), kind });
    };
    // A sandbox comes before its containers and goes after them; what it does between concerns them all.
    let (mut own, of_containers) =
        (VecDeque::from(steps(before.map(|b| &b.life), now.map(|n| &n.life))), containers(before, now));
    if own.front().is_some_and(|(kind, _)| *kind == EventKind::Created) {
        own.drain(..1).for_each(|step| push(None, step));
    }
    of_containers.into_iter().for_each(|(container, step)| push(Some(container), step));
    own.into_iter().for_each(|step| push(None, step));
}

type Step = (EventKind, Timestamp);

fn containers<'seen>(
    before: Option<&'seen Seen>,
    now: Option<&'seen Seen>,
) -> Vec<(&'seen ContainerId, Step)> {
    let of = |seen: Option<&'seen Seen>| seen.map(|seen| &seen.containers);
    let (before, now) = (of(before), of(now));
    let ids: BTreeSet<_> = before.into_iter().chain(now).flat_map(BTreeMap::keys).collect();
    let mut told = Vec::new();
    for id in ids {
        let look =
            |containers: Option<&'seen BTreeMap<ContainerId, Life<ContainerState>>>| containers?.get(id);
        match (look(before), look(now)) {
            (Some(before), Some(now)) if before.created != now.created => {
                told.extend(steps(Some(before), None).into_iter().map(|step| (id, step)));
                told.extend(steps(None, Some(now)).into_iter().map(|step| (id, step)));
            }
            (before, now) => told.extend(steps(before, now).into_iter().map(|step| (id, step))),
        }
    }
    // In time; of what happened at the same moment, each one's own order is kept.
    told.sort_by_key(|(_, (_, time))| *time);
    told
}

/// The way from one look to the next.
fn steps<State: Into<Stage> + Copy>(before: Option<&Life<State>>, now: Option<&Life<State>>) -> Vec<Step> {
    let seen_now = Timestamp::now();
    let was = before.map_or(Stage::Unborn, |before| before.state.into());
    let Some(now) = now else {
        return match was {
            Stage::Unborn => Vec::new(),
            Stage::Created | Stage::Stopped => vec![(EventKind::Deleted, seen_now)],
            Stage::Running | Stage::Paused => {
                vec![(EventKind::Stopped { code: None }, seen_now), (EventKind::Deleted, seen_now)]
            }
        };
    };
    let is = now.state.into();
    let mut steps = Vec::new();
    if was == Stage::Unborn && is != Stage::Unborn {
        steps.push((EventKind::Created, now.created));
    }
    let has_run = now.started.is_some() || matches!(is, Stage::Running | Stage::Paused);
    if matches!(was, Stage::Unborn | Stage::Created) && is != Stage::Unborn && has_run {
        steps.push((EventKind::Started, now.started.unwrap_or(seen_now)));
    }
    let step = match (was, is) {
        (Stage::Paused, Stage::Running) => Some(EventKind::Resumed),
        (Stage::Unborn | Stage::Created | Stage::Running | Stage::Stopped, Stage::Paused) => {
            Some(EventKind::Paused)
        }
        (Stage::Unborn | Stage::Created | Stage::Running | Stage::Paused, Stage::Stopped) => {
            Some(EventKind::Stopped { code: now.code })
        }
        (
            Stage::Unborn | Stage::Created | Stage::Running | Stage::Paused | Stage::Stopped,
            Stage::Unborn | Stage::Created | Stage::Running | Stage::Paused | Stage::Stopped,
        ) => None,
    };
    steps.extend(step.map(|step| (step, seen_now)));
    let changed =
        |before: &Life<State>| before.annotations != now.annotations || before.resources != now.resources;
    if was != Stage::Unborn && before.is_some_and(changed) {
        steps.push((EventKind::Updated, seen_now));
    }
    steps
}
