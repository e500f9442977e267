//! What agent and launching process say to each other.
//!
//! A message is its length in four bytes and its JSON. With a request come descriptors: the socket for the answers first,
//! then for a process to enter a container a pidfd of that container's first process and the container's cgroup, then
//! the standard streams unless there is to be a terminal.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use oci_spec::runtime::{LinuxSeccomp, Process};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::sys::passing;

/// Longest message, in bytes. An exec's process travels in it.
pub(crate) const MAX_MESSAGE: usize = 4 << 20;

/// What the launching process is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Create a container from its bundle.
    Create {
        /// Its id.
        id: String,
        /// The directory with its `config.json`.
        bundle: PathBuf,
        /// `libcontainer`'s directory of states.
        states: PathBuf,
        /// The socket that takes the terminal, if there is to be one.
        console: Option<PathBuf>,
        /// Whether the root can be pivoted; in an initramfs it cannot.
        pivot: bool,
    },
    /// Execute a process in a running container.
    Enter(Box<Enter>),
}

/// A process to be executed in a running container.
#[derive(Debug, Serialize, Deserialize)]
pub struct Enter {
    /// The process.
    pub process: Process,
    /// What the container forbids its processes.
    pub seccomp: Option<LinuxSeccomp>,
    /// The socket that takes the terminal, if there is to be one.
    pub console: Option<PathBuf>,
    /// Whether the container has users of its own.
    pub users: bool,
}

/// What is answered, in this order: [`Self::Forked`], and one of the others unless the process runs its program, which
/// closes the socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// There is a child of the agent that does what was asked for: the process itself, unless [`Self::Created`] follows.
    Forked {
        /// Its pid in the guest.
        pid: u32,
    },
    /// The container's first process exists and will be the agent's child.
    Created {
        /// Its pid in the guest.
        pid: u32,
    },
    /// The request was at fault.
    Refused(String),
    /// Something failed.
    Failed(String),
    /// The process has not come to its program.
    Stopped(Stopped),
}

/// Where a process has failed on its way into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// At what.
    pub step: Step,
    /// The kernel's error number, if it was the kernel that refused.
    pub errno: Option<i32>,
    /// How.
    pub reason: String,
}

/// What a process does on its way into a container, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Resource limits and the preference of the out-of-memory killer.
    Limits,
    /// The container's namespaces.
    Namespaces,
    /// Pipes or terminal.
    Streams,
    /// The working directory.
    WorkingDirectory,
    /// User, groups and capabilities.
    Identity,
    /// The filter of system calls.
    Seccomp,
    /// The program.
    Program,
}

impl Step {
    /// What it does, in messages.
    #[must_use]
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Limits => "set the process's limits",
            Self::Namespaces => "enter the container",
            Self::Streams => "connect the process's standard streams",
            Self::WorkingDirectory => "change to the working directory",
            Self::Identity => "become the process's user",
            Self::Seccomp => "filter the process's system calls",
            Self::Program => "execute the program",
        }
    }
}

/// The bytes of a message.
pub(super) fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut framed = vec![0; 4];
    serde_json::to_writer(&mut framed, message)?;
    let length = u32::try_from(framed.len() - 4).map_err(io::Error::other)?;
    framed[..4].copy_from_slice(&length.to_le_bytes());
    Ok(framed)
}

/// Sends an answer.
pub(crate) fn answer(socket: &OwnedFd, reply: &Reply) -> io::Result<()> {
    passing::send(socket, &frame(reply)?, &[])
}

/// The next request and what came with it; none when the agent is gone.
pub(crate) fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut length = [0; 4];
    let (read, fds) = passing::receive(socket, &mut length)?;
    match read {
        0 => return Ok(None),
        4 => {}
        _ => return Err(io::ErrorKind::UnexpectedEof.into()),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match rustix::io::retry_on_intr(|| rustix::io::read(socket.as_fd(), &mut message[filled..]))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(Some((serde_json::from_slice(&message)?, fds)))
}
