//! Mounting and unmounting (mount(2)).

use std::{ffi::CString, io, path::Path};

use rustix::mount::{MountFlags, UnmountFlags};

/// Mounts `source` of type `kind` on `target`; `data` is what the file system itself is told.
///
/// # Errors
/// As mount(2).
#[expect(clippy::disallowed_methods, reason = "this is the agent's room for mounts")]
pub fn mount(source: &str, target: &Path, kind: &str, flags: MountFlags, data: &str) -> io::Result<()> {
    let data = CString::new(data)?;
    let data = (!data.is_empty()).then_some(data.as_c_str());
    Ok(rustix::mount::mount(source, target, kind, flags, data)?)
}

/// Makes `source` appear at `target` too, with the mounts below it if `recursive`.
///
/// # Errors
/// As mount(2).
pub fn bind(source: &Path, target: &Path, recursive: bool) -> io::Result<()> {
    if recursive {
        Ok(rustix::mount::mount_bind_recursive(source, target)?)
    } else {
        Ok(rustix::mount::mount_bind(source, target)?)
    }
}

/// Changes the flags of the mount at `target` (`MS_REMOUNT | MS_BIND`).
///
/// # Errors
/// As mount(2).
pub fn reflag(target: &Path, flags: MountFlags) -> io::Result<()> {
    Ok(rustix::mount::mount_remount(target, flags | MountFlags::BIND, c"")?)
}

/// Changes the flags of the file system mounted at `target`, and what it itself was told (`MS_REMOUNT`).
///
/// # Errors
/// As mount(2).
pub fn remount(target: &Path, flags: MountFlags, data: &str) -> io::Result<()> {
    Ok(rustix::mount::mount_remount(target, flags, CString::new(data)?.as_c_str())?)
}

/// Moves the mount at `source` to `target`.
///
/// # Errors
/// As mount(2).
pub fn relocate(source: &Path, target: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_move(source, target)?)
}

/// Detaches the mount at `target`; `false` when nothing is mounted there.
///
/// # Errors
/// As umount2(2).
pub fn unmount(target: &Path) -> io::Result<bool> {
    match rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
