//! What the calls of the mock agent have in common: each is noted and done in one step as seen by all others.

use oci_spec::runtime::Process;
use virtcontainers_types::{ContainerId, ExecId, stats::ContainerStats};

use super::{Container, Guest, Method, MockAgent, Running};
use crate::{
    agent::{GuestProcess, ProcessSpec},
    error::{AgentError, RpcCode},
    io::OutputStream,
};

pub(super) fn refused(method: Method, code: RpcCode, what: &str) -> AgentError {
    AgentError::Rpc { method: method.name(), code, message: what.to_owned() }
}

impl Guest {
    pub(super) fn find(&self, id: &ContainerId, exec: &ExecId) -> Option<&Running> {
        self.containers.get(id)?.processes.get(exec)
    }

    pub(super) fn container(
        &mut self,
        method: Method,
        id: &ContainerId,
    ) -> Result<&mut Container, AgentError> {
        let none = || refused(method, RpcCode::NotFound, &format!("no container {id}"));
        self.containers.get_mut(id).ok_or_else(none)
    }

    pub(super) fn process(
        &mut self,
        method: Method,
        id: &ContainerId,
        exec: &ExecId,
    ) -> Result<&mut Running, AgentError> {
        let none = || refused(method, RpcCode::NotFound, &format!("no process {exec} in container {id}"));
        self.container(method, id)?.processes.get_mut(exec).ok_or_else(none)
    }

    pub(super) fn new_process(&mut self, exec: &ExecId, stdin: bool, process: Option<&Process>) -> Running {
        let script = self.scripts.get(exec).unwrap_or(&self.default).clone();
        let args = process.and_then(|process| process.args().clone()).unwrap_or_default();
        self.last_pid += 1;
        Running::created(script, stdin, self.last_pid, args)
    }

    /// As the guest's kernel would show a container's processes.
    pub(super) fn processes(&mut self, id: &ContainerId) -> Result<Vec<GuestProcess>, AgentError> {
        let container = self.container(Method::ListProcesses, id)?;
        let mut shown: Vec<_> = container.processes.values().filter_map(Running::shown).collect();
        shown.sort_by_key(|process| process.pid);
        Ok(self.guest_wide.processes.get(id).cloned().unwrap_or(shown))
    }

    pub(super) fn stats(&mut self, id: &ContainerId) -> Result<ContainerStats, AgentError> {
        let container = self.container(Method::StatsContainer, id)?;
        let mut counted = ContainerStats::default();
        counted.cgroup_stats.pids_stats.current =
            container.processes.values().filter_map(Running::shown).count() as u64;
        Ok(self.guest_wide.stats.get(id).cloned().unwrap_or(counted))
    }

    pub(super) fn exec(
        &mut self,
        id: &ContainerId,
        exec: &ExecId,
        spec: &ProcessSpec,
    ) -> Result<(), AgentError> {
        const METHOD: Method = Method::ExecProcess;
        let mut process = self.new_process(exec, spec.stdin, Some(&spec.process));
        let container = self.container(METHOD, id)?;
        let first = container.processes.get(&ExecId::from(id));
        if !first.is_some_and(|first| first.is_started() && first.code.is_none()) {
            return Err(refused(
                METHOD,
                RpcCode::FailedPrecondition,
                &format!("container {id} does not run"),
            ));
        }
        if container.processes.contains_key(exec) {
            return Err(refused(METHOD, RpcCode::AlreadyExists, &format!("process {exec} exists")));
        }
        process.start();
        container.processes.insert(exec.clone(), process);
        Ok(())
    }

    pub(super) fn signal(
        &mut self,
        id: &ContainerId,
        exec: Option<&ExecId>,
        signal: u32,
    ) -> Result<(), AgentError> {
        match exec {
            Some(exec) => self.process(Method::SignalProcess, id, exec)?.signal(signal),
            None => {
                let all = self.container(Method::SignalProcess, id)?.processes.values_mut();
                all.for_each(|process| process.signal(signal));
            }
        }
        Ok(())
    }
}

impl MockAgent {
    /// Notes a call and does it, in one step as seen by all others.
    pub(super) async fn act<T>(
        &self,
        method: Method,
        container: &ContainerId,
        exec: Option<&ExecId>,
        act: impl FnOnce(&mut Guest) -> Result<T, AgentError> + Send,
    ) -> Result<T, AgentError> {
        self.enter(method, Some(container), exec).await?;
        self.change(method, act)
    }

    pub(super) fn change<T>(
        &self,
        method: Method,
        act: impl FnOnce(&mut Guest) -> Result<T, AgentError>,
    ) -> Result<T, AgentError> {
        let mut result = Err(AgentError::Disconnected { method: method.name() });
        self.guest.send_modify(|guest| result = act(guest));
        result
    }

    pub(super) async fn read(
        &self,
        method: Method,
        stream: OutputStream,
        (container, exec): (&ContainerId, &ExecId),
        max: u32,
    ) -> Result<Vec<u8>, AgentError> {
        self.enter(method, Some(container), Some(exec)).await?;
        let mut changes = self.guest.subscribe();
        loop {
            let ready = |guest: &Guest| {
                let process = guest.find(container, exec);
                process.is_none_or(|process| process.code.is_some() || !process.output(stream).is_empty())
            };
            if changes.wait_for(ready).await.is_err() {
                return Err(AgentError::Disconnected { method: method.name() });
            }
            let read = self.change(method, |guest| {
                let process = guest.process(method, container, exec)?;
                let ended = process.code.is_some();
                let data = process.take_output(stream, max as usize);
                Ok((ended || !data.is_empty()).then_some(data))
            })?;
            if let Some(data) = read {
                return Ok(data); // else another reader was first
            }
        }
    }
}

pub(super) fn set_paused(
    guest: &mut Guest,
    method: Method,
    id: &ContainerId,
    paused: bool,
) -> Result<(), AgentError> {
    let container = guest.container(method, id)?;
    if container.paused == paused {
        let what = format!("container {id} is {}paused", if paused { "" } else { "not " });
        return Err(refused(method, RpcCode::FailedPrecondition, &what));
    }
    container.paused = paused;
    Ok(())
}
