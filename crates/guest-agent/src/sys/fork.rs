//! Forks as the launching process makes them, with what fork(2) cannot: clone3(2).

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

/// Starts the child in a cgroup (`linux/sched.h`), which is much cheaper than moving it there.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// On which side of a fork the caller goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In the new process.
    Child,
    /// In the old one.
    Parent {
        /// The child's pid.
        child: u32,
    },
}

/// Forks this process, which must have one thread only. The child's parent is this process's own, which is told of
/// the child's end; it starts in the cgroup with that directory, else in this process's.
///
/// # Errors
/// As clone3(2); `EINVAL` in PID 1.
pub fn sibling(cgroup: Option<BorrowedFd<'_>>) -> io::Result<Side> {
    let parent_of_this = u64::from(libc::CLONE_PARENT.cast_unsigned());
    let flags = parent_of_this | if cgroup.is_some() { INTO_CGROUP } else { 0 };
    let cgroup = cgroup.map_or(Ok(0), |directory| u64::try_from(directory.as_raw_fd()));
    let arguments = libc::clone_args {
        flags,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        // The sibling's end is signalled as this process's own is.
        exit_signal: 0,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.map_err(|source| io::Error::new(io::ErrorKind::InvalidInput, source))?,
    };
    let arguments: *const libc::clone_args = &raw const arguments;
    // SAFETY: the structure is as long as said and lives through the call. Without CLONE_VM, and with no stack of its own,
    // the child goes on here with a copy of all memory; as there is one thread, no lock is held by one that is missing.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, arguments, size_of::<libc::clone_args>()) };
    match u32::try_from(pid) {
        Ok(0) => Ok(Side::Child),
        Ok(child) => Ok(Side::Parent { child }),
        Err(_negative) => Err(io::Error::last_os_error()),
    }
}
