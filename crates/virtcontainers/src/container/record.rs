//! What is known of a container: one record each, so that the hundredth costs as the first.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use virtcontainers_types::{ContainerId, ContainerState};

use crate::{config::ContainerConfig, time::Timestamp};

/// The record of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContainerRecord {
    pub(crate) id: ContainerId,
    pub(crate) phase: ContainerPhase,
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
    },
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

    /// The same container after its command has ended.
    pub(crate) const fn ended(&self, exit_code: Option<i32>) -> Self {
        let known = match (exit_code, self.exit_code()) {
            (Some(code), _) | (None, Some(code)) => Some(code),
            (None, None) => None,
        };
        Self::Stopped { started: self.started(), exit_code: known }
    }
}
