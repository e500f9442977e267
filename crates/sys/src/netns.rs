//! Network namespaces: telling one from another file, making one, entering one.
//!
//! A namespace belongs to a thread. Whoever enters one must do it on a thread of its own, and let that thread end in
//! it: nothing here goes back.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags},
    thread::{LinkNameSpaceType, UnshareFlags},
};

use crate::mount::{BindOptions, bind_fd};

/// The magic number of the filesystem that namespaces live in (`NSFS_MAGIC`).
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;

/// Where a thread's own network namespace is found.
const OWN: &str = "/proc/thread-self/ns/net";

/// Opens a file that is a network namespace, and no other: the file is looked at before it is opened, so that neither a
/// device nor a fifo is disturbed.
///
/// # Errors
/// As `open(2)`; `InvalidInput` for what is no network namespace.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    let seen = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::fs::fstatfs(&seen)?.f_type != NSFS_MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no namespace at all"));
    }
    let fd = OwnedFd::from(File::open(format!("/proc/self/fd/{}", seen.as_raw_fd()))?);
    if namespace_type(fd.as_fd())? != libc::CLONE_NEWNET {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a namespace of another kind"));
    }
    Ok(fd)
}

#[expect(unsafe_code, reason = "rustix has no NS_GET_NSTYPE")]
fn namespace_type(fd: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    // SAFETY: the request takes no argument and touches no memory; `fd` is open while it is borrowed.
    let kind = unsafe { libc::ioctl(fd.as_raw_fd(), libc::NS_GET_NSTYPE) };
    if kind < 0 { Err(io::Error::last_os_error()) } else { Ok(kind) }
}

/// The calling thread's network namespace.
///
/// # Errors
/// As `open(2)`, where `/proc` is not mounted.
pub fn current() -> io::Result<OwnedFd> {
    Ok(File::open(OWN)?.into())
}

/// Moves the calling thread into a network namespace, for good.
///
/// # Errors
/// As `setns(2)`; `PermissionDenied` without `CAP_SYS_ADMIN`.
#[expect(clippy::disallowed_methods, reason = "this is the room that enters namespaces")]
pub fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?)
}

/// Moves the calling thread into a new network namespace and binds that onto the file at `path`, which keeps it alive
/// until it is unmounted.
///
/// # Errors
/// As `unshare(2)` and `move_mount(2)`.
pub fn unshare_onto(path: &Path) -> io::Result<OwnedFd> {
    leave_for_new()?;
    let namespace = current()?;
    let target =
        rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    bind_fd(namespace.as_fd(), target.as_fd(), BindOptions::default())?;
    Ok(namespace)
}

#[expect(unsafe_code, reason = "rustix marks unshare so, for the sake of shared file descriptors")]
fn leave_for_new() -> io::Result<()> {
    // SAFETY: only the network namespace is left; descriptors, memory and filesystem context stay shared.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?)
}
