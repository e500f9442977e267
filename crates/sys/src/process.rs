//! Processes that outlive the one that started them.
//!
//! A pid alone is not an identity: the kernel gives it to another process later. A [`ProcessRef`] adds the start time,
//! a [`PidFd`] holds on to the very process, and a [`Mark`] in a process's environment tells whose it is when no record
//! of it was written.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
};

pub use rustix::process::Signal;
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    process::{Pid, PidfdFlags},
};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use virtcontainers_types::SandboxId;

/// A process, told from any later one with the same pid by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessRef {
    /// The process id, as seen from this process's pid namespace.
    pub pid: u32,
    /// Clock ticks between boot and the process's start: field 22 of `/proc/<pid>/stat`.
    pub start: u64,
}

/// What `/proc/<pid>/stat` says that matters here.
struct Stat {
    state: u8,
    start: u64,
}

fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::SRCH.raw_os_error() => io::Error::from(io::ErrorKind::NotFound),
        Some(_) | None => error,
    })?;
    parse_stat(&text).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is not in the form of proc(5)"))
    })
}

/// The command's name (field 2) may hold anything, parentheses too, so the fields are counted from the last one.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let mut fields = text.get(end + 1..)?.split(|&byte| byte == b' ').filter(|field| !field.is_empty());
    let state = *fields.next()?.first()?;
    let start = std::str::from_utf8(fields.nth(18)?).ok()?.parse().ok()?;
    Some(Stat { state, start })
}

