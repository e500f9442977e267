//! What a launch will do, as data.

use std::{os::fd::OwnedFd, path::PathBuf};

use virtcontainers_sys::process::Mark;

use crate::{
    hotplug::PlugSlots,
    nic::{NicFds, PlannedNic},
    spec::AgentChannel,
    vm::VmRecord,
};

/// A VMM's launch, whole: the same spec makes the same plan, and nothing was touched to make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchPlan {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// Its working directory: the sandbox's.
    pub dir: PathBuf,
    /// Sockets that the launcher binds and hands over as open descriptors, so that a caller's connect is held by the
    /// backlog and nobody polls for a socket to appear.
    pub listen: Vec<ListenSocket>,
    /// Device files that the launcher opens and hands over.
    pub open: Vec<OpenDevice>,
    /// Whether the VMM itself serves files to the guest. Its process then has a mount namespace of its own, for mounts
    /// that only the guest is to see.
    pub serves_files: bool,
    /// Network interfaces: the descriptors that the caller hands over, and where the guest finds each.
    pub nics: Vec<PlannedNic>,
    /// The device that carries the agent's stream, kept for the record.
    pub channel: AgentChannel,
    /// Where it takes devices while it runs, kept for the record.
    pub plug_slots: Option<PlugSlots>,
}

/// A listening Unix socket, by its name in the sandbox's directory and its descriptor number in the VMM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSocket {
    /// Name in the sandbox's directory.
    pub name: String,
    /// Descriptor number that the arguments speak of.
    pub fd: i32,
}

/// A device file, by its path and its descriptor number in the VMM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDevice {
    /// Path on the host.
    pub path: PathBuf,
    /// Descriptor number that the arguments speak of.
    pub fd: i32,
}

/// What a launch needs beside its plan.
pub struct LaunchCx<'a> {
    /// Marks the VMM's process, so that an orphan can be found.
    pub mark: Mark,
    /// Called once the VMM's process exists and before the guest runs, so that the caller can put it on record.
    pub spawned: &'a mut (dyn FnMut(&VmRecord) -> std::io::Result<()> + Send),
    /// The descriptors of the plan's network interfaces, each by its id.
    pub nic_fds: Vec<NicFds>,
    /// The network namespace in which the VMM's process starts; none for this process's own.
    pub netns: Option<OwnedFd>,
}

impl<'a> LaunchCx<'a> {
    /// A launch without network.
    pub fn new(mark: Mark, spawned: &'a mut (dyn FnMut(&VmRecord) -> std::io::Result<()> + Send)) -> Self {
        Self { mark, spawned, nic_fds: Vec::new(), netns: None }
    }
}

impl std::fmt::Debug for LaunchCx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaunchCx")
            .field("mark", &self.mark)
            .field("nic_fds", &self.nic_fds)
            .field("netns", &self.netns)
            .finish_non_exhaustive()
    }
}
