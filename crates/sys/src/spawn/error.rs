//! Why nothing was started.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a process was not started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// There is no such program.
    #[error("no program {}: install it, or configure the path of the one to use", program.display())]
    NotFound {
        /// The program looked for.
        program: PathBuf,
    },
    /// The file for its errors could not be opened.
    #[error("cannot open {} for the errors of {}", path.display(), program.display())]
    Log {
        /// The program.
        program: PathBuf,
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// This process may make no namespaces. The same program may be started without.
    #[error("cannot make namespaces for {}", program.display())]
    NotConfined {
        /// The program.
        program: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The network namespace cannot be entered.
    #[error("cannot enter the network namespace for {}: it needs CAP_SYS_ADMIN, and a descriptor of one", program.display())]
    Netns {
        /// The program.
        program: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// A control group that it was to start in is not there, or takes no process.
    #[error("cannot start {} in its control groups ({})", program.display(), in_words(cgroups))]
    Cgroup {
        /// The program.
        program: PathBuf,
        /// The groups.
        cgroups: Vec<PathBuf>,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot start {}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
}

fn in_words(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
