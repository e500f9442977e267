//! Exec: a further process in a container that runs; and the first one, for its streams.

use std::sync::Arc;

use virtcontainers_agent_client::ProcessSpec;
use virtcontainers_types::ExecId;

use super::{Container, open_in_guest};
use crate::{
    config::Cmd,
    error::{Cause, Error},
    oci,
    process::Process,
    state::ContainerOperation,
};

pub(super) async fn exec(container: Container, cmd: Cmd) -> Result<Process, Error> {
    cmd.validate()?;
    let (mut session, record, _) =
        open_in_guest(&container.shared(), container.id(), ContainerOperation::Exec, "enter").await?;
    let process = ProcessSpec { process: oci::exec_process(&record.rootfs, &cmd)?, stdin: cmd.stdin };
    let id = fresh_id()?;
    let agent = session.agent().await?;
    let started = agent.exec_process(container.id(), &id, process).await;
    session.told(started)?;
    drop(session);
    Ok(Process::new(container, id, agent))
}

/// Unique by chance, so that no process has to know of the others' choices.
fn fresh_id() -> Result<ExecId, Error> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Cause::Host { what: "choose a process id", source: error.into() })?;
    ExecId::new(format!("exec-{:016x}", u64::from_ne_bytes(bytes)))
        .map_err(|error| Cause::Interrupted(error.to_string()).into())
}

pub(super) async fn first_process(container: Container) -> Result<Process, Error> {
    let shared = container.shared();
    let (mut session, _, _) =
        open_in_guest(&shared, container.id(), ContainerOperation::Attend, "attend").await?;
    let agent = session.agent().await?;
    drop(session);
    let id = ExecId::from(container.id());
    Ok(Process::new(container, id, Arc::clone(&agent)))
}
