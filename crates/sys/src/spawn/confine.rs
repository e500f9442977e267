//! Namespaces for a process that is to see nothing of the host but what it is given.
//!
//! A process enters all namespaces by itself, just before its program is executed, but for the pid namespace: that one
//! is for children of whoever asks for it. So a thread of its own asks for it, starts the process, and ends; the process
//! is the first one in there, as seen from there, and a child of ours all the same.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command},
    thread,
};

/// Starts the process in mount, network, ipc, uts and pid namespaces of its own. What is mounted on the host later
/// appears there, and not the other way round.
///
/// The first process of a pid namespace gets no signal that it does not handle, save `SIGKILL` and `SIGSTOP`.
///
/// # Errors
/// `PermissionDenied` without `CAP_SYS_ADMIN`; `StorageFull` at a limit of `/proc/sys/user`.
#[expect(unsafe_code, reason = "namespaces can only be entered between fork and exec")]
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let enter = || {
        unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS)?;
        follow_only()
    };
    // SAFETY: between fork and exec the closure makes two system calls with constant arguments: it allocates nothing and
    // takes no lock.
    unsafe {
        command.pre_exec(enter);
    }
    thread::scope(|scope| {
        let starter = thread::Builder::new().name("spawn".to_owned()).spawn_scoped(scope, || {
            unshare(libc::CLONE_NEWPID)?;
            command.spawn()
        })?;
        starter.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Has the process start in a mount namespace of its own that follows the host's.
#[expect(unsafe_code, reason = "namespaces can only be entered between fork and exec")]
pub(super) fn with_own_mounts(command: &mut Command) {
    let enter = || {
        unshare(libc::CLONE_NEWNS)?;
        follow_only()
    };
    // SAFETY: as in `spawn`: two system calls with constant arguments.
    unsafe {
        command.pre_exec(enter);
    }
}

#[expect(
    unsafe_code,
    reason = "a plain system call that has become unsafe in rustix for its flag CLONE_FILES"
)]
fn unshare(namespaces: libc::c_int) -> io::Result<()> {
    // SAFETY: new namespaces take no descriptor and no memory away from anybody.
    let code = unsafe { libc::unshare(namespaces) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes every mount a follower of the host's.
#[expect(unsafe_code, reason = "no allocation is allowed where this is called")]
fn follow_only() -> io::Result<()> {
    // SAFETY: the path is a constant text with its end, and the kernel ignores the other pointers for this change.
    let code = unsafe {
        libc::mount(
            std::ptr::null(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_SLAVE | libc::MS_REC,
            std::ptr::null(),
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
