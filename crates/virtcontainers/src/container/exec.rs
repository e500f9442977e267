//! Exec: a further process in a container that runs; and handles of those that run already.

use std::sync::Arc;

use virtcontainers_agent_client::{Agent, AgentError, ProcessSpec, RpcCode, TerminalSize};
use virtcontainers_types::{ContainerId, ExecId};

use super::{Container, create::pass, shim};
use crate::{
    config::Cmd,
    error::{Cause, Error},
    oci,
    process::Process,
    sandbox::{Session, Visit},
    signal::Signal,
    state::ContainerOperation,
};

const VERB: &str = "enter";

/// Starts a process under the id of the caller's choice, or one of our own.
pub(super) async fn exec(container: Container, id: Option<ExecId>, cmd: Cmd) -> Result<Process, Error> {
    cmd.validate()?;
    let (visit, record) =
        Visit::container(&container.shared(), container.id(), ContainerOperation::Exec, VERB).await?;
    if id == Some(ExecId::from(container.id())) {
        return Err(taken(&container, container.id().into()));
    }
    let (process, size) = (oci::exec_process(&record.rootfs, &cmd)?, cmd.terminal_size);
    let process = ProcessSpec { process, stdin: cmd.stdin };
    let id = id.map_or_else(fresh_id, Ok)?;
    let agent = visit.agent().await?;
    let mut shim = if cmd.detach && shim::is_wanted(&visit.record, &cmd) {
        Some(attended(&container, &visit, &id).await?)
    } else {
        None
    };
    let faults = container.sandbox().runtime().faults();
    let mut runs = false;
    let start = async {
        let answer = agent.exec_process(container.id(), &id, process).await;
        runs = answer.is_ok();
        if runs && let Some(size) = size {
            fit(&agent, container.id(), &id, size).await;
        }
        match answer {
            Err(AgentError::Rpc { code: RpcCode::AlreadyExists, .. }) => Err(taken(&container, id.clone())),
            answer => visit.told_of(container.id(), ContainerOperation::Exec, VERB, answer),
        }
    };
    let started = pass(&faults, "start process in guest", start).await;
    let attended = match (started, &mut shim) {
        (Ok(()), Some(shim)) => shim.go(&faults).await,
        (started, _) => started,
    };
    if runs && attended.is_err() {
        // Nobody is told of it, so nobody would ever end it. It may have ended by itself.
        let killed = agent.signal_process(container.id(), Some(&id), Signal::KILL.number()).await;
        drop(killed.inspect_err(|error| tracing::debug!(process = %id, %error, "cannot end a process")));
    }
    match (attended, shim) {
        (Ok(()), _) => Ok(Process::new(container, id, agent)),
        (Err(error), None) => Err(error),
        (Err(error), Some(shim)) => {
            shim.discard().await;
            Err(error)
        }
    }
}

/// Tells a new terminal its size: an agent may not read that of the process's specification (the kata-agent does not).
pub(super) async fn fit(agent: &Arc<dyn Agent>, container: &ContainerId, id: &ExecId, size: TerminalSize) {
    // The process may have ended already.
    let told = agent.resize_terminal(container, id, size).await;
    drop(told.inspect_err(|error| tracing::debug!(process = %id, %error, "cannot size a terminal")));
}

/// Launches the shim of a process that is yet to be started.
async fn attended(container: &Container, visit: &Visit, id: &ExecId) -> Result<shim::Launched, Error> {
    if shim::of(&shim::dir(container.sandbox().runtime(), container.sandbox().id(), container.id()), id)
        .is_some()
    {
        return Err(taken(container, id.clone()));
    }
    if !shim::are_expected(&visit.record) {
        shim::expect_shims(&mut Session::open(&container.shared()).await?)?;
    }
    shim::launch(&container.shared(), &visit.record, container.id(), id).await
}

fn taken(container: &Container, id: ExecId) -> Error {
    let (sandbox, container) = (container.sandbox().id().clone(), container.id().clone());
    Cause::ProcessExists { sandbox, container, id }.into()
}

/// Unique by chance, so that no process has to know of the others' choices.
fn fresh_id() -> Result<ExecId, Error> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Cause::Host { what: "choose a process id", source: error.into() })?;
    ExecId::new(format!("exec-{:016x}", u64::from_ne_bytes(bytes)))
        .map_err(|error| Cause::Interrupted(error.to_string()).into())
}

/// The handle of a container's first process.
pub(super) async fn first_process(container: Container) -> Result<Process, Error> {
    let id = ExecId::from(container.id());
    process_by_id(container, id).await
}

/// The handle of a process that was started before.
pub(super) async fn process_by_id(container: Container, id: ExecId) -> Result<Process, Error> {
    let (visit, _) =
        Visit::container(&container.shared(), container.id(), ContainerOperation::Attend, "attend").await?;
    let agent = visit.agent().await?;
    Ok(Process::new(container, id, agent))
}
