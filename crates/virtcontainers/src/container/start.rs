//! Start: the container's command.

use std::sync::Arc;

use virtcontainers_types::ContainerId;

use super::{ContainerPhase, ContainerRecord, open};
use crate::{
    error::Error,
    sandbox::{Session, Shared, Todo},
    state::{ContainerOperation, SandboxOperation},
    time::Timestamp,
};

pub(super) async fn start(shared: Arc<Shared>, id: ContainerId) -> Result<(), Error> {
    let (mut session, mut record) =
        open(&shared, &id, SandboxOperation::StartContainer, "start a container of").await?;
    match session.admit_container(&record, ContainerOperation::Start, "start")? {
        Todo::Nothing => Ok(()),
        Todo::Act => start_in(&mut session, &mut record).await,
    }
}

/// Starts a container that is admitted.
pub(crate) async fn start_in(session: &mut Session, record: &mut ContainerRecord) -> Result<(), Error> {
    let started = session.agent().await?.start_container(&record.id).await;
    session.told(started)?;
    record.phase = ContainerPhase::Running { started: Timestamp::now() };
    session.save_container(record)
}
