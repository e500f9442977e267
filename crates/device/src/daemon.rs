//! Daemons of a sandbox: how they are started, told, and stopped.
//!
//! A daemon runs in the sandbox's directory, writes its errors to `<role>.log` there, carries the mark of its sandbox
//! and role, and is stopped by `SIGTERM` and, after a grace, by `SIGKILL`.

use std::{
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use virtcontainers_sys::{
    process::{Mark, PidFd, ProcessRef, Signal},
    spawn::{Child, Spawn},
};
use virtcontainers_types::SandboxId;

use crate::DeviceError;

/// How long a daemon may take to end after `SIGTERM`.
pub const STOP_GRACE: Duration = Duration::from_secs(3);
/// How long the kernel may take to end a process after `SIGKILL`.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// So much of a log's end goes into errors, in bytes.
const LOG_TAIL: u64 = 2048;

/// A daemon's part in its sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DaemonRole {
    /// Serves the shared directory: `virtiofsd`.
    Virtiofsd,
    /// Is the guest's vsock device: `vc-helper vsock`.
    VhostVsock,
}

impl DaemonRole {
    /// The name in marks and of the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Virtiofsd => "virtiofsd",
            Self::VhostVsock => "vhost-vsock",
        }
    }

    /// The mark of this daemon of a sandbox.
    #[must_use]
    pub fn mark(self, root: &Path, id: &SandboxId) -> Mark {
        Mark::new(root, id, self.as_str())
    }
}

/// What a record keeps of a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonRecord {
    /// Its part.
    pub role: DaemonRole,
    /// Its process.
    pub process: ProcessRef,
}

/// A daemon that this process started. Dropping it leaves the daemon running.
#[derive(Debug)]
pub struct Daemon {
    role: DaemonRole,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `program` in the sandbox's directory, with what all daemons have in common.
    pub(crate) fn start(
        role: DaemonRole,
        program: Spawn,
        dir: &Path,
        mark: &Mark,
    ) -> Result<Self, DeviceError> {
        let log = dir.join(format!("{}.log", role.as_str()));
        let child = program.cwd(dir).stderr(&log).mark(mark).spawn()?;
        tracing::debug!(role = role.as_str(), pid = child.process().pid, "daemon started");
        Ok(Self { role, child, log })
    }

    /// What to keep in the record.
    #[must_use]
    pub fn record(&self) -> DaemonRecord {
        DaemonRecord { role: self.role, process: self.child.process() }
    }

    /// Waits for the daemon to end and reaps it. Cancel safe.
    ///
    /// # Errors
    /// When the process cannot be watched.
    pub async fn wait(&mut self) -> Result<ExitStatus, DeviceError> {
        let failed = DeviceError::io("watch the process that writes", &self.log);
        self.child.wait().await.map_err(failed)
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }
}

/// The end of a daemon's log, whoever started the daemon; empty when it cannot be read.
#[must_use]
pub fn log_tail(log: &Path) -> String {
    tail(log).unwrap_or_default()
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Stops a daemon that a record names, and waits until it is gone. One that is gone already is no error.
///
/// # Errors
/// [`DeviceError::Unstoppable`], or when it may not be signalled.
pub async fn stop(record: &DaemonRecord, grace: Duration) -> Result<(), DeviceError> {
    end(record.process, record.role.as_str(), grace).await
}

/// Stops all processes that carry `mark`: a daemon that no record names because its starter died, and the children
/// that daemons leave behind.
///
/// # Errors
/// As [`stop`]; the first error, after all were tried.
pub async fn stop_marked(mark: &Mark, grace: Duration) -> Result<(), DeviceError> {
    let role = mark.value().to_string_lossy();
    let found = mark.find().map_err(DeviceError::io("search for marked processes in", "/proc"))?;
    let mut outcome = Ok(());
    for process in found {
        let ended = end(process, &role, grace).await;
        outcome = outcome.and(ended);
    }
    outcome
}

async fn end(process: ProcessRef, role: &str, grace: Duration) -> Result<(), DeviceError> {
    let proc = || PathBuf::from(format!("/proc/{}", process.pid));
    let Some(pidfd) = process.open().map_err(DeviceError::io("open", proc()))? else { return Ok(()) };
    if signal_and_wait(&pidfd, Signal::TERM, grace).await.map_err(DeviceError::io("signal", proc()))? {
        return Ok(());
    }
    tracing::debug!(role, pid = process.pid, ?grace, "did not end after SIGTERM, killing it");
    if signal_and_wait(&pidfd, Signal::KILL, KILL_LIMIT).await.map_err(DeviceError::io("signal", proc()))? {
        return Ok(());
    }
    Err(DeviceError::Unstoppable { role: role.to_owned(), process, after: KILL_LIMIT })
}

/// Whether the process has exited in time.
async fn signal_and_wait(process: &PidFd, signal: Signal, limit: Duration) -> std::io::Result<bool> {
    if !process.signal(signal)? {
        return Ok(true);
    }
    match tokio::time::timeout(limit, process.exited()).await {
        Ok(exited) => exited.map(|()| true),
        Err(_elapsed) => Ok(false),
    }
}
