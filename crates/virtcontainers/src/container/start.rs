//! Start: the container's command.

use std::sync::Arc;

use virtcontainers_types::{ContainerId, ExecId};

use super::{
    ContainerPhase, ContainerRecord,
    intent::{Intent, ask},
    open, shim,
};
use crate::{
    error::Error,
    sandbox::{Session, Shared, Todo},
    state::{ContainerOperation, SandboxOperation},
    time::Timestamp,
};

pub(super) async fn start(shared: Arc<Shared>, id: ContainerId) -> Result<(), Error> {
    let (mut session, mut record) =
        open(&shared, &id, SandboxOperation::StartContainer, "start a container of").await?;
    match session.record.admit_container(&record, ContainerOperation::Start, "start")? {
        Todo::Nothing => Ok(()),
        Todo::Act => start_in(&mut session, &mut record).await,
    }
}

/// Starts a container that is admitted: its shim, if it is to have one, and then its command, so that no byte is missed.
pub(crate) async fn start_in(session: &mut Session, record: &mut ContainerRecord) -> Result<(), Error> {
    let mut shim = match shim::is_wanted(&session.record, &record.config.cmd) {
        true => {
            shim::expect_shims(session)?;
            let first = ExecId::from(&record.id);
            Some(shim::launch(session.shared(), &session.record, &record.id, &first).await?)
        }
        false => None,
    };
    let faults = session.runtime().faults();
    let started = async {
        if let Some(shim) = &mut shim {
            shim.go(&faults).await?;
        }
        ask(session, record, Intent::Start).await
    };
    if let Err(error) = started.await {
        if let Some(shim) = shim {
            shim.discard().await;
        }
        return Err(error);
    }
    if let Some(size) = record.config.cmd.terminal_size {
        super::exec::fit(&session.agent().await?, &record.id, &ExecId::from(&record.id), size).await;
    }
    record.phase = ContainerPhase::Running { started: Timestamp::now() };
    session.save_container(record)
}
