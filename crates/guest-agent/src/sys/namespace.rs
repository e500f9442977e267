//! A mount namespace of the process's own, for an agent that does not run in a virtual machine.

use std::{io, path::Path};

use rustix::{
    mount::{MountFlags, MountPropagationFlags},
    thread::UnshareFlags,
};

use super::mount;

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
