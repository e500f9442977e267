//! Binds into another process's mount namespace: what is bound is found here, where it appears is found there, and the
//! mount is never seen here.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    thread,
};

use rustix::{
    io::Errno,
    thread::{ThreadNameSpaceType, UnshareFlags},
};

use super::{BindOptions, attach, detached, is_mount_point, open_path};
use crate::process::PidFd;

/// Binds `source`, a descriptor of this process's mount namespace, onto the absolute path `target` of `process`'s. Its
/// last component must be no symbolic link there, and no mount point.
///
/// The mount goes with the namespace, that is with the last process in it; or when its mount point is removed, from
/// whichever namespace that is done.
///
/// # Errors
/// As [`super::bind_fd`] and `setns(2)`: `PermissionDenied` without `CAP_SYS_ADMIN`, `ESRCH` when the process has ended;
/// `ResourceBusy` when something is mounted on the target.
pub fn bind_into(
    process: &PidFd,
    source: BorrowedFd<'_>,
    target: &Path,
    options: BindOptions,
) -> io::Result<()> {
    let tree = detached(source, options)?;
    // A thread leaves its namespace for good, so it is one that ends.
    thread::scope(|scope| {
        let binder = thread::Builder::new()
            .name("bind".to_owned())
            .spawn_scoped(scope, || enter(process).and_then(|()| place(&tree, target)))?;
        binder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn place(tree: &OwnedFd, target: &Path) -> io::Result<()> {
    let place = open_path(target)?;
    if is_mount_point(target)? {
        return Err(Errno::BUSY.into());
    }
    attach(tree, place.as_fd())
}

/// Moves the calling thread into the mount namespace of a process, for good.
#[expect(unsafe_code, reason = "rustix marks unshare so, for the sake of shared file descriptors")]
fn enter(process: &PidFd) -> io::Result<()> {
    // SAFETY: only the root and working directory are left, which the kernel demands of who enters a mount namespace;
    // descriptors and memory stay shared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?;
    Ok(rustix::thread::move_into_thread_name_spaces(process.as_fd(), ThreadNameSpaceType::MOUNT)?)
}
