//! An agent that is not there (the reference document's `noopAgent`): every call succeeds and does nothing.
//!
//! It goes with the mock hypervisor, where no guest runs. Processes of it behave so: a process has ended with code 0
//! as soon as someone waits for it, its output is at its end, and it takes all input. Nothing is used, nothing runs,
//! and no memory ever runs out: [`Agent::oom_event`] waits for good.

use std::time::Duration;

use async_trait::async_trait;
use oci_spec::runtime::LinuxResources;
use virtcontainers_types::{
    ContainerId, ExecId,
    net::{Interface, Neighbor, Route},
    stats::ContainerStats,
};

use crate::{
    agent::{
        Agent, AgentInfo, ContainerSpec, FileChunk, GuestDetails, GuestProcess, GuestSandbox, OnlineCpuMem,
        ProcessSpec, Storage, TerminalSize, VolumeStats,
    },
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

    async fn remove_container(&self, _: &ContainerId, _: Option<Duration>) -> Result<(), AgentError> {
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

    async fn update_container(&self, _: &ContainerId, _: LinuxResources) -> Result<(), AgentError> {
        Ok(())
    }

    async fn stats_container(&self, _: &ContainerId) -> Result<ContainerStats, AgentError> {
        Ok(ContainerStats::default())
    }

    async fn list_processes(&self, _: &ContainerId) -> Result<Vec<GuestProcess>, AgentError> {
        Ok(Vec::new())
    }

    async fn oom_event(&self) -> Result<ContainerId, AgentError> {
        std::future::pending().await
    }

    async fn copy_file(&self, _: FileChunk) -> Result<(), AgentError> {
        Ok(())
    }

    async fn update_ephemeral_mounts(&self, _: Vec<Storage>) -> Result<(), AgentError> {
        Ok(())
    }

    async fn reseed_random(&self, _: Vec<u8>) -> Result<(), AgentError> {
        Ok(())
    }

    async fn set_time(&self, _: Duration) -> Result<(), AgentError> {
        Ok(())
    }

    async fn online_cpu_mem(&self, _: OnlineCpuMem) -> Result<(), AgentError> {
        Ok(())
    }

    async fn mem_hotplug_by_probe(&self, _: Vec<u64>) -> Result<(), AgentError> {
        Ok(())
    }

    async fn metrics(&self) -> Result<String, AgentError> {
        Ok(String::new())
    }

    async fn volume_stats(&self, _: &str) -> Result<VolumeStats, AgentError> {
        Ok(VolumeStats::default())
    }

    async fn add_swap(&self, _: &[u32]) -> Result<(), AgentError> {
        Ok(())
    }

    async fn add_swap_path(&self, _: &str) -> Result<(), AgentError> {
        Ok(())
    }

    async fn diagnostic_data(&self, _: &str, _: Option<&ContainerId>) -> Result<String, AgentError> {
        Ok(String::new())
    }

    async fn guest_details(&self) -> Result<GuestDetails, AgentError> {
        Ok(GuestDetails::default())
    }

    async fn update_interface(&self, interface: Interface) -> Result<Interface, AgentError> {
        Ok(interface)
    }

    async fn list_interfaces(&self) -> Result<Vec<Interface>, AgentError> {
        Ok(Vec::new())
    }

    async fn update_routes(&self, routes: Vec<Route>) -> Result<Vec<Route>, AgentError> {
        Ok(routes)
    }

    async fn list_routes(&self) -> Result<Vec<Route>, AgentError> {
        Ok(Vec::new())
    }

    async fn add_arp_neighbors(&self, _: Vec<Neighbor>) -> Result<(), AgentError> {
        Ok(())
    }
}
