//! Mount points: made below the allowed directory, through no symbolic link.

use std::{
    ffi::OsStr,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::StorageError;
use crate::container::spec::is_plain;

/// Where storages may be mounted.
pub(super) const ALLOWED: &str = "/run/kata-containers";

/// Parts of a mount point's path.
const MAX_DEPTH: usize = 64;

/// Whether `path` may become a mount point.
pub(super) fn check(path: &Path) -> Result<(), StorageError> {
    let inside = path.strip_prefix(ALLOWED).is_ok_and(|rest| !rest.as_os_str().is_empty());
    if inside && is_plain(path) && path.components().count() <= MAX_DEPTH {
        return Ok(());
    }
    Err(StorageError::Target { path: path.to_owned() })
}

/// A mount point, held open: its path names it whatever happens to the names above it.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    _fd: OwnedFd,
}

impl Target {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes the directory, or with `directory` unset the file, `path` with all above it.
pub(super) fn make(path: &Path, directory: bool) -> io::Result<Target> {
    let root = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = rustix::fs::open("/", root, Mode::empty())?;
    let names: Vec<&OsStr> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
        })
        .collect();
    for (index, name) in names.iter().enumerate() {
        let is_last = index + 1 == names.len();
        at = enter(&at, name, directory || !is_last)?;
    }
    let path = PathBuf::from(format!("/proc/self/fd/{}", at.as_raw_fd()));
    Ok(Target { path, _fd: at })
}

fn enter(at: &OwnedFd, name: &OsStr, directory: bool) -> io::Result<OwnedFd> {
    let kind = if directory { OFlags::DIRECTORY } else { OFlags::empty() };
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW | kind;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let open = || rustix::fs::openat2(at, name, flags, Mode::empty(), resolve);
    match open() {
        Err(Errno::NOENT) => {}
        opened => return Ok(opened?),
    }
    let made = if directory {
        rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o755))
    } else {
        let create = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(at, name, create, Mode::from_raw_mode(0o644)).map(drop)
    };
    match made {
        Ok(()) | Err(Errno::EXIST) => Ok(open()?),
        Err(error) => Err(error.into()),
    }
}
