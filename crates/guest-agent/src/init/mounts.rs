//! The file systems of the guest.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::mount::MountFlags;

use super::InitError;
use crate::sys;

/// Where the initramfs appears as a mount of its own before it becomes the root.
const NEW_ROOT: &str = "/.root";

const CGROUPS: &str = "/sys/fs/cgroup";

struct Wanted {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    data: &'static str,
}

const fn wanted(kind: &'static str, target: &'static str, flags: MountFlags, data: &'static str) -> Wanted {
    Wanted { kind, target, flags, data }
}

const SECURE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

const MOUNTS: [Wanted; 8] = [
    wanted("proc", "/proc", SECURE, ""),
    wanted("sysfs", "/sys", SECURE, ""),
    wanted("devtmpfs", "/dev", MountFlags::NOSUID, "mode=0755"),
    wanted("devpts", "/dev/pts", MountFlags::NOSUID.union(MountFlags::NOEXEC), "mode=0620,ptmxmode=0666"),
    wanted("tmpfs", "/dev/shm", MountFlags::NOSUID.union(MountFlags::NODEV), "mode=1777"),
    wanted("tmpfs", "/run", MountFlags::NOSUID.union(MountFlags::NODEV), "mode=0755"),
    wanted("tmpfs", "/tmp", MountFlags::NOSUID.union(MountFlags::NODEV), "mode=1777"),
    wanted("cgroup2", CGROUPS, SECURE, ""),
];

/// Makes the root a mount that has another one below it. The initramfs itself is the bottom of all mounts, and
/// pivot_root(2), with which containers leave the guest's files, does not work from there.
///
/// # Errors
/// [`InitError`].
pub fn leave_initramfs() -> Result<(), InitError> {
    let at_new_root = |source| InitError::Mount { path: NEW_ROOT.into(), source };
    make_directory(Path::new(NEW_ROOT))?;
    sys::mount::bind(Path::new("/"), Path::new(NEW_ROOT), false).map_err(at_new_root)?;
    std::env::set_current_dir(NEW_ROOT).map_err(at_new_root)?;
    sys::mount::relocate(Path::new("."), Path::new("/")).map_err(at_new_root)?;
    rustix::process::chroot(".").map_err(|error| at_new_root(error.into()))?;
    std::env::set_current_dir("/").map_err(at_new_root)
}

/// Mounts everything and enables the controllers of cgroup v2 for the groups to come.
///
/// # Errors
/// [`InitError`].
pub fn mount_all() -> Result<(), InitError> {
    for Wanted { kind, target, flags, data } in MOUNTS {
        let target = Path::new(target);
        make_directory(target)?;
        match sys::mount::mount(kind, target, kind, flags, data) {
            Ok(()) => {}
            // The kernel has mounted it itself (CONFIG_DEVTMPFS_MOUNT).
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {}
            Err(source) => return Err(InitError::Mount { path: target.to_owned(), source }),
        }
    }
    link_standard_descriptors();
    enable_controllers()
}

/// `/dev/fd` and the like, which devtmpfs does not have; those who need them make do without.
fn link_standard_descriptors() {
    for (target, link) in [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
    ] {
        std::os::unix::fs::symlink(target, link).ok();
    }
}

fn enable_controllers() -> Result<(), InitError> {
    let path = PathBuf::from(CGROUPS).join("cgroup.controllers");
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| InitError::Io { doing, path, source }
    };
    let controllers = fs::read_to_string(&path).map_err(io("read", &path))?;
    let all: Vec<String> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
    let path = PathBuf::from(CGROUPS).join("cgroup.subtree_control");
    if all.is_empty() {
        return Ok(());
    }
    fs::write(&path, all.join(" ")).map_err(io("enable all controllers in", &path))
}

fn make_directory(path: &Path) -> Result<(), InitError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(InitError::Io { doing: "make", path: path.to_owned(), source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
