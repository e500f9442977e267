//! Processes: `ExecProcess`, `SignalProcess`, `WaitProcess`, `TtyWinResize`, `ListProcesses`.

use std::{fs, io, sync::Arc};

use rustix::process::Signal;
use virtcontainers_agent_protocol::{
    api::{
        Empty,
        agent::{
            self, ExecProcessRequest, SignalProcessRequest, TtyWinResizeRequest, WaitProcessRequest,
            WaitProcessResponse,
        },
        virtcontainers::{ListProcessesRequest, ListProcessesResponse},
    },
    oci,
};

use super::{exec_id, unset};
use crate::{
    agent::Agent,
    container::{self, Container, processes, user::StringUser},
    error::CallError,
    process::Process,
    sys::signal,
};

pub(super) async fn exec(agent: &Arc<Agent>, request: ExecProcessRequest) -> Result<Empty, CallError> {
    let no_ports = [request.stdin_port, request.stdout_port, request.stderr_port] == [0; 3];
    unset("ExecProcessRequest's stream ports", no_ports)?;
    let container = agent.container(&request.container_id)?;
    let id = exec_id(&request.exec_id)?;
    if request.process.is_none() {
        return Err(CallError::Invalid { field: "process", reason: "it must be set".to_owned() });
    }
    let process = oci::process_from_message(&request.process)?;
    let user = string_user(request.string_user.as_ref());
    container::exec::exec(agent, &container, &id, process, &user).await.map(|()| Empty::new())
}

/// A user as a request has it.
pub(super) fn string_user(user: Option<&agent::StringUser>) -> StringUser {
    user.map_or_else(StringUser::default, |user| StringUser {
        user: user.uid.clone(),
        group: user.gid.clone(),
        additional: user.additionalGids.clone(),
    })
}

pub(super) async fn signal(agent: &Arc<Agent>, request: SignalProcessRequest) -> Result<Empty, CallError> {
    let container = agent.container(&request.container_id)?;
    if !(1..=signal::MAX).contains(&request.signal) {
        let reason = format!("{} is no signal: they go from 1 to {}", request.signal, signal::MAX);
        return Err(CallError::Invalid { field: "signal", reason });
    }
    let failed = |source| CallError::io("signal", container.cgroup().directory())(source);
    let reached = if request.exec_id.is_empty() {
        signal_all(&container, request.signal).map_err(failed)?
    } else {
        let process = container.process(&request.exec_id)?;
        let number = effective(&container, &process, request.signal);
        process.signal(agent.reaper(), number).map_err(failed)?
    };
    if reached {
        return Ok(Empty::new());
    }
    Err(CallError::Ended { container: request.container_id, exec: request.exec_id })
}

/// Signals everything in the container; whether there was anything.
fn signal_all(container: &Container, number: u32) -> io::Result<bool> {
    if number != kill() {
        return Ok(container.cgroup().signal(number)? > 0);
    }
    // Misses no process that is being forked meanwhile. In one that has ended there is nothing left to do, which is
    // what was asked for.
    container.cgroup().kill().map(|()| true)
}

fn kill() -> u32 {
    Signal::KILL.as_raw().cast_unsigned()
}

/// The kernel withholds a signal without a handler from the first process of a pid namespace. Who asks such a process
/// to terminate wants its end, so it gets what cannot be withheld. One that handles, blocks or ignores the signal is
/// left to its own decision.
fn effective(container: &Container, process: &Process, number: u32) -> u32 {
    let terminate = Signal::TERM.as_raw().cast_unsigned();
    let is_first = std::ptr::eq(process, &raw const **container.init()) && !container.shares_pids();
    if number != terminate || !is_first {
        return number;
    }
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap_or_default();
    if signal::is_disposed_of(&status, number) { number } else { kill() }
}

pub(super) async fn list(
    agent: &Arc<Agent>,
    request: ListProcessesRequest,
) -> Result<ListProcessesResponse, CallError> {
    let container = agent.container(&request.container_id)?;
    // Each process is several files: other calls go on meanwhile.
    match tokio::task::spawn_blocking(move || processes::of(&container)).await {
        Ok(listed) => listed,
        Err(_panicked) => Err(CallError::Panicked("ListProcesses")),
    }
}

pub(super) async fn wait(
    agent: &Arc<Agent>,
    request: WaitProcessRequest,
) -> Result<WaitProcessResponse, CallError> {
    let process = agent.container(&request.container_id)?.process(&request.exec_id)?;
    let mut response = WaitProcessResponse::new();
    response.status = process.wait().await;
    Ok(response)
}

pub(super) async fn resize(agent: &Arc<Agent>, request: TtyWinResizeRequest) -> Result<Empty, CallError> {
    let process = agent.container(&request.container_id)?.process(&request.exec_id)?;
    let size = u16::try_from(request.row).ok().zip(u16::try_from(request.column).ok());
    let Some((rows, columns)) = size else {
        let reason = format!("{} by {} characters are no terminal", request.row, request.column);
        return Err(CallError::Invalid { field: "row, column", reason });
    };
    let path = format!("/proc/{}/fd/0", process.pid());
    if process.stdio().resize(rows, columns).map_err(CallError::io("resize the terminal of", path))? {
        return Ok(Empty::new());
    }
    let reason = format!("process `{}` has no terminal", process.id());
    Err(CallError::Invalid { field: "exec_id", reason })
}
