//! A process on the host that stands for one in the guest (`kataShim`): its pid is the process's, as far as the host is
//! concerned.
//!
//! The shim owns the streams of its process. It writes the output to a log, shares it with whoever attaches, forwards
//! the signals that it receives, leaves a file that tells how the process ended, and exits with its code. What it holds
//! to:
//! - It is one future on one thread, with bounded buffers; it reads on in the guest only what it has passed on here.
//! - Neither a full disk nor a slow client costs the process anything but that log or that client.
//! - A connection to the agent that breaks is made anew, for as long as the virtual machine lives.
//! - It does nothing before the one who started it has recorded it and said so ([`ShimProcess::go`]): a shim that
//!   nobody recorded ends by itself.
//! - Without it the process runs on, its outputs waiting in the guest.
//!
//! Beside a container's record lie, for each process with a shim, the files of [`log_name`], [`socket_name`] and
//! [`exit_name`]. The first shim of a sandbox keeps the guest's console and the agent's log too.

mod attach;
mod client;
mod exit;
mod frame;
mod hub;
mod keep;
mod line;
mod link;
mod process;
mod record;
mod run;
mod socket;
mod timestamp;

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use virtcontainers_agent_protocol::transport::AgentAddress;
use virtcontainers_sys::{
    process::ProcessRef,
    spawn::{SpawnError, describe_exit},
};
use virtcontainers_types::{ContainerId, ExecId};

use crate::error::AgentError;

pub use self::{
    client::{AttachControl, AttachOutput, AttachStdin, Attached, attach},
    exit::ExitRecord,
    line::{LogLine, MAX_LINE, parse},
    process::ShimProcess,
    run::{Attend, run_inherited},
    timestamp::{format_time, parse_time},
};

/// The shim's role in its process's mark and in the name of its own log.
pub const ROLE: &str = "shim";
/// The size at which a process's log is turned, in bytes.
pub const LOG_LIMIT: u64 = 10 << 20;
/// The guest's console as it was read, in the sandbox's directory.
pub const CONSOLE_LOG: &str = "console.log";
/// The agent's own log, in the sandbox's directory.
pub const AGENT_LOG: &str = "agent.log";
/// The size at which console and agent log are turned, in bytes.
pub const KEPT_LIMIT: u64 = 1 << 20;

/// The name of a process's log, in the CRI's format.
#[must_use]
pub fn log_name(exec: &ExecId) -> String {
    format!("{exec}.log")
}

/// The name of the socket on which a process's shim is attached to.
#[must_use]
pub fn socket_name(exec: &ExecId) -> String {
    format!("{exec}.sock")
}

/// The name of the file that tells how a process ended.
#[must_use]
pub fn exit_name(exec: &ExecId) -> String {
    format!("{exec}.exit")
}

/// What a shim is told: its process, and where everything is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShimOptions {
    /// Where the agent is reached.
    pub agent: AgentAddress,
    /// The container.
    pub container: ContainerId,
    /// The process in it.
    pub exec: ExecId,
    /// The directory for log, socket and exit file.
    pub dir: PathBuf,
    /// The sandbox's directory.
    pub sandbox_dir: PathBuf,
    /// The virtual machine's process; without it there is nothing to end for.
    pub vmm: Option<ProcessRef>,
    /// The socket of the guest's console in the sandbox's directory, where there is one.
    pub console: Option<String>,
    /// Reads the outputs to their end before it asks how the process ended: for the kata-agent, which throws away what
    /// was not read by then.
    pub outputs_first: bool,
    /// The size at which the log is turned, in bytes.
    pub log_limit: u64,
}

/// A shim failed, or cannot be reached.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShimError {
    /// The shim's process did not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The shim's process ended, or said why it cannot serve.
    #[error("the shim of process {exec} in container {container} did not begin: {why}")]
    NotReady {
        /// The container.
        container: ContainerId,
        /// The process.
        exec: ExecId,
        /// Its own words, or how it ended.
        why: String,
    },
    /// The shim's process said nothing in time.
    #[error(
        "the shim of process {exec} in container {container} was not ready within {after:?}: see shim.log"
    )]
    Late {
        /// The container.
        container: ContainerId,
        /// The process.
        exec: ExecId,
        /// How long it was waited for.
        after: Duration,
    },
    /// Nobody told the shim what to do, or that it is recorded.
    #[error("the shim's starter left before it had told the shim what to do")]
    Abandoned,
    /// What the shim was told makes no sense.
    #[error("the shim was told what it does not understand: start it with the library of its own version")]
    Options(#[source] serde_json::Error),
    /// A file or socket failed.
    #[error("cannot {what} {}", path.display())]
    Path {
        /// What was tried.
        what: &'static str,
        /// The file or socket.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The shim's own event loop, or its conversation with who started it, failed.
    #[error("the shim cannot go on")]
    Runtime(#[source] io::Error),
    /// The agent cannot be reached.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The virtual machine ended before the process did.
    #[error("the virtual machine ended before the process")]
    MachineGone,
    /// Nobody attends to the process on that socket.
    #[error("no shim attends to process {exec} of container {container}: it has ended, or was never there")]
    NoShim {
        /// The container.
        container: ContainerId,
        /// The process.
        exec: ExecId,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The connection to the shim ended before the process did.
    #[error(
        "the shim of process {exec} ended the connection: its output was not read in time, or the shim is gone; \
         attach again"
    )]
    Detached {
        /// The process.
        exec: ExecId,
    },
}

impl ShimError {
    fn ended(container: &ContainerId, exec: &ExecId, status: ExitStatus) -> Self {
        let why = format!("it ended with {}, see shim.log in the sandbox's directory", describe_exit(status));
        Self::NotReady { container: container.clone(), exec: exec.clone(), why }
    }
}

#[cfg(test)]
mod tests;
