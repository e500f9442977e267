//! What is known of a sandbox: enough for any other process to take over.

use serde::{Deserialize, Serialize};
use virtcontainers_agent_protocol::transport::AgentAddress;
use virtcontainers_hypervisor::VmRecord;
use virtcontainers_sys::process::ProcessRef;
use virtcontainers_types::{SandboxId, SandboxState, Transport};

use super::{
    helper,
    network::NetworkState,
    resource::{Resource, Role},
};
use crate::{config::SandboxConfig, status::StatusReason, time::Timestamp};

/// The record of a sandbox. Its containers have records of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SandboxRecord {
    pub(crate) id: SandboxId,
    pub(crate) created: Timestamp,
    pub(crate) hostname: String,
    /// As it was asked for, without the containers.
    pub(crate) config: SandboxConfig,
    /// The stream to the agent that was chosen.
    pub(crate) transport: Option<Transport>,
    pub(crate) phase: SandboxPhase,
    /// What the guest was told of its network.
    #[serde(default, skip_serializing_if = "NetworkState::is_empty")]
    pub(crate) network: NetworkState,
    /// What is to be released when the sandbox goes, in the order in which it was acquired. Each is written here
    /// before it is acquired.
    pub(crate) resources: Vec<Resource>,
}

/// Where a sandbox is in its life, with what belongs to each part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum SandboxPhase {
    /// Being created by this process, or left so when it died.
    Creating { by: ProcessRef },
    /// The agent answers.
    Ready(Machine),
    /// Started.
    Running(Machine),
    /// The processors stand still.
    Paused(Machine),
    /// The machine is gone.
    Stopped(Ending),
}

/// A virtual machine that runs, and the way to its agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    pub(crate) vm: VmRecord,
    /// None for a sandbox without an agent.
    pub(crate) agent: Option<AgentAddress>,
}

/// How a machine came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ending {
    /// It was stopped.
    Asked,
    /// Its VMM was found dead.
    Died,
    /// A helper process that it cannot do without was found dead. Its VMM may run on, to no purpose.
    HelperDied(Role),
    /// The create that was to make it did not finish.
    NeverBorn,
}

impl SandboxRecord {
    /// The phase as the host shows it: a machine whose VMM has died is stopped, whatever the record says, and so is one
    /// that has lost a daemon which cannot be put back, and one whose creator has died.
    pub(crate) fn observed(&self) -> SandboxPhase {
        match self.phase.machine() {
            Some(machine) if !machine.is_alive() => SandboxPhase::Stopped(Ending::Died),
            Some(_) => match helper::lost(self) {
                Some(role) => SandboxPhase::Stopped(Ending::HelperDied(role)),
                None => self.phase.clone(),
            },
            None if matches!(self.phase, SandboxPhase::Creating { by } if !by.is_alive()) => {
                SandboxPhase::Stopped(Ending::NeverBorn)
            }
            None => self.phase.clone(),
        }
    }
}

impl SandboxPhase {
    pub(crate) const fn state(&self) -> SandboxState {
        match self {
            Self::Creating { .. } => SandboxState::Creating,
            Self::Ready(_) => SandboxState::Ready,
            Self::Running(_) => SandboxState::Running,
            Self::Paused(_) => SandboxState::Paused,
            Self::Stopped(_) => SandboxState::Stopped,
        }
    }

    /// The machine, while there is one.
    pub(crate) const fn machine(&self) -> Option<&Machine> {
        match self {
            Self::Ready(machine) | Self::Running(machine) | Self::Paused(machine) => Some(machine),
            Self::Creating { .. } | Self::Stopped(_) => None,
        }
    }

    /// Why it is stopped, where nobody asked for it.
    pub(crate) const fn reason(&self) -> Option<StatusReason> {
        match self {
            Self::Stopped(Ending::Died) => Some(StatusReason::MachineDied),
            Self::Stopped(Ending::HelperDied(role)) => Some(StatusReason::HelperDied { role: role.as_str() }),
            Self::Stopped(Ending::NeverBorn) => Some(StatusReason::CreateUnfinished),
            Self::Stopped(Ending::Asked)
            | Self::Creating { .. }
            | Self::Ready(_)
            | Self::Running(_)
            | Self::Paused(_) => None,
        }
    }
}

impl Machine {
    /// Whether the VMM's process lives; machines without one (the mock) always do.
    pub(crate) fn is_alive(&self) -> bool {
        self.vm.process.is_none_or(|process| process.is_alive())
    }
}
