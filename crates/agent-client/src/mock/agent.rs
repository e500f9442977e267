//! The calls of the mock agent.

use async_trait::async_trait;
use virtcontainers_types::{ContainerId, ExecId};

use super::{Container, Guest, Method, MockAgent, Running};
use crate::{
    agent::{Agent, AgentInfo, ContainerSpec, GuestSandbox, ProcessSpec, TerminalSize},
    error::{AgentError, RpcCode},
    io::OutputStream,
};

fn refused(method: Method, code: RpcCode, what: &str) -> AgentError {
    AgentError::Rpc { method: method.name(), code, message: what.to_owned() }
}

impl Guest {
    fn find(&self, id: &ContainerId, exec: &ExecId) -> Option<&Running> {
        self.containers.get(id)?.processes.get(exec)
    }

    fn container(&mut self, method: Method, id: &ContainerId) -> Result<&mut Container, AgentError> {
        let none = || refused(method, RpcCode::NotFound, &format!("no container {id}"));
        self.containers.get_mut(id).ok_or_else(none)
    }

    fn process(
        &mut self,
        method: Method,
        id: &ContainerId,
        exec: &ExecId,
    ) -> Result<&mut Running, AgentError> {
        let none = || refused(method, RpcCode::NotFound, &format!("no process {exec} in container {id}"));
        self.container(method, id)?.processes.get_mut(exec).ok_or_else(none)
    }

    fn new_process(&self, exec: &ExecId, stdin: bool) -> Running {
        Running::created(self.scripts.get(exec).unwrap_or(&self.default).clone(), stdin)
    }

    fn exec(&mut self, id: &ContainerId, exec: &ExecId, stdin: bool) -> Result<(), AgentError> {
        const METHOD: Method = Method::ExecProcess;
        let mut process = self.new_process(exec, stdin);
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

    fn signal(&mut self, id: &ContainerId, exec: Option<&ExecId>, signal: u32) -> Result<(), AgentError> {
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
    async fn act<T>(
        &self,
        method: Method,
        container: &ContainerId,
        exec: Option<&ExecId>,
        act: impl FnOnce(&mut Guest) -> Result<T, AgentError> + Send,
    ) -> Result<T, AgentError> {
        self.enter(method, Some(container), exec).await?;
        self.change(method, act)
    }

    fn change<T>(
        &self,
        method: Method,
        act: impl FnOnce(&mut Guest) -> Result<T, AgentError>,
    ) -> Result<T, AgentError> {
        let mut result = Err(AgentError::Disconnected { method: method.name() });
        self.guest.send_modify(|guest| result = act(guest));
        result
    }

    async fn read(
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

#[async_trait]
impl Agent for MockAgent {
    async fn check(&self) -> Result<(), AgentError> {
        self.enter(Method::Check, None, None).await
    }

    async fn info(&self) -> Result<AgentInfo, AgentError> {
        self.enter(Method::Info, None, None).await?;
        let version = || env!("CARGO_PKG_VERSION").to_owned();
        Ok(AgentInfo { agent_version: version(), init_daemon: true, ..AgentInfo::default() })
    }

    async fn create_sandbox(&self, sandbox: GuestSandbox) -> Result<(), AgentError> {
        self.enter(Method::CreateSandbox, None, None).await?;
        self.change(Method::CreateSandbox, |guest| match &guest.sandbox {
            Some(_) => Err(refused(Method::CreateSandbox, RpcCode::AlreadyExists, "there is a sandbox")),
            None => {
                guest.sandbox = Some(sandbox);
                Ok(())
            }
        })
    }

    async fn destroy_sandbox(&self) -> Result<(), AgentError> {
        self.enter(Method::DestroySandbox, None, None).await?;
        self.guest.send_modify(|guest| {
            guest.sandbox = None;
            guest.containers.clear();
        });
        Ok(())
    }

    async fn create_container(&self, spec: ContainerSpec) -> Result<(), AgentError> {
        const METHOD: Method = Method::CreateContainer;
        let id = spec.id.clone();
        self.act(METHOD, &id, None, |guest| {
            if guest.containers.contains_key(&spec.id) {
                return Err(refused(
                    METHOD,
                    RpcCode::AlreadyExists,
                    &format!("container {} exists", spec.id),
                ));
            }
            let exec = ExecId::from(&spec.id);
            let processes = [(exec.clone(), guest.new_process(&exec, spec.stdin))].into();
            guest.containers.insert(spec.id.clone(), Container { spec, paused: false, processes });
            Ok(())
        })
        .await
    }

    async fn start_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        const METHOD: Method = Method::StartContainer;
        self.act(METHOD, container, None, |guest| {
            let process = guest.process(METHOD, container, &ExecId::from(container))?;
            if process.is_started() {
                let what = format!("container {container} was started before");
                return Err(refused(METHOD, RpcCode::FailedPrecondition, &what));
            }
            process.start();
            Ok(())
        })
        .await
    }

    async fn remove_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        const METHOD: Method = Method::RemoveContainer;
        self.act(METHOD, container, None, |guest| {
            guest.container(METHOD, container)?;
            guest.containers.remove(container);
            Ok(())
        })
        .await
    }

    async fn pause_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        const METHOD: Method = Method::PauseContainer;
        self.act(METHOD, container, None, |guest| set_paused(guest, METHOD, container, true)).await
    }

    async fn resume_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        const METHOD: Method = Method::ResumeContainer;
        self.act(METHOD, container, None, |guest| set_paused(guest, METHOD, container, false)).await
    }

