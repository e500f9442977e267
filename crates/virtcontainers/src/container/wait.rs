//! Wait: how a container's command ended, for the caller and for the record.

use virtcontainers_store::{StoreError, StoreExt as _};
use virtcontainers_types::{ContainerState, ExecId};

use super::{Container, ContainerRecord, exec};
use crate::{
    drive::to_the_end,
    error::{Cause, Error},
    sandbox::Session,
};

pub(super) async fn wait(container: &Container) -> Result<i32, Error> {
    let sandbox = container.sandbox();
    let phase = sandbox.load()?.phase.observed();
    let store = sandbox.runtime().store();
    let record: ContainerRecord = store.load_container_as(sandbox.id(), container.id())?;
    let seen = record.phase.within(&phase);
    if seen.state() == ContainerState::Stopped {
        let (sandbox, container) = (sandbox.id().clone(), container.id().clone());
        return seen.exit_code().ok_or_else(|| Cause::ExitUnknown { sandbox, container }.into());
    }
    let process =
        to_the_end(sandbox.runtime(), "attend container", exec::first_process(container.clone())).await?;
    let first = ExecId::from(container.id());
    let code = sandbox.watching(process.agent().wait_process(container.id(), &first)).await?;
    match to_the_end(sandbox.runtime(), "record an end", record_end(container.clone(), code)).await {
        Ok(()) => {}
        // Whoever deleted it meanwhile wants no record of it.
        Err(error) if is_forgotten(&error) => {}
        Err(error) => tracing::warn!(container = %container.id(), %error, "cannot record the end"),
    }
    Ok(code)
}

async fn record_end(container: Container, code: i32) -> Result<(), Error> {
    let session = Session::open(&container.shared()).await?;
    let mut record = session.container(container.id())?;
    if record.phase.exit_code().is_some() {
        return Ok(());
    }
    record.phase = record.phase.ended(Some(code));
    session.save_container(&record)
}

fn is_forgotten(error: &Error) -> bool {
    matches!(error.cause(), Cause::Store(StoreError::NotFound { .. } | StoreError::NoContainer { .. }))
}
