//! Why a device or a share cannot be made or taken apart.

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;
use virtcontainers_sys::{process::ProcessRef, spawn::SpawnError, unix::WaitError};

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A daemon's program is nowhere to be found.
    #[error("no {program} in {}: {remedy}", places(searched))]
    NotInstalled {
        /// The program's name.
        program: &'static str,
        /// The directories looked into.
        searched: Vec<PathBuf>,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A daemon's program was configured, and is not there.
    #[error("{} is no file to execute: correct the configured path of {program}", path.display())]
    NoSuchProgram {
        /// The program's name.
        program: &'static str,
        /// The path configured.
        path: PathBuf,
    },
    /// A daemon could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A daemon did not begin to listen. The end of its log is told too.
    #[error("{role} is not ready; the end of its log: {log:?}")]
    NotReady {
        /// Which daemon.
        role: &'static str,
        /// The end of its log.
        log: String,
        /// What was waited for.
        #[source]
        source: WaitError,
    },
    /// A daemon could not be stopped.
    #[error("process {} of {role} is there still {after:?} after SIGKILL", process.pid)]
    Unstoppable {
        /// Which daemon.
        role: String,
        /// The process.
        process: ProcessRef,
        /// How long it was waited for.
        after: Duration,
    },
    /// An extra argument would take the daemon's confinement away, or what the library decides.
    #[error("virtiofsd argument {argument:?} is refused: {reason}")]
    RefusedArgument {
        /// The argument.
        argument: String,
        /// Why.
        reason: &'static str,
    },
    /// What is to be shared is neither a directory nor a regular file, socket or device.
    #[error("{} is {found}, and {expected} is needed", path.display())]
    WrongSource {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The kernel refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
}

fn places(searched: &[PathBuf]) -> String {
    let mut places: Vec<_> = searched.iter().map(|dir| dir.display().to_string()).collect();
    places.dedup();
    places.join(", ")
}

impl DeviceError {
    /// For `map_err`: an I/O error with what was tried and on what.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: source.into() }
    }
}
