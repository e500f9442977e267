//! What a sandbox holds on the host, described so that whoever reads the record can release it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use virtcontainers_agent_client::{proxy, shim};
use virtcontainers_device::DaemonRole;
use virtcontainers_hypervisor::VmRecord;
use virtcontainers_sys::process::{Mark, ProcessRef};
use virtcontainers_types::{ContainerId, SandboxId};

use super::network::Card;
use crate::{cgroup::Cgroups, config::CniConfig};

/// Something to be released. Each is recorded before it is acquired, so it may never have come to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Resource {
    /// The control groups in which its processes are.
    Cgroups(Box<Cgroups>),
    /// The network namespace.
    Netns {
        path: PathBuf,
        /// Whether it goes with the sandbox; otherwise it is its maker's.
        owned: bool,
    },
    /// A CNI network, added to the namespace.
    Cni { config: Box<CniConfig>, netns: PathBuf },
    /// An interface of the machine, and what joins it to a link of the namespace.
    Endpoint(Box<Card>),
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
    /// The process that watches the network namespace.
    Netmon,
}

impl Role {
    /// Every role, for finding a sandbox's processes without a record.
    pub(crate) const ALL: [Self; 6] =
        [Self::Netmon, Self::Vmm, Self::Virtiofsd, Self::VsockDaemon, Self::Proxy, Self::Shim];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Vmm => "vmm",
            Self::Virtiofsd => DaemonRole::Virtiofsd.as_str(),
            Self::VsockDaemon => DaemonRole::VhostVsock.as_str(),
            Self::Proxy => proxy::ROLE,
            Self::Shim => shim::ROLE,
            Self::Netmon => "netmon",
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
            Self::Cgroups(_)
            | Self::Netns { .. }
            | Self::Cni { .. }
            | Self::Endpoint(_)
            | Self::Share
            | Self::Container { .. }
            | Self::Machine { .. } => None,
        }
    }

    /// The VMM's process, where it is known.
    pub(crate) fn vmm(&self) -> Option<ProcessRef> {
        match self {
            Self::Machine { vm } => vm.as_ref().and_then(|vm| vm.process),
            Self::Cgroups(_)
            | Self::Netns { .. }
            | Self::Cni { .. }
            | Self::Endpoint(_)
            | Self::Share
            | Self::Container { .. }
            | Self::Daemon { .. } => None,
        }
    }

    /// The helper process, where it is known.
    pub(crate) const fn daemon(&self) -> Option<(Role, ProcessRef)> {
        match self {
            Self::Daemon { role, process: Some(process) } => Some((*role, *process)),
            Self::Daemon { process: None, .. }
            | Self::Cgroups(_)
            | Self::Netns { .. }
            | Self::Cni { .. }
            | Self::Endpoint(_)
            | Self::Share
            | Self::Container { .. }
            | Self::Machine { .. } => None,
        }
    }

    /// The helper process, while it lives.
    pub(crate) fn living_daemon(&self) -> Option<(Role, ProcessRef)> {
        self.daemon().filter(|(_, process)| process.is_alive())
    }

    /// The control groups.
    pub(crate) fn cgroups(&self) -> Option<&Cgroups> {
        if let Self::Cgroups(cgroups) = self { Some(cgroups) } else { None }
    }

    /// The interface.
    pub(crate) fn card(&self) -> Option<&Card> {
        if let Self::Endpoint(card) = self { Some(card) } else { None }
    }

    /// The interface, to be changed.
    pub(crate) fn card_mut(&mut self) -> Option<&mut Card> {
        if let Self::Endpoint(card) = self { Some(card) } else { None }
    }

    /// Whether it stays when the sandbox is stopped: what fills the namespace is asked for once in a sandbox's life.
    pub(crate) const fn outlives_machine(&self) -> bool {
        match self {
            Self::Netns { .. } | Self::Cni { .. } => true,
            Self::Cgroups(_)
            | Self::Endpoint(_)
            | Self::Share
            | Self::Container { .. }
            | Self::Daemon { .. }
            | Self::Machine { .. } => false,
        }
    }

    /// Whether it is the living process of a role.
    pub(crate) fn is_alive(&self, role: Role) -> bool {
        self.living_daemon().is_some_and(|(found, _)| found == role)
    }
}

impl virtcontainers_store::Resource for Resource {
    fn label(&self) -> String {
        match self {
            Self::Cgroups(_) => "the control groups".to_owned(),
            Self::Netns { path, .. } => format!("network namespace {}", path.display()),
            Self::Cni { config, .. } => format!("CNI network {}", config.network),
            Self::Endpoint(card) => format!("network interface {}", card.link()),
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
