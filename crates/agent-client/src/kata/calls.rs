//! The calls, one for one: what goes out, and what a reply may look like.

use async_trait::async_trait;
use ttrpc::context::Context;
use virtcontainers_agent_protocol::{
    api::{agent as wire, health},
    oci,
};
use virtcontainers_types::{ContainerId, ExecId};

use super::KataAgent;
use crate::{
    agent::{Agent, AgentInfo, ContainerSpec, GuestSandbox, ProcessSpec, Storage, TerminalSize},
    error::{AgentError, AgentErrorKind, RpcCode, guest_text},
};

/// The most that one read or write carries, in bytes: with its envelope well under the 4 MiB of a ttrpc message.
const MAX_STREAM: usize = 1 << 20;

/// SIGKILL.
const KILL: u32 = 9;

/// `call!(self.service.function(request), "Method", limit)`: one round trip.
macro_rules! call {
    ($this:ident.$service:ident.$function:ident($request:expr), $method:expr, $limit:expr) => {{
        let (client, request) = ($this.$service.clone(), $request);
        $this.call($method, $limit, async move { client.$function(Context::default(), &request).await }).await
    }};
}

#[async_trait]
impl Agent for KataAgent {
    async fn check(&self) -> Result<(), AgentError> {
        use health::health_check_response::ServingStatus;
        let reply =
            call!(self.health.check(health::CheckRequest::new()), "Check", Some(self.timeouts.check))?;
        match reply.status.enum_value() {
            Ok(ServingStatus::SERVING) => Ok(()),
            Ok(ServingStatus::UNKNOWN | ServingStatus::NOT_SERVING) => Err(AgentError::NotReady),
            Err(number) => Err(AgentError::Protocol {
                method: "Check",
                reason: format!("{number} is no serving status"),
            }),
        }
    }

    async fn info(&self) -> Result<AgentInfo, AgentError> {
        let limit = Some(self.timeouts.check);
        let version = call!(self.health.version(health::CheckRequest::new()), "Version", limit)?;
        let details =
            call!(self.agent.get_guest_details(wire::GuestDetailsRequest::new()), "GetGuestDetails", limit)?;
        let details = details.agent_details.unwrap_or_default();
        Ok(AgentInfo {
            agent_version: guest_text(&version.agent_version),
            protocol_version: guest_text(&version.grpc_version),
            init_daemon: details.init_daemon,
            supports_seccomp: details.supports_seccomp,
        })
    }

    async fn create_sandbox(&self, sandbox: GuestSandbox) -> Result<(), AgentError> {
        let request = wire::CreateSandboxRequest {
            hostname: sandbox.hostname,
            dns: sandbox.dns,
            storages: sandbox.storages.into_iter().map(storage).collect(),
            sandbox_pidns: sandbox.shared_pid_namespace,
            sandbox_id: sandbox.sandbox_id,
            ..Default::default()
        };
        call!(self.agent.create_sandbox(request), "CreateSandbox", Some(self.timeouts.create)).map(drop)
    }

    async fn destroy_sandbox(&self) -> Result<(), AgentError> {
        let request = wire::DestroySandboxRequest::new();
        match call!(self.agent.destroy_sandbox(request), "DestroySandbox", Some(self.timeouts.destroy)) {
            // The guest powered off before its answer got out.
            Err(AgentError::Disconnected { .. }) => Ok(()),
            result => result.map(drop),
        }
    }

