//! Namespaces: of the agent's own making, and those of containers to enter.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::MetadataExt as _,
    },
    path::Path,
};

use rustix::{
    mount::{MountFlags, MountPropagationFlags},
    process::PidfdFlags,
    thread::{ThreadNameSpaceType, UnshareFlags},
};

use super::mount;

/// Namespaces that containers can share with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// Process ids, of children only.
    Pid,
}

impl Kind {
    /// Its name below `/proc/<pid>/ns`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Pid => "pid",
        }
    }
}

/// Puts the calling thread into a new namespace of `kind`. Call it on a thread that is going to end.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`.
pub fn leave(kind: Kind) -> io::Result<()> {
    let flags = match kind {
        Kind::Ipc => UnshareFlags::NEWIPC,
        Kind::Uts => UnshareFlags::NEWUTS,
        Kind::Pid => UnshareFlags::NEWPID,
    };
    // SAFETY: no descriptor, memory or file system state is unshared: nothing that other code relies on.
    unsafe { rustix::thread::unshare_unsafe(flags) }?;
    Ok(())
}

/// Puts the calling thread into a new network namespace. Call it on a thread that is going to end.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`.
#[cfg(test)]
pub(crate) fn leave_network() -> io::Result<()> {
    // SAFETY: as above, nothing that other code relies on is unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(())
}

/// Leaves the mount namespace that the process was started in and puts cgroup v2 at `/sys/fs/cgroup` in the new one,
/// so that neither mounts nor a host's cgroup layout matter. Call it while the process has a single thread.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`.
pub fn isolate_mounts() -> io::Result<()> {
    // SAFETY: only the mount namespace is left; no descriptor or memory is unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount::mount("cgroup2", Path::new("/sys/fs/cgroup"), "cgroup2", flags, "")
}

/// Whether process `pid` is in another user namespace than this one.
///
/// # Errors
/// When there is no such process.
pub fn has_own_users(pid: u32) -> io::Result<bool> {
    let users = |process: &str| fs::metadata(format!("/proc/{process}/ns/user")).map(|link| link.ino());
    Ok(users(&pid.to_string())? != users("self")?)
}

/// Lets the children to come be born in the pid namespace of the process that `pidfd` stands for.
///
/// # Errors
/// When that process has ended.
pub fn bear_children_in(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::thread::move_into_thread_name_spaces(pidfd, ThreadNameSpaceType::PROCESS_ID)?)
}

/// Lets the children to come be born in this process's own pid namespace again.
///
/// # Errors
/// Without descriptors left.
pub fn bear_children_here() -> io::Result<()> {
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    bear_children_in(own.as_fd())
}

/// Moves the calling process, which must have one thread only, to where the process is that `pidfd` stands for: its
/// mounts, names, IPC, cgroups and network, and its users if `users` says so.
///
/// # Errors
/// When that process has ended.
pub fn join(pidfd: BorrowedFd<'_>, users: bool) -> io::Result<()> {
    let mut types = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::CONTROL_GROUP
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK;
    types.set(ThreadNameSpaceType::USER, users);
    Ok(rustix::thread::move_into_thread_name_spaces(pidfd, types)?)
}
