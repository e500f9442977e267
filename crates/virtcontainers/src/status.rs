//! What status and list tell: data, ready to be printed or serialized.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use oci_spec::runtime::LinuxResources;
use serde::Serialize;
use virtcontainers_types::{
    AgentKind, ContainerId, ContainerState, HypervisorKind, SandboxId, SandboxState, Transport,
};

use crate::{config::HypervisorConfig, time::Timestamp};

/// The status of a sandbox (the reference document's `SandboxStatus`).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SandboxStatus {
    /// The sandbox's id.
    pub id: SandboxId,
    /// Its state. A sandbox whose virtual machine has died is [`SandboxState::Stopped`].
    pub state: SandboxState,
    /// Why it is stopped, when nobody stopped it; or what is wrong with it while it runs on.
    pub reason: Option<StatusReason>,
    /// Its virtual machine monitor.
    pub hypervisor: HypervisorKind,
    /// Its virtual machine.
    pub hypervisor_config: HypervisorConfig,
    /// Its agent.
    pub agent: AgentKind,
    /// The stream to the agent that was chosen; none for a sandbox without an agent.
    pub transport: Option<Transport>,
    /// Its hostname.
    pub hostname: String,
    /// When its create began.
    pub created: Timestamp,
    /// Process id of the virtual machine monitor while it lives.
    pub vmm_pid: Option<u32>,
    /// The directories of its control groups on the host.
    pub cgroups: Vec<PathBuf>,
    /// Control groups that could not be made, each with the reason; of a sandbox whose configuration asks for none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacking_cgroups: Vec<String>,
    /// Its helper processes that live, each with its role.
    pub processes: Vec<HelperProcess>,
    /// Its containers, by id.
    pub containers: Vec<ContainerStatus>,
    /// Containers whose records cannot be read, each with the reason.
    pub broken_containers: Vec<BrokenContainer>,
    /// The caller's own data.
    pub annotations: BTreeMap<String, String>,
}

/// Why a sandbox is not as its users left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StatusReason {
    /// Its virtual machine ended by itself: the VMM died, or the guest did, with its agent for example.
    MachineDied,
    /// A helper process died. One that the virtual machine cannot do without stops the sandbox.
    HelperDied {
        /// What it did, for example `virtiofsd`.
        role: &'static str,
    },
    /// The process that created it died before it was done.
    CreateUnfinished,
    /// Its virtual machine lives, and its agent did not answer when it was last asked: by a [`Monitor`] of this process or
    /// by [`Sandbox::probe`].
    ///
    /// [`Monitor`]: crate::Monitor
    /// [`Sandbox::probe`]: crate::Sandbox::probe
    AgentSilent,
}

impl fmt::Display for StatusReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MachineDied => f.write_str("its virtual machine died"),
            Self::HelperDied { role } => {
                write!(f, "its helper process {role} died, see {role}.log in its directory")
            }
            Self::CreateUnfinished => f.write_str("its create did not finish"),
            Self::AgentSilent => f.write_str("its virtual machine lives, but its agent does not answer"),
        }
    }
}

/// A process that serves a sandbox, beside its virtual machine monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HelperProcess {
    /// What it does, for example `virtiofsd`.
    pub role: String,
    /// Its process id.
    pub pid: u32,
}

/// A container whose record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BrokenContainer {
    /// The name of its directory.
    pub name: String,
    /// Why its record cannot be read.
    pub reason: String,
}

/// The status of a container (the reference document's `ContainerStatus`).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ContainerStatus {
    /// The container's id.
    pub id: ContainerId,
    /// Its state. The containers of a stopped sandbox are stopped.
    pub state: ContainerState,
    /// Exit code of its command, where it is known: 128+n for a signal n.
    pub exit_code: Option<i32>,
    /// When its create began.
    pub created: Timestamp,
    /// When its command was started.
    pub started: Option<Timestamp>,
    /// When it ended, where somebody saw it.
    pub ended: Option<Timestamp>,
    /// Process id of the shim that stands for its command on the host, while it lives.
    pub pid: Option<u32>,
    /// Its root filesystem on the host.
    pub rootfs: PathBuf,
    /// Its limits within the guest, as last set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<LinuxResources>,
    /// Its command.
    pub args: Vec<String>,
    /// Its command has a terminal.
    pub terminal: bool,
    /// The caller's own data.
    pub annotations: BTreeMap<String, String>,
}