    async fn exec_process(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        process: ProcessSpec,
    ) -> Result<(), AgentError> {
        let act = |guest: &mut Guest| guest.exec(container, exec, process.stdin);
        self.act(Method::ExecProcess, container, Some(exec), act).await
    }

    async fn wait_process(&self, container: &ContainerId, exec: &ExecId) -> Result<i32, AgentError> {
        const METHOD: Method = Method::WaitProcess;
        self.enter(METHOD, Some(container), Some(exec)).await?;
        let mut changes = self.guest.subscribe();
        let ended = |guest: &Guest| guest.find(container, exec).is_none_or(|process| process.code.is_some());
        if changes.wait_for(ended).await.is_err() {
            return Err(AgentError::Disconnected { method: METHOD.name() });
        }
        let code = self.guest.borrow().find(container, exec).and_then(|process| process.code);
        code.ok_or_else(|| refused(METHOD, RpcCode::NotFound, &format!("no process {exec}")))
    }

    async fn signal_process(
        &self,
        container: &ContainerId,
        exec: Option<&ExecId>,
        signal: u32,
    ) -> Result<(), AgentError> {
        let act = |guest: &mut Guest| guest.signal(container, exec, signal);
        self.act(Method::SignalProcess, container, exec, act).await
    }

    async fn resize_terminal(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        _size: TerminalSize,
    ) -> Result<(), AgentError> {
        const METHOD: Method = Method::ResizeTerminal;
        let act = |guest: &mut Guest| guest.process(METHOD, container, exec).map(drop);
        self.act(METHOD, container, Some(exec), act).await
    }

    async fn read_stdout(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        max: u32,
    ) -> Result<Vec<u8>, AgentError> {
        self.read(Method::ReadStdout, OutputStream::Stdout, (container, exec), max).await
    }

    async fn read_stderr(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        max: u32,
    ) -> Result<Vec<u8>, AgentError> {
        self.read(Method::ReadStderr, OutputStream::Stderr, (container, exec), max).await
    }

    async fn write_stdin(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        data: &[u8],
    ) -> Result<usize, AgentError> {
        const METHOD: Method = Method::WriteStdin;
        self.act(METHOD, container, Some(exec), |guest| {
            if guest.process(METHOD, container, exec)?.write(data) {
                return Ok(data.len());
            }
            Err(refused(METHOD, RpcCode::FailedPrecondition, &format!("process {exec} does not read")))
        })
        .await
    }

    async fn close_stdin(&self, container: &ContainerId, exec: &ExecId) -> Result<(), AgentError> {
        const METHOD: Method = Method::CloseStdin;
        self.act(METHOD, container, Some(exec), |guest| {
            guest.process(METHOD, container, exec)?.close_stdin();
            Ok(())
        })
        .await
    }
}

fn set_paused(guest: &mut Guest, method: Method, id: &ContainerId, paused: bool) -> Result<(), AgentError> {
    let container = guest.container(method, id)?;
    if container.paused == paused {
        let what = format!("container {id} is {}paused", if paused { "" } else { "not " });
        return Err(refused(method, RpcCode::FailedPrecondition, &what));
    }
    container.paused = paused;
    Ok(())
}
