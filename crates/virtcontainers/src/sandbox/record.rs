//! What is known of a sandbox: enough for any other process to take over.

use serde::{Deserialize, Serialize};
use virtcontainers_agent_protocol::transport::AgentAddress;
use virtcontainers_hypervisor::VmRecord;
use virtcontainers_sys::process::ProcessRef;
use virtcontainers_types::{SandboxId, SandboxState, Transport};

use super::resource::Resource;
use crate::{config::SandboxConfig, time::Timestamp};

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
    /// The create that was to make it did not finish.
    NeverBorn,
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

    /// The phase as the host shows it: a machine whose VMM has died is stopped, whatever the record says, and so is one
    /// whose creator has died.
    pub(crate) fn observed(&self) -> Self {
        match self.machine() {
            Some(machine) if !machine.is_alive() => Self::Stopped(Ending::Died),
            None if matches!(self, Self::Creating { by } if !by.is_alive()) => {
                Self::Stopped(Ending::NeverBorn)
            }
            Some(_) | None => self.clone(),
        }
    }

    /// Why it is stopped, where nobody asked for it.
    pub(crate) const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Stopped(Ending::Died) => Some("its virtual machine died"),
            Self::Stopped(Ending::NeverBorn) => Some("its create did not finish"),
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
