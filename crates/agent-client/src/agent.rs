//! The trait that the library drives, one method per guest operation.

use async_trait::async_trait;
use oci_spec::runtime::{Process, Spec};
use serde::{Deserialize, Serialize};
use virtcontainers_types::{ContainerId, ExecId};

use crate::error::AgentError;

/// A guest agent. Every call is bounded in time by its implementation, and none is retried behind the caller's back.
#[async_trait]
pub trait Agent: Send + Sync + std::fmt::Debug {
    /// Asks whether the agent serves.
    async fn check(&self) -> Result<(), AgentError>;
    /// What the agent says of itself.
    async fn info(&self) -> Result<AgentInfo, AgentError>;
    /// Prepares the guest: hostname, DNS, storages that all containers share.
    async fn create_sandbox(&self, sandbox: GuestSandbox) -> Result<(), AgentError>;
    /// Ends every container and, with most agents, powers the guest off. A connection that breaks under the call
    /// counts as success.
    async fn destroy_sandbox(&self) -> Result<(), AgentError>;

    /// Creates a container; its command does not run yet.
    async fn create_container(&self, container: ContainerSpec) -> Result<(), AgentError>;
    /// Runs a created container's command.
    async fn start_container(&self, container: &ContainerId) -> Result<(), AgentError>;
    /// Ends what is left of a container and frees it in the guest.
    async fn remove_container(&self, container: &ContainerId) -> Result<(), AgentError>;
    /// Freezes a container's processes.
    async fn pause_container(&self, container: &ContainerId) -> Result<(), AgentError>;
    /// Lets them go on.
    async fn resume_container(&self, container: &ContainerId) -> Result<(), AgentError>;

    /// Starts a further process in a running container.
    async fn exec_process(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        process: ProcessSpec,
    ) -> Result<(), AgentError>;
    /// Waits for a process to end; its exit code, 128+n for a signal n. Not bounded in time.
    async fn wait_process(&self, container: &ContainerId, exec: &ExecId) -> Result<i32, AgentError>;
    /// Signals a process, or with `None` every process of the container.
    async fn signal_process(
        &self,
        container: &ContainerId,
        exec: Option<&ExecId>,
        signal: u32,
    ) -> Result<(), AgentError>;
    /// Tells a process's terminal its size.
    async fn resize_terminal(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        size: TerminalSize,
    ) -> Result<(), AgentError>;

    /// Reads up to `max` bytes of standard output; empty at the end of the stream. Not bounded in time.
    async fn read_stdout(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        max: u32,
    ) -> Result<Vec<u8>, AgentError>;
    /// Reads up to `max` bytes of standard error; empty at the end of the stream. Not bounded in time.
    async fn read_stderr(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        max: u32,
    ) -> Result<Vec<u8>, AgentError>;
    /// Writes to standard input; returns how much was taken. Not bounded in time.
    async fn write_stdin(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        data: &[u8],
    ) -> Result<usize, AgentError>;
    /// Closes standard input.
    async fn close_stdin(&self, container: &ContainerId, exec: &ExecId) -> Result<(), AgentError>;
}

/// What an agent says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// The agent's version.
    pub agent_version: String,
    /// The protocol's version.
    pub protocol_version: String,
    /// Whether it is PID 1 of the guest.
    pub init_daemon: bool,
    /// Whether it can apply seccomp filters.
    pub supports_seccomp: bool,
}

/// What all containers of a guest share (CreateSandboxRequest).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestSandbox {
    /// The guest's hostname.
    pub hostname: String,
    /// Lines of the guest's resolv.conf.
    pub dns: Vec<String>,
    /// Storages to mount before any container.
    pub storages: Vec<Storage>,
    /// All containers share one pid namespace.
    pub shared_pid_namespace: bool,
    /// The sandbox's id.
    pub sandbox_id: String,
}

/// Something for the agent to mount (the protocol's `Storage`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storage {
    /// The agent's storage driver, for example `virtio-fs` or `9p`.
    pub driver: String,
    /// Options of the driver.
    pub driver_options: Vec<String>,
    /// Device, tag or directory.
    pub source: String,
    /// Filesystem type.
    pub fstype: String,
    /// Mount options.
    pub options: Vec<String>,
    /// Where, in the guest.
    pub mount_point: String,
}

/// A container to create in the guest.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// The container; its first process carries the same id.
    pub id: ContainerId,
    /// The OCI spec with guest paths.
    pub spec: Spec,
    /// Storages to mount for it.
    pub storages: Vec<Storage>,
    /// Whether its standard input is to be writable; a terminal is chosen in the spec's process.
    pub stdin: bool,
    /// It joins the sandbox's pid namespace.
    pub shared_pid_namespace: bool,
}

/// A further process of a container.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// The OCI process.
    pub process: Process,
    /// Whether its standard input is to be writable.
    pub stdin: bool,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Rows.
    pub rows: u32,
    /// Columns.
    pub columns: u32,
}
