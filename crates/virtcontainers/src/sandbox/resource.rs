//! What a sandbox holds on the host, described so that whoever reads the record can release it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use virtcontainers_agent_client::{proxy, shim};
use virtcontainers_device::DaemonRole;
use virtcontainers_hypervisor::VmRecord;
use virtcontainers_sys::process::{Mark, ProcessRef};
use virtcontainers_types::{ContainerId, SandboxId};

/// Something to be released. Each is recorded before it is acquired, so it may never have come to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Resource {
    /// The shared directory: mounts below the sandbox's directory.
    Share,
    /// A container's files in the shared directory, and the container in the guest.
    Container { id: ContainerId },
    /// A helper process.
    Daemon {
        role: Role,
        /// None until it is known: then its mark finds it.
        process: Option<ProcessRef>,
    },
    /// The virtual machine.
    Machine {
        /// None until it is known: then its mark finds its process.
        vm: Option<VmRecord>,
    },
}

/// What a process does for a sandbox. The names are in records, marks and log files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// The virtual machine monitor.
    Vmm,
    /// The virtio-fs daemon.
    Virtiofsd,
    /// The vsock daemon.
    VsockDaemon,
    /// The proxy of the virtio-serial port.
    Proxy,
    /// A process that stands for one in the guest. All of a sandbox's carry the same mark.
    Shim,
}

impl Role {
    /// Every role, for finding a sandbox's processes without a record.
    pub(crate) const ALL: [Self; 5] =
        [Self::Vmm, Self::Virtiofsd, Self::VsockDaemon, Self::Proxy, Self::Shim];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Vmm => "vmm",
            Self::Virtiofsd => DaemonRole::Virtiofsd.as_str(),
            Self::VsockDaemon => DaemonRole::VhostVsock.as_str(),
            Self::Proxy => proxy::ROLE,
            Self::Shim => shim::ROLE,
        }
    }

    /// The mark that a process of this role carries.
    pub(crate) fn mark(self, root: &Path, id: &SandboxId) -> Mark {
        Mark::new(root, id, self.as_str())
    }
}

impl Resource {
    /// The role of a helper process.
    pub(crate) const fn role(&self) -> Option<Role> {
        match self {
            Self::Daemon { role, .. } => Some(*role),
            Self::Share | Self::Container { .. } | Self::Machine { .. } => None,
        }
    }

    /// The VMM's process, where it is known.
    pub(crate) fn vmm(&self) -> Option<ProcessRef> {
        match self {
            Self::Machine { vm } => vm.as_ref().and_then(|vm| vm.process),
            Self::Share | Self::Container { .. } | Self::Daemon { .. } => None,
        }
    }

    /// The helper process, where it is known.
    pub(crate) const fn daemon(&self) -> Option<(Role, ProcessRef)> {
        match self {
            Self::Daemon { role, process: Some(process) } => Some((*role, *process)),
            Self::Daemon { process: None, .. }
            | Self::Share
            | Self::Container { .. }
            | Self::Machine { .. } => None,
        }
    }

    /// The helper process, while it lives.
    pub(crate) fn living_daemon(&self) -> Option<(Role, ProcessRef)> {
        self.daemon().filter(|(_, process)| process.is_alive())
    }

    /// Whether it is the living process of a role.
    pub(crate) fn is_alive(&self, role: Role) -> bool {
        self.living_daemon().is_some_and(|(found, _)| found == role)
    }
}

impl virtcontainers_store::Resource for Resource {
    fn label(&self) -> String {
        match self {
            Self::Share => "the shared directory".to_owned(),
            Self::Container { id } => format!("container {id}"),
            Self::Daemon { role, process: None } => format!("process {}", role.as_str()),
            Self::Daemon { role, process: Some(process) } => {
                format!("process {} ({})", role.as_str(), process.pid)
            }
            Self::Machine { .. } => "the virtual machine".to_owned(),
        }
    }
}
