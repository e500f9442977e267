//! The trait that the library drives, one method per guest operation.

mod report;
mod request;

use std::time::Duration;

use async_trait::async_trait;
use oci_spec::runtime::LinuxResources;
use virtcontainers_types::{
    ContainerId, ExecId,
    net::{Interface, Neighbor, Route},
    stats::ContainerStats,
};

pub use self::{
    report::{AgentInfo, GuestDetails, GuestProcess, ProcessState, VolumeStats, VolumeUsage},
    request::{
        ContainerSpec, FileChunk, GuestSandbox, KernelModule, OnlineCpuMem, ProcessSpec, Storage,
        TerminalSize,
    },
};
use crate::error::AgentError;

/// A guest agent. Every call is bounded in time by its implementation, unless its description says otherwise, and none
/// is retried behind the caller's back. A call with a body here is one that an agent may lack: it then fails with
/// [`AgentError::Unimplemented`].
#[async_trait]
pub trait Agent: Send + Sync + std::fmt::Debug {
    /// Breaks the connection, for a caller who knows that the guest cannot answer any more: every call that is under way
    /// fails as disconnected, and so does every later one. An agent without a connection has nothing to break.
    fn disconnect(&self) {}
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
    /// Ends what is left of a container and frees it in the guest. The guest gives up after `timeout`, to the next
    /// full second; with `None` or zero its own bound holds.
    async fn remove_container(
        &self,
        container: &ContainerId,
        timeout: Option<Duration>,
    ) -> Result<(), AgentError>;
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

    /// Sets a container's limits anew; what is absent keeps its limit (UpdateContainer).
    async fn update_container(
        &self,
        container: &ContainerId,
        resources: LinuxResources,
    ) -> Result<(), AgentError> {
        lacks("UpdateContainer", (container, resources))
    }
    /// What a container uses (StatsContainer).
    async fn stats_container(&self, container: &ContainerId) -> Result<ContainerStats, AgentError> {
        lacks("StatsContainer", container)
    }
    /// The processes of a container. No call of the Kata agent protocol: agents other than `vc-agent` lack it.
    async fn list_processes(&self, container: &ContainerId) -> Result<Vec<GuestProcess>, AgentError> {
        lacks("ListProcesses", container)
    }
    /// Waits until a container has lost a process because its memory ran out, and tells which (GetOOMEvent). Each event
    /// is told once. Not bounded in time.
    async fn oom_event(&self) -> Result<ContainerId, AgentError> {
        lacks("GetOOMEvent", ())
    }

    /// Writes a piece of a file in the guest (CopyFile).
    async fn copy_file(&self, chunk: FileChunk) -> Result<(), AgentError> {
        lacks("CopyFile", chunk)
    }
    /// Mounts ephemeral storages anew, with another size for example (UpdateEphemeralMounts).
    async fn update_ephemeral_mounts(&self, storages: Vec<Storage>) -> Result<(), AgentError> {
        lacks("UpdateEphemeralMounts", storages)
    }
    /// Feeds the guest's random number generator (ReseedRandomDev). A guest restored from a template needs it: its
    /// siblings have the same state.
    async fn reseed_random(&self, data: Vec<u8>) -> Result<(), AgentError> {
        lacks("ReseedRandomDev", data)
    }
    /// Sets the guest's clock, to the time since the Unix epoch (SetGuestDateTime).
    async fn set_time(&self, since_epoch: Duration) -> Result<(), AgentError> {
        lacks("SetGuestDateTime", since_epoch)
    }
    /// Takes processors and memory into use that were plugged in (OnlineCPUMem).
    async fn online_cpu_mem(&self, plugged: OnlineCpuMem) -> Result<(), AgentError> {
        lacks("OnlineCPUMem", plugged)
    }
    /// Tells the guest's kernel the physical addresses at which memory was plugged in (MemHotplugByProbe).
    async fn mem_hotplug_by_probe(&self, addresses: Vec<u64>) -> Result<(), AgentError> {
        lacks("MemHotplugByProbe", addresses)
    }
    /// What the agent and the guest count, as Prometheus text (GetMetrics).
    async fn metrics(&self) -> Result<String, AgentError> {
        lacks("GetMetrics", ())
    }
    /// How full the volume at a path of the guest is (GetVolumeStats).
    async fn volume_stats(&self, path: &str) -> Result<VolumeStats, AgentError> {
        lacks("GetVolumeStats", path)
    }
    /// Swaps to a block device, found by the slots on the way to it through the guest's PCI bridges (AddSwap).
    async fn add_swap(&self, pci_path: &[u32]) -> Result<(), AgentError> {
        lacks("AddSwap", pci_path)
    }
    /// Swaps to a block device, found by its path in the guest (AddSwapPath).
    async fn add_swap_path(&self, path: &str) -> Result<(), AgentError> {
        lacks("AddSwapPath", path)
    }
    /// A log that the agent keeps, by the agent's name for it, of a container or of the guest (GetDiagnosticData).
    async fn diagnostic_data(
        &self,
        log_type: &str,
        container: Option<&ContainerId>,
    ) -> Result<String, AgentError> {
        lacks("GetDiagnosticData", (log_type, container))
    }
    /// What the guest is capable of (GetGuestDetails).
    async fn guest_details(&self) -> Result<GuestDetails, AgentError> {
        lacks("GetGuestDetails", ())
    }

    /// Makes an interface of the guest what is described: name, addresses, MTU, flags; and sets it up (UpdateInterface).
    /// The guest finds it by its PCI path, or else by its hardware address, and waits some seconds for one that is being
    /// plugged in. Returns what has come of it; of an agent that does not tell, what was asked for.
    async fn update_interface(&self, interface: Interface) -> Result<Interface, AgentError> {
        lacks("UpdateInterface", interface)
    }
    /// The guest's interfaces (ListInterfaces); some agents list the loopback one too.
    async fn list_interfaces(&self) -> Result<Vec<Interface>, AgentError> {
        lacks("ListInterfaces", ())
    }
    /// Brings the guest's main tables to exactly these routes, but for those that the guest's kernel makes of addresses
    /// (UpdateRoutes). Returns the routes that it then has.
    async fn update_routes(&self, routes: Vec<Route>) -> Result<Vec<Route>, AgentError> {
        lacks("UpdateRoutes", routes)
    }
    /// The routes of the guest's main tables (ListRoutes).
    async fn list_routes(&self) -> Result<Vec<Route>, AgentError> {
        lacks("ListRoutes", ())
    }
    /// Tells the guest of neighbours that it need not look for (AddARPNeighbors), IPv6 ones too.
    async fn add_arp_neighbors(&self, neighbors: Vec<Neighbor>) -> Result<(), AgentError> {
        lacks("AddARPNeighbors", neighbors)
    }
}

/// The answer to a call that an agent lacks, whatever it was asked.
fn lacks<T>(method: &'static str, _asked: impl Sized) -> Result<T, AgentError> {
    Err(AgentError::Unimplemented { method })
}
