//! What concerns the guest of the mock agent as a whole: what it is scripted to tell, and what it was told.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use virtcontainers_types::{ContainerId, stats::ContainerStats};

use super::{Method, MockAgent, act::refused, network::Network};
use crate::{
    agent::{FileChunk, GuestDetails, GuestProcess, OnlineCpuMem, Storage, VolumeStats},
    error::{AgentError, RpcCode},
};

/// What a [`MockAgent`] was told about its guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MockGuest {
    /// The clock, as it was set last.
    pub time: Option<Duration>,
    /// Each piece of randomness.
    pub random: Vec<Vec<u8>>,
    /// Files by their path; `data` is what has come so far.
    pub files: BTreeMap<String, FileChunk>,
    /// What was taken into use.
    pub online: Vec<OnlineCpuMem>,
    /// Where memory was plugged in.
    pub probed: Vec<u64>,
    /// The ephemeral mounts, as they were updated last.
    pub mounts: Vec<Storage>,
    /// Block devices to swap to: paths, or PCI slots in hexadecimal digits with slashes between.
    pub swaps: Vec<String>,
}

/// The guest as a whole.
#[derive(Debug, Default)]
pub(super) struct GuestWide {
    pub(super) told: MockGuest,
    pub(super) stats: HashMap<ContainerId, ContainerStats>,
    pub(super) processes: HashMap<ContainerId, Vec<GuestProcess>>,
    pub(super) ooms: VecDeque<ContainerId>,
    pub(super) metrics: String,
    pub(super) details: GuestDetails,
    pub(super) network: Network,
    volumes: HashMap<String, VolumeStats>,
    logs: HashMap<String, String>,
}

impl GuestWide {
    pub(super) fn note(&mut self, note: impl FnOnce(&mut MockGuest)) -> Result<(), AgentError> {
        note(&mut self.told);
        Ok(())
    }

    /// Pieces in order; one at the start begins the file anew.
    pub(super) fn take_file(&mut self, chunk: FileChunk) -> Result<(), AgentError> {
        let wrong = |what: String| Err(refused(Method::CopyFile, RpcCode::InvalidArgument, &what));
        let (path, piece) = (chunk.path.clone(), chunk.data.len() as u64);
        if chunk.offset.saturating_add(piece) > chunk.file_size {
            return wrong(format!("{path} grows beyond its size"));
        }
        if chunk.offset == 0 {
            self.told.files.insert(path, chunk);
            return Ok(());
        }
        match self.told.files.get_mut(&path) {
            Some(file) if file.data.len() as u64 == chunk.offset => {
                file.data.extend_from_slice(&chunk.data);
                Ok(())
            }
            Some(file) => wrong(format!("{path} has {} bytes, not {}", file.data.len(), chunk.offset)),
            None => wrong(format!("{path} has no beginning")),
        }
    }

    pub(super) fn volume(&self, path: &str) -> Result<VolumeStats, AgentError> {
        let none = || refused(Method::VolumeStats, RpcCode::NotFound, &format!("no volume {path}"));
        self.volumes.get(path).cloned().ok_or_else(none)
    }

    pub(super) fn diagnostic(&self, log_type: &str) -> Result<String, AgentError> {
        let none = || refused(Method::DiagnosticData, RpcCode::NotFound, &format!("no log {log_type}"));
        self.logs.get(log_type).cloned().ok_or_else(none)
    }
}

impl MockAgent {
    /// What it was told about its guest so far.
    #[must_use]
    pub fn guest(&self) -> MockGuest {
        self.guest.borrow().guest_wide.told.clone()
    }

    /// Scripts what a container uses. Without a script, only its running processes are counted.
    pub fn set_stats(&self, container: &ContainerId, stats: ContainerStats) {
        self.script_wide(|wide| wide.stats.insert(container.clone(), stats).map(drop));
    }

    /// Scripts the processes of a container. Without a script there is one for each that runs.
    pub fn set_processes(&self, container: &ContainerId, processes: Vec<GuestProcess>) {
        self.script_wide(|wide| wide.processes.insert(container.clone(), processes).map(drop));
    }

    /// Lets a container's memory run out: the next [`Agent::oom_event`](crate::Agent::oom_event) tells it.
    pub fn run_out_of_memory(&self, container: &ContainerId) {
        self.script_wide(|wide| wide.ooms.push_back(container.clone()));
    }

    /// Scripts what the guest counts.
    pub fn set_metrics(&self, text: impl Into<String>) {
        self.script_wide(|wide| wide.metrics = text.into());
    }

    /// Scripts how full a volume is. Without a script there is no such volume.
    pub fn set_volume(&self, path: impl Into<String>, stats: VolumeStats) {
        self.script_wide(|wide| wide.volumes.insert(path.into(), stats).map(drop));
    }

    /// Scripts a log. Without a script there is no such log.
    pub fn set_diagnostic_data(&self, log_type: impl Into<String>, text: impl Into<String>) {
        self.script_wide(|wide| wide.logs.insert(log_type.into(), text.into()).map(drop));
    }

    /// Scripts what the guest is capable of.
    pub fn set_guest_details(&self, details: GuestDetails) {
        self.script_wide(|wide| wide.details = details);
    }

    pub(super) fn script_wide<T>(&self, script: impl FnOnce(&mut GuestWide) -> T) {
        self.guest.send_modify(|guest| drop(script(&mut guest.guest_wide)));
    }

    /// A call that concerns no container.
    pub(super) async fn wide<T>(
        &self,
        method: Method,
        act: impl FnOnce(&mut GuestWide) -> Result<T, AgentError> + Send,
    ) -> Result<T, AgentError> {
        self.enter(method, None, None).await?;
        self.change(method, |guest| act(&mut guest.guest_wide))
    }
}
