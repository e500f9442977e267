//! Pause and resume: a container's processes.

use std::sync::Arc;

use virtcontainers_types::ContainerId;

use super::{
    ContainerPhase,
    intent::{Intent, ask},
    open_in_guest,
};
use crate::{
    error::Error,
    sandbox::{Shared, Todo},
    state::ContainerOperation,
    time::Timestamp,
};

pub(super) async fn pause(shared: Arc<Shared>, id: ContainerId) -> Result<(), Error> {
    let (mut session, mut record, todo) =
        open_in_guest(&shared, &id, ContainerOperation::Pause, "pause").await?;
    if todo == Todo::Nothing && record.intent.is_none() {
        return Ok(());
    }
    ask(&mut session, &mut record, Intent::Pause).await?;
    record.phase = ContainerPhase::Paused { started: record.phase.started().unwrap_or_else(Timestamp::now) };
    session.save_container(&record)
}

pub(super) async fn resume(shared: Arc<Shared>, id: ContainerId) -> Result<(), Error> {
    let (mut session, mut record, todo) =
        open_in_guest(&shared, &id, ContainerOperation::Resume, "resume").await?;
    if todo == Todo::Nothing && record.intent.is_none() {
        return Ok(());
    }
    ask(&mut session, &mut record, Intent::Resume).await?;
    record.phase = ContainerPhase::Running { started: record.phase.started().unwrap_or_else(Timestamp::now) };
    session.save_container(&record)
}
