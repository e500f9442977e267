//! What is known of a container: one record each, so that the hundredth costs as the first.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use virtcontainers_types::{ContainerId, ContainerState, ExecId};

use super::{intent::Intent, shim};
use crate::{config::ContainerConfig, sandbox::SandboxPhase, time::Timestamp};

/// The record of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContainerRecord {
    pub(crate) id: ContainerId,
    pub(crate) phase: ContainerPhase,
    /// What its guest was asked for, as long as the phase does not tell whether it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) intent: Option<Intent>,
    pub(crate) created: Timestamp,
    /// Its place among the containers that were created together: they start in this order.
    pub(crate) place: u32,
    /// The root filesystem on the host.
    pub(crate) rootfs: PathBuf,
    pub(crate) config: ContainerConfig,
}

/// Where a container is in its life, with what belongs to each part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum ContainerPhase {
    /// Being created, or left so by a process that died.
    Creating,
    /// Created in the guest.
    Ready,
    /// Its command was started.
    Running { started: Timestamp },
    /// Frozen.
    Paused { started: Timestamp },
    /// Its command has ended.
    Stopped {
        started: Option<Timestamp>,
        /// Unknown when nobody was there to see it.
        exit_code: Option<i32>,
        /// When, as far as it was seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended: Option<Timestamp>,
    },
}

impl ContainerRecord {
    /// Sets the record against what the host shows: a command may have ended unattended, with its shim to tell of it, and
    /// without a machine nothing runs. `dir` is the container's directory.
    pub(crate) fn observe(&mut self, dir: &Path, sandbox: &SandboxPhase) {
        let runs = matches!(self.phase, ContainerPhase::Running { .. } | ContainerPhase::Paused { .. });
        if runs && let Some(exit) = shim::exit(dir, &ExecId::from(&self.id)) {
            self.phase = self.phase.ended(Some(exit.code), Some(Timestamp(exit.ended)));
        }
        self.phase = self.phase.within(sandbox);
    }
}

impl ContainerPhase {
    pub(crate) const fn state(&self) -> ContainerState {
        match self {
            Self::Creating => ContainerState::Creating,
            Self::Ready => ContainerState::Ready,
            Self::Running { .. } => ContainerState::Running,
            Self::Paused { .. } => ContainerState::Paused,
            Self::Stopped { .. } => ContainerState::Stopped,
        }
    }

    /// When its command was started, if it was.
    pub(crate) const fn started(&self) -> Option<Timestamp> {
        match self {
            Self::Creating | Self::Ready => None,
            Self::Running { started } | Self::Paused { started } => Some(*started),
            Self::Stopped { started, .. } => *started,
        }
    }

    /// How its command ended, if that is known.
    pub(crate) const fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Stopped { exit_code, .. } => *exit_code,
            Self::Creating | Self::Ready | Self::Running { .. } | Self::Paused { .. } => None,
        }
    }

    /// When its command ended, if that is known.
    pub(crate) const fn when_ended(&self) -> Option<Timestamp> {
        match self {
            Self::Stopped { ended, .. } => *ended,
            Self::Creating | Self::Ready | Self::Running { .. } | Self::Paused { .. } => None,
        }
    }

    /// The same container after its command has ended, as far as it is known how and when. What was known stays.
    pub(crate) fn ended(&self, exit_code: Option<i32>, when: Option<Timestamp>) -> Self {
        Self::Stopped {
            started: self.started(),
            exit_code: exit_code.or(self.exit_code()),
            ended: self.when_ended().or(when),
        }
    }
}
