//! Wait: how a process ended, for the caller, and of a container's command for the record too.
//!
//! Who knows it, in this order: the record, the file that the process's shim has left, the shim once it has ended, the
//! agent.

use virtcontainers_store::{StoreError, StoreExt as _};
use virtcontainers_types::{ContainerState, ExecId};

use super::{Container, ContainerRecord, exec, shim};
use crate::{
    drive::to_the_end,
    error::{Cause, Error},
    process::Process,
    sandbox::Session,
    time::Timestamp,
};

pub(super) async fn wait(container: &Container) -> Result<i32, Error> {
    let first = ExecId::from(container.id());
    if let Some(code) = known(container)? {
        return code;
    }
    let code = match attended(container, &first).await? {
        Some(code) => code,
        None => {
            if let Some(code) = known(container)? {
                return code;
            }
            let process = exec::first_process(container.clone()).await?;
            container.sandbox().watching(process.agent().wait_process(container.id(), &first)).await?
        }
    };
    match to_the_end(container.sandbox().runtime(), "record an end", record_end(container.clone(), code))
        .await
    {
        Ok(()) => {}
        // Whoever deleted it meanwhile wants no record of it.
        Err(error) if is_forgotten(&error) => {}
        Err(error) => tracing::warn!(container = %container.id(), %error, "cannot record the end"),
    }
    Ok(code)
}

/// Waits for a process beside the first one.
pub(crate) async fn wait_process(process: &Process) -> Result<i32, Error> {
    let container = process.container();
    match attended(container, process.id()).await? {
        Some(code) => Ok(code),
        None => {
            let ended = process.agent().wait_process(container.id(), process.id());
            container.sandbox().watching(ended).await
        }
    }
}

/// How a container's command ended, if it has.
fn known(container: &Container) -> Result<Option<Result<i32, Error>>, Error> {
    let sandbox = container.sandbox();
    let phase = sandbox.load()?.observed();
    let mut record: ContainerRecord =
        sandbox.runtime().store().load_container_as(sandbox.id(), container.id())?;
    record.observe(&shim::dir(sandbox.runtime(), sandbox.id(), container.id()), &phase);
    if record.phase.state() != ContainerState::Stopped {
        return Ok(None);
    }
    let (sandbox, container) = (sandbox.id().clone(), container.id().clone());
    Ok(Some(record.phase.exit_code().ok_or_else(|| Cause::ExitUnknown { sandbox, container }.into())))
}

/// Waits for the shim of a process, if it has one: the exit code, unless the shim ended without telling.
async fn attended(container: &Container, exec: &ExecId) -> Result<Option<i32>, Error> {
    let sandbox = container.sandbox();
    let dir = shim::dir(sandbox.runtime(), sandbox.id(), container.id());
    if let Some(shim) = shim::living(&dir, exec) {
        let ended = sandbox.watching(async { Ok(shim::ended(shim).await) }).await?;
        ended.map_err(|source| Cause::Host { what: "watch a shim", source })?;
    }
    let code = shim::exit(&dir, exec).map(|exit| exit.code);
    if code.is_none() && shim::of(&dir, exec).is_some() && sandbox.load()?.observed().machine().is_none() {
        // It ended with its machine, and that is what there is to tell.
        return sandbox.watching(std::future::pending()).await;
    }
    Ok(code)
}

async fn record_end(container: Container, code: i32) -> Result<(), Error> {
    let session = Session::open(&container.shared()).await?;
    let mut record = session.container(container.id())?;
    let seen = record.phase.clone();
    record.phase = seen.ended(Some(code), Some(Timestamp::now()));
    session.save_container(&record)
}

fn is_forgotten(error: &Error) -> bool {
    matches!(error.cause(), Cause::Store(StoreError::NotFound { .. } | StoreError::NoContainer { .. }))
}