    async fn create_container(&self, container: ContainerSpec) -> Result<(), AgentError> {
        const METHOD: &str = "CreateContainer";
        let ContainerSpec { id, spec, storages, stdin, shared_pid_namespace } = container;
        let terminal =
            spec.process().as_ref().and_then(oci_spec::runtime::Process::terminal).unwrap_or(false);
        let exec = ExecId::from(&id);
        let request = wire::CreateContainerRequest {
            container_id: id.to_string(),
            exec_id: exec.to_string(),
            storages: storages.into_iter().map(storage).collect(),
            OCI: Some(oci::to_message(&spec).map_err(|error| unsendable(METHOD, &error))?).into(),
            sandbox_pidns: shared_pid_namespace,
            ..Default::default()
        };
        self.exits.forget_container(&id);
        call!(self.agent.create_container(request), METHOD, Some(self.timeouts.create))?;
        if stdin || terminal {
            return Ok(()); // a terminal has one end for both directions: closing it would end the output too
        }
        if let Err(error) = self.close_stdin(&id, &exec).await {
            // A create that failed leaves nothing behind.
            self.remove_container(&id).await.ok();
            return Err(error);
        }
        Ok(())
    }

    async fn start_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        let request =
            wire::StartContainerRequest { container_id: container.to_string(), ..Default::default() };
        call!(self.agent.start_container(request), "StartContainer", Some(self.timeouts.call)).map(drop)
    }

    async fn remove_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        let request =
            wire::RemoveContainerRequest { container_id: container.to_string(), ..Default::default() };
        call!(self.agent.remove_container(request), "RemoveContainer", Some(self.timeouts.call))?;
        self.exits.forget_container(container);
        Ok(())
    }

    async fn pause_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        let request =
            wire::PauseContainerRequest { container_id: container.to_string(), ..Default::default() };
        call!(self.agent.pause_container(request), "PauseContainer", Some(self.timeouts.call)).map(drop)
    }

    async fn resume_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        let request =
            wire::ResumeContainerRequest { container_id: container.to_string(), ..Default::default() };
        call!(self.agent.resume_container(request), "ResumeContainer", Some(self.timeouts.call)).map(drop)
    }

    async fn exec_process(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        process: ProcessSpec,
    ) -> Result<(), AgentError> {
        const METHOD: &str = "ExecProcess";
        let ProcessSpec { process, stdin } = process;
        let request = wire::ExecProcessRequest {
            container_id: container.to_string(),
            exec_id: exec.to_string(),
            process: Some(oci::process_to_message(&process).map_err(|error| unsendable(METHOD, &error))?)
                .into(),
            ..Default::default()
        };
        self.exits.forget(container, exec);
        call!(self.agent.exec_process(request), METHOD, Some(self.timeouts.call))?;
        if stdin || process.terminal().unwrap_or(false) {
            return Ok(());
        }
        match self.close_stdin(container, exec).await {
            Err(error) if error.kind() == AgentErrorKind::NotFound => Ok(()), // it has ended already
            Err(error) => {
                self.signal_process(container, Some(exec), KILL).await.ok();
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    async fn wait_process(&self, container: &ContainerId, exec: &ExecId) -> Result<i32, AgentError> {
        self.exit(container, exec).await
    }

    async fn signal_process(
        &self,
        container: &ContainerId,
        exec: Option<&ExecId>,
        signal: u32,
    ) -> Result<(), AgentError> {
        let request = wire::SignalProcessRequest {
            container_id: container.to_string(),
            exec_id: exec.map(ToString::to_string).unwrap_or_default(),
            signal,
            ..Default::default()
        };
        call!(self.agent.signal_process(request), "SignalProcess", Some(self.timeouts.call)).map(drop)
    }

    async fn resize_terminal(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        size: TerminalSize,
    ) -> Result<(), AgentError> {
        let request = wire::TtyWinResizeRequest {
            container_id: container.to_string(),
            exec_id: exec.to_string(),
            row: size.rows,
            column: size.columns,
            ..Default::default()
        };
        call!(self.agent.tty_win_resize(request), "TtyWinResize", Some(self.timeouts.call)).map(drop)
    }

    async fn read_stdout(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        max: u32,
    ) -> Result<Vec<u8>, AgentError> {
        const METHOD: &str = "ReadStdout";
        let request = read_request(container, exec, max);
        let len = request.len;
        let reply = call!(self.agent.read_stdout(request), METHOD, None);
        self.output(METHOD, container, exec, len, reply).await
    }

    async fn read_stderr(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        max: u32,
    ) -> Result<Vec<u8>, AgentError> {
        const METHOD: &str = "ReadStderr";
        let request = read_request(container, exec, max);
        let len = request.len;
        let reply = call!(self.agent.read_stderr(request), METHOD, None);
        self.output(METHOD, container, exec, len, reply).await
    }

    async fn write_stdin(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        data: &[u8],
    ) -> Result<usize, AgentError> {
        const METHOD: &str = "WriteStdin";
        if data.is_empty() {
            return Ok(0);
        }
        let sent = &data[..data.len().min(MAX_STREAM)];
        let request = wire::WriteStreamRequest {
            container_id: container.to_string(),
            exec_id: exec.to_string(),
            data: sent.to_vec(),
            ..Default::default()
        };
        let reply = call!(self.agent.write_stdin(request), METHOD, None)?;
        match usize::try_from(reply.len) {
            Ok(taken) if taken <= sent.len() => Ok(taken),
            Ok(_) | Err(_) => Err(AgentError::Protocol {
                method: METHOD,
                reason: format!("{} of {} bytes were taken", reply.len, sent.len()),
            }),
        }
    }

    async fn close_stdin(&self, container: &ContainerId, exec: &ExecId) -> Result<(), AgentError> {
        let request = wire::CloseStdinRequest {
            container_id: container.to_string(),
            exec_id: exec.to_string(),
            ..Default::default()
        };
        call!(self.agent.close_stdin(request), "CloseStdin", Some(self.timeouts.call)).map(drop)
    }
}

impl KataAgent {
    /// What a read has brought. An error of the agent's is the end of the stream if the process has ended: then
    /// there is nothing more to come. A process that closed its output and goes on is waited for.
    async fn output(
        &self,
        method: &'static str,
        container: &ContainerId,
        exec: &ExecId,
        asked: u32,
        reply: Result<wire::ReadStreamResponse, AgentError>,
    ) -> Result<Vec<u8>, AgentError> {
        match reply {
            Ok(reply) if reply.data.len() as u64 <= u64::from(asked) => Ok(reply.data),
            Ok(reply) => Err(AgentError::Protocol {
                method,
                reason: format!("{} bytes came where {asked} were asked for", reply.data.len()),
            }),
            Err(error) if may_mean_end(&error) => match self.exit(container, exec).await {
                Ok(_status) => Ok(Vec::new()),
                Err(gone @ AgentError::Disconnected { .. }) => Err(gone),
                Err(_no_such_process) => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

/// Whether a failed read can be the way in which an agent says that there is nothing more to read.
fn may_mean_end(error: &AgentError) -> bool {
    use RpcCode::{FailedPrecondition, Internal, InvalidArgument, NotFound, OutOfRange, Unknown};
    matches!(
        error,
        AgentError::Rpc {
            code: InvalidArgument | NotFound | Internal | Unknown | OutOfRange | FailedPrecondition,
            ..
        }
    )
}

pub(super) fn wait_request(container: &ContainerId, exec: &ExecId) -> wire::WaitProcessRequest {
    wire::WaitProcessRequest {
        container_id: container.to_string(),
        exec_id: exec.to_string(),
        ..Default::default()
    }
}

fn read_request(container: &ContainerId, exec: &ExecId, max: u32) -> wire::ReadStreamRequest {
    wire::ReadStreamRequest {
        container_id: container.to_string(),
        exec_id: exec.to_string(),
        len: max.min(MAX_STREAM as u32),
        ..Default::default()
    }
}

fn storage(storage: Storage) -> wire::Storage {
    let Storage { driver, driver_options, source, fstype, options, mount_point } = storage;
    wire::Storage { driver, driver_options, source, fstype, options, mount_point, ..Default::default() }
}

fn unsendable(method: &'static str, error: &dyn std::error::Error) -> AgentError {
    AgentError::Argument { method, reason: error.to_string() }
}
