//! Stop: the container's command ends, and how it ended is recorded.

use std::{sync::Arc, time::Duration};

use virtcontainers_types::{ContainerId, ContainerState};

use super::{
    ContainerRecord,
    create::pass,
    intent::{Intent, ask},
    open, shim,
};
use crate::{
    error::{Cause, Error},
    sandbox::{Session, Shared, StopMode, Todo, end_processes},
    state::{ContainerOperation, SandboxOperation},
    time::Timestamp,
};

/// How long the command may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

pub(super) async fn stop(shared: Arc<Shared>, id: ContainerId, mode: StopMode) -> Result<(), Error> {
    let (mut session, mut record) =
        open(&shared, &id, SandboxOperation::EndContainer, "stop a container of").await?;
    match session.record.admit_container(&record, ContainerOperation::Stop, "stop")? {
        Todo::Nothing => Ok(()),
        Todo::Act => stop_in(&mut session, &mut record, mode).await,
    }
}

/// Stops a container that is admitted.
pub(super) async fn stop_in(
    session: &mut Session,
    record: &mut ContainerRecord,
    mode: StopMode,
) -> Result<(), Error> {
    let agent = session.agent().await?;
    let state = record.phase.state();
    if state == ContainerState::Paused {
        // A frozen process takes no signal.
        ask(session, record, Intent::Resume).await?;
    }
    let grace = match (mode, state) {
        (StopMode::Graceful, ContainerState::Running | ContainerState::Paused) => GRACE,
        // A command that was never started has nothing to tidy up.
        (StopMode::Graceful, ContainerState::Creating | ContainerState::Ready | ContainerState::Stopped)
        | (StopMode::Force, _) => Duration::ZERO,
    };
    let faults = session.runtime().faults();
    let ended = async {
        let ended = end_processes(agent.as_ref(), &record.id, grace).await;
        session.told(ended)
    };
    let code = pass(&faults, "end processes in guest", ended).await?;
    let dir = shim::dir(session.runtime(), session.id(), &record.id);
    shim::see_off(&dir).await.map_err(|source| Cause::Host { what: "end a shim", source })?;
    record.observe(&dir, &session.record.phase);
    record.phase = record.phase.ended(code, Some(Timestamp::now()));
    session.save_container(record)
}
