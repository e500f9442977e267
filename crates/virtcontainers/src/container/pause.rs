//! Pause and resume: a container's processes.

use std::sync::Arc;

use virtcontainers_types::ContainerId;

use super::{ContainerPhase, open_in_guest};
use crate::{
    error::Error,
    sandbox::{Shared, Todo},
    state::ContainerOperation,
    time::Timestamp,
};

pub(super) async fn pause(shared: Arc<Shared>, id: ContainerId) -> Result<(), Error> {
    let (mut session, mut record, todo) =
        open_in_guest(&shared, &id, ContainerOperation::Pause, "pause").await?;
    if todo == Todo::Nothing {
        return Ok(());
    }
    let frozen = session.agent().await?.pause_container(&id).await;
    session.told(frozen)?;
    record.phase = ContainerPhase::Paused { started: record.phase.started().unwrap_or_else(Timestamp::now) };
    session.save_container(&record)
}

pub(super) async fn resume(shared: Arc<Shared>, id: ContainerId) -> Result<(), Error> {
    let (mut session, mut record, todo) =
        open_in_guest(&shared, &id, ContainerOperation::Resume, "resume").await?;
    if todo == Todo::Nothing {
        return Ok(());
    }
    let thawed = session.agent().await?.resume_container(&id).await;
    session.told(thawed)?;
    record.phase = ContainerPhase::Running { started: record.phase.started().unwrap_or_else(Timestamp::now) };
    session.save_container(&record)
}
