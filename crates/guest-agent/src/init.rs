//! What PID 1 does before anything else: from a bare kernel and an initramfs to a place where containers can run.

pub mod cmdline;
pub mod modules;
pub mod mounts;
pub mod power;
pub mod signals;

use std::{io, path::PathBuf};

use cmdline::Cmdline;
use modules::{ModuleError, Modules};

use crate::sys;

/// The guest could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// A mount failed.
    #[error("could not mount {}: {source}", path.display())]
    Mount {
        /// The mount point.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// A file of the kernel could not be read or written.
    #[error("could not {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// Kernel modules.
    #[error(transparent)]
    Module(#[from] ModuleError),
}

/// A guest that is set up.
#[derive(Debug)]
pub struct Guest {
    /// What the kernel was told.
    pub cmdline: Cmdline,
    /// The modules of the initrd.
    pub modules: Modules,
}

/// Sets the guest up: mounts, the loopback interface, and the modules without which no device is seen.
///
/// # Errors
/// [`InitError`]: the guest is of no use then.
pub fn set_up() -> Result<Guest, InitError> {
    mounts::leave_initramfs()?;
    mounts::mount_all()?;
    let cmdline = Cmdline::read().map_err(|source| InitError::Io {
        doing: "read",
        path: cmdline::PATH.into(),
        source,
    })?;
    let modules = Modules::read(&cmdline)?;
    modules.load("virtio")?;
    // Without it, the keys still end the machine, only less orderly.
    signals::take_keyboard().ok();
    // A guest without loopback can run what needs no network.
    if let Err(error) = sys::loopback::up() {
        tracing::warn!(%error, "the loopback interface stays down");
    }
    Ok(Guest { cmdline, modules })
}
