//! The OCI spec of a container, as the guest's agent gets it.
//!
//! A spec here has guest paths only: its root and every bind mount lead into the directory that the host shares. What
//! the host has to put there is listed beside it as [`SharedVolume`]s.

mod custom;
mod defaults;
mod mounts;
mod process;
mod user;

use std::path::PathBuf;

use oci_spec::runtime::Spec;
use virtcontainers_agent_protocol::guest_paths;
use virtcontainers_types::{Bytes, ContainerId};

use crate::config::{ConfigError, ContainerPlan};

pub(crate) use process::exec_process;
pub(crate) use user::user_names;

/// What the sandbox contributes to the spec of each container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SandboxTraits<'a> {
    pub(crate) hostname: &'a str,
    pub(crate) shm_size: Bytes,
    pub(crate) disable_seccomp: bool,
}

/// A host path that must be shared before the container is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SharedVolume {
    /// Its name in the container's shared directory.
    pub(crate) name: String,
    /// The path on the host.
    pub(crate) source: PathBuf,
    /// The guest must not write to it.
    pub(crate) read_only: bool,
}

/// A container for the guest.
#[derive(Debug)]
pub(crate) struct GuestContainer {
    pub(crate) spec: Spec,
    pub(crate) volumes: Vec<SharedVolume>,
}

/// Makes the spec of a container.
///
/// # Errors
/// [`ConfigError`] for a user or group that the container's files do not know.
pub(crate) fn guest_container(
    plan: &ContainerPlan,
    sandbox: SandboxTraits<'_>,
) -> Result<GuestContainer, ConfigError> {
    match &plan.config().custom_spec {
        Some(spec) => Ok(custom::guest_container(plan, spec, sandbox)),
        None => defaults::guest_container(plan, sandbox),
    }
}

/// Where a container's shared files are in the guest.
fn guest_dir(id: &ContainerId) -> PathBuf {
    PathBuf::from(guest_paths::SHARED_CONTAINERS).join(id.as_str())
}

#[cfg(test)]
mod tests;
