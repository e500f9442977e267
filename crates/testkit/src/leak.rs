//! What may stay behind.

use std::{fmt, path::PathBuf};

use virtcontainers_sys::process::ProcessRef;

/// Something that was not there before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leak {
    /// A process that carries a mark of the root.
    Process {
        /// The process.
        process: ProcessRef,
        /// The sandbox and role of its mark: `<id>:<role>`.
        mark: String,
    },
    /// A mount at or below the root.
    Mount(PathBuf),
    /// A file, directory or socket below the root.
    Entry(PathBuf),
    /// A network link of this network namespace.
    Link(String),
    /// A named network namespace.
    NetNs(String),
    /// A control group whose name tells the root.
    Cgroup(PathBuf),
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { process, mark } => write!(f, "process {} ({mark})", process.pid),
            Self::Mount(path) => write!(f, "mount {}", path.display()),
            Self::Entry(path) => write!(f, "file {}", path.display()),
            Self::Link(name) => write!(f, "network link {name}"),
            Self::NetNs(name) => write!(f, "network namespace {name}"),
            Self::Cgroup(path) => write!(f, "cgroup {}", path.display()),
        }
    }
}