impl ProcessRef {
    /// The process that has this pid now.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { pid, start: stat(pid)?.start })
    }

    /// This process.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn myself() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Whether this very process still runs. A zombie does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        stat(self.pid).is_ok_and(|now| now.start == self.start && !matches!(now.state, b'Z' | b'X'))
    }

    /// Takes hold of the process; `None` when it is gone.
    ///
    /// # Errors
    /// As `pidfd_open(2)`.
    pub fn open(&self) -> io::Result<Option<PidFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let fd = match rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(Errno::SRCH | Errno::NOENT | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Only now: whoever has the pid at this moment is whom the descriptor holds.
        match stat(self.pid) {
            Ok(now) if now.start == self.start => Ok(Some(PidFd { fd })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a signal. `false`: the process is already gone.
    ///
    /// # Errors
    /// As `pidfd_send_signal(2)`, for example `PermissionDenied`.
    pub fn kill(&self, signal: Signal) -> io::Result<bool> {
        match self.open()? {
            Some(process) => process.signal(signal),
            None => Ok(false),
        }
    }

    /// Whether it is the first process of a pid namespace: then all processes that it started, and theirs, end with it.
    /// `false` also when it is gone.
    #[must_use]
    pub fn leads_namespace(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        // proc(5): its pid in each namespace, the innermost last.
        let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        let leads =
            pids.split_ascii_whitespace().count() > 1 && pids.split_ascii_whitespace().last() == Some("1");
        leads && stat(self.pid).is_ok_and(|now| now.start == self.start)
    }

    /// Memory resident now, in bytes (`VmRSS` of `/proc/<pid>/status`); 0 for a zombie.
    ///
    /// # Errors
    /// `NotFound` when the process is gone.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        if stat(self.pid)?.start != self.start {
            return Err(io::ErrorKind::NotFound.into());
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        Ok(kib.unwrap_or(0u64) << 10)
    }
}

/// A hold on one process (`pidfd_open(2)`): it never comes to mean another one.
#[derive(Debug)]
pub struct PidFd {
    fd: OwnedFd,
}

impl PidFd {
    /// Sends a signal. `false`: the process has already exited.
    ///
    /// # Errors
    /// As `pidfd_send_signal(2)`.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        if self.has_exited()? {
            return Ok(false);
        }
        match rustix::process::pidfd_send_signal(&self.fd, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Completes when the process has exited; one that waits to be reaped has. Cancel safe.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    pub async fn exited(&self) -> io::Result<()> {
        let watch = crate::watch(self.fd.try_clone()?, Interest::READABLE)?;
        loop {
            let mut ready = watch.readable().await?;
            if self.has_exited()? {
                return Ok(());
            }
            ready.clear_ready();
        }
    }

    /// Whether the process has exited, without waiting.
    ///
    /// # Errors
    /// As `poll(2)`.
    pub fn has_exited(&self) -> io::Result<bool> {
        let mut polled = [PollFd::new(&self.fd, PollFlags::IN)];
        Ok(rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whose helper a process is: what its environment tells (`VIRTCONTAINERS_MARK=<root>:<sandbox>:<role>`), and the control
/// groups that it starts in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark {
    value: OsString,
    cgroups: Vec<PathBuf>,
}

/// A process found by its mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The process.
    pub process: ProcessRef,
    /// The sandbox that its mark names.
    pub sandbox: SandboxId,
    /// Its part in that sandbox, for example `vmm`.
    pub role: String,
}

impl Mark {
    /// The variable that carries a mark.
    pub const VAR: &'static str = "VIRTCONTAINERS_MARK";

    /// The mark of one role of one sandbox under one root directory. The root is compared byte by byte: give it in
    /// the same form everywhere (absolute, canonical).
    #[must_use]
    pub fn new(root: &Path, id: &SandboxId, role: &str) -> Self {
        let mut mark = root.as_os_str().to_owned();
        mark.push(format!(":{id}:{role}"));
        Self::from(mark)
    }

    /// The same mark for a process that is to start in these control groups, one of a hierarchy.
    #[must_use]
    pub fn within(mut self, cgroups: Vec<PathBuf>) -> Self {
        self.cgroups = cgroups;
        self
    }

    /// The directories of the control groups.
    #[must_use]
    pub fn cgroups(&self) -> &[PathBuf] {
        &self.cgroups
    }

    /// The variable's value.
    #[must_use]
    pub fn value(&self) -> &OsStr {
        &self.value
    }

    /// The living processes that carry exactly this mark. A process inherits its parent's mark, so a helper's own
    /// children are found too. Processes of other users, whose environment may not be read, are passed over.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn find(&self) -> io::Result<Vec<ProcessRef>> {
        let mut found = marks()?;
        found.retain(|(_, mark)| *mark == self.value.as_bytes());
        Ok(found.into_iter().map(|(process, _)| process).collect())
    }

    /// The living processes that carry a mark of any sandbox under `root`.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn find_under(root: &Path) -> io::Result<Vec<Marked>> {
        let mut prefix = root.as_os_str().as_bytes().to_vec();
        prefix.push(b':');
        let read = |(process, mark): (ProcessRef, Vec<u8>)| {
            let rest = String::from_utf8(mark.strip_prefix(prefix.as_slice())?.to_vec()).ok()?;
            let (id, role) = rest.split_once(':')?;
            Some(Marked { process, sandbox: SandboxId::new(id).ok()?, role: role.to_owned() })
        };
        Ok(marks()?.into_iter().filter_map(read).collect())
    }
}

impl From<OsString> for Mark {
    fn from(value: OsString) -> Self {
        Self { value, cgroups: Vec::new() }
    }
}

impl From<Mark> for OsString {
    fn from(mark: Mark) -> Self {
        OsString::from_vec(mark.value.into_vec())
    }
}

/// Every living process with a mark that this one may read.
fn marks() -> io::Result<Vec<(ProcessRef, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(process) = ProcessRef::of(pid) else { continue };
        let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        let mark = environ.split(|&byte| byte == 0).find_map(|entry| {
            entry.strip_prefix(Mark::VAR.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec)
        });
        // The environment read must be the one of the process named: look again that the pid has not changed hands.
        if let Some(mark) = mark
            && process.is_alive()
        {
            found.push((process, mark));
        }
    }
    Ok(found)
}
