//! An agent that is not there (the reference document's `noopAgent`): every call succeeds and does nothing.
//!
//! It goes with the mock hypervisor, where no guest runs. Processes of it behave so: a process has ended with code 0
//! as soon as someone waits for it, its output is at its end, and it takes all input.

use async_trait::async_trait;
use virtcontainers_types::{ContainerId, ExecId};

use crate::{
    agent::{Agent, AgentInfo, ContainerSpec, GuestSandbox, ProcessSpec, TerminalSize},
    error::AgentError,
};

/// Every call succeeds; see the [module](self) for what processes do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoopAgent;

#[async_trait]
impl Agent for NoopAgent {
    async fn check(&self) -> Result<(), AgentError> {
        Ok(())
    }

    async fn info(&self) -> Result<AgentInfo, AgentError> {
        Ok(AgentInfo::default())
    }

    async fn create_sandbox(&self, _: GuestSandbox) -> Result<(), AgentError> {
        Ok(())
    }

    async fn destroy_sandbox(&self) -> Result<(), AgentError> {
        Ok(())
    }

    async fn create_container(&self, _: ContainerSpec) -> Result<(), AgentError> {
        Ok(())
    }

    async fn start_container(&self, _: &ContainerId) -> Result<(), AgentError> {
        Ok(())
    }

    async fn remove_container(&self, _: &ContainerId) -> Result<(), AgentError> {
        Ok(())
    }

    async fn pause_container(&self, _: &ContainerId) -> Result<(), AgentError> {
        Ok(())
    }

    async fn resume_container(&self, _: &ContainerId) -> Result<(), AgentError> {
        Ok(())
    }

    async fn exec_process(&self, _: &ContainerId, _: &ExecId, _: ProcessSpec) -> Result<(), AgentError> {
        Ok(())
    }

    async fn wait_process(&self, _: &ContainerId, _: &ExecId) -> Result<i32, AgentError> {
        Ok(0)
    }

    async fn signal_process(&self, _: &ContainerId, _: Option<&ExecId>, _: u32) -> Result<(), AgentError> {
        Ok(())
    }

    async fn resize_terminal(&self, _: &ContainerId, _: &ExecId, _: TerminalSize) -> Result<(), AgentError> {
        Ok(())
    }

    async fn read_stdout(&self, _: &ContainerId, _: &ExecId, _: u32) -> Result<Vec<u8>, AgentError> {
        Ok(Vec::new())
    }

    async fn read_stderr(&self, _: &ContainerId, _: &ExecId, _: u32) -> Result<Vec<u8>, AgentError> {
        Ok(Vec::new())
    }

    async fn write_stdin(&self, _: &ContainerId, _: &ExecId, data: &[u8]) -> Result<usize, AgentError> {
        Ok(data.len())
    }

    async fn close_stdin(&self, _: &ContainerId, _: &ExecId) -> Result<(), AgentError> {
        Ok(())
    }
}
