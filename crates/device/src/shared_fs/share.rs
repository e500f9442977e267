//! The tree that the guest sees.
//!
//! ```text
//! <sandbox dir>/mounts/<cid>/rootfs    mount points, empty on the host
//! <sandbox dir>/mounts/<cid>/vol-<n>
//! <sandbox dir>/shared/                the same tree for the guest: a mount of `mounts/`, read-only
//! ```
//!
//! A container's files are bound onto these mount points below `shared/` in the mount namespace of the process that
//! serves the tree, and nowhere else: on the host, nothing of a user's is reachable below the sandbox's directory, so no
//! `rm -r` of it harms them. They go when that process ends, or when the host removes the mount point. A tree that nobody
//! serves, or a process without such a namespace, has them on the host.
//!
//! The guest can write below a `rootfs` or a `vol-<n>` only: the directories above are on the read-only top, so it cannot
//! put a symbolic link where the host makes or removes a mount. What is bound is opened once and bound by its descriptor.

use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use virtcontainers_sys::{
    fs::{open_beneath, open_dir, remove_tree},
    mount::{self, BindOptions},
    process::ProcessRef,
};
use virtcontainers_types::ContainerId;

use crate::DeviceError;

const MOUNTS: &str = "mounts";
const SHARED: &str = "shared";

/// Whether the guest may write to what is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It may not, nor to what is mounted below it.
    ReadOnly,
    /// It may.
    ReadWrite,
}

/// Something in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// Its path below the top of the tree, as the guest finds it below the tree's mount point: `<cid>/rootfs`.
    pub path: PathBuf,
    /// Whether it is a directory; if not, it is a file.
    pub is_dir: bool,
}

/// What a ledger keeps of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "share", rename_all = "kebab-case")]
pub enum ShareResource {
    /// The whole tree of a sandbox.
    Tree {
        /// The sandbox's directory.
        dir: PathBuf,
    },
    /// All that a container has in it.
    Container {
        /// The sandbox's directory.
        dir: PathBuf,
        /// The container.
        id: ContainerId,
    },
}

impl ShareResource {
    /// What it is, for messages.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Tree { dir } => format!("shared tree of {}", dir.display()),
            Self::Container { dir, id } => format!("mounts of container {id} in {}", dir.display()),
        }
    }

    /// Takes it apart, whether all, some or none of it was made.
    ///
    /// # Errors
    /// When a mount or a directory stays.
    pub fn release(&self) -> Result<(), DeviceError> {
        match self {
            Self::Tree { dir } => Share::new(dir).remove(),
            Self::Container { dir, id } => Share::new(dir).remove_container(id),
        }
    }
}

/// The tree of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    dir: PathBuf,
    server: Option<ProcessRef>,
}

impl Share {
    /// The tree below a sandbox's directory, which must be absolute and free of symbolic links. Makes nothing.
    #[must_use]
    pub fn new(sandbox_dir: &Path) -> Self {
        Self { dir: sandbox_dir.to_owned(), server: None }
    }

    /// The same tree, served by this process: what is added is mounted in its mount namespace.
    #[must_use]
    pub fn served_by(self, server: Option<ProcessRef>) -> Self {
        Self { server, ..self }
    }

    /// What to record before [`Share::make`].
    #[must_use]
    pub fn resource(&self) -> ShareResource {
        ShareResource::Tree { dir: self.dir.clone() }
    }

    /// What to record before anything of a container is added.
    #[must_use]
    pub fn container_resource(&self, id: &ContainerId) -> ShareResource {
        ShareResource::Container { dir: self.dir.clone(), id: id.clone() }
    }

    /// The directory to export to the guest.
    #[must_use]
    pub fn exported(&self) -> PathBuf {
        self.dir.join(SHARED)
    }

    fn mounts(&self) -> PathBuf {
        self.dir.join(MOUNTS)
    }

    /// Makes the empty tree. What a former attempt left half made is made anew.
    ///
    /// # Errors
    /// When the kernel refuses; [`Share::remove`] takes away what was made.
    pub fn make(&self) -> Result<(), DeviceError> {
        self.remove()?;
        let (mounts, shared) = (self.mounts(), self.exported());
        let dir = open_dir(&self.dir).map_err(DeviceError::io("open", &self.dir))?;
        for name in [MOUNTS, SHARED] {
            make_dir(dir.as_fd(), name)
                .map_err(DeviceError::io("make the directory", self.dir.join(name)))?;
        }
        let top = BindOptions { read_only: true, ..BindOptions::default() };
        mount::bind(&mounts, &shared, top).map_err(DeviceError::io("bind", &shared))?;
        // For a daemon that makes a mount namespace itself: it follows.
        mount::make_shared(&shared, false).map_err(DeviceError::io("set the propagation of", &shared))
    }

    /// Adds a container's root file system, with the mounts below it.
    ///
    /// # Errors
    /// [`DeviceError::WrongSource`] unless `source` is a directory.
    pub fn add_rootfs(&self, id: &ContainerId, source: &Path, access: Access) -> Result<Shared, DeviceError> {
        let (fd, is_dir) = open_source(source)?;
        if !is_dir {
            let (path, found) = (source.to_owned(), "a file");
            return Err(DeviceError::WrongSource { path, found, expected: "a directory" });
        }
        self.add(id, "rootfs", fd.as_fd(), is_dir, access)
    }

    /// Adds a volume: a directory with the mounts below it, or a file. `number` tells a container's volumes apart.
    ///
    /// # Errors
    /// When `source` is missing, or the kernel refuses.
    pub fn add_volume(
        &self,
        id: &ContainerId,
        number: usize,
        source: &Path,
        access: Access,
    ) -> Result<Shared, DeviceError> {
        let (fd, is_dir) = open_source(source)?;
        self.add(id, &format!("vol-{number}"), fd.as_fd(), is_dir, access)
    }

    fn add(
        &self,
        id: &ContainerId,
        name: &str,
        source: BorrowedFd<'_>,
        is_dir: bool,
        access: Access,
    ) -> Result<Shared, DeviceError> {
        let place = self.exported().join(id.as_str()).join(name);
        let make = || -> io::Result<OwnedFd> {
            let top = open_dir(&self.mounts())?;
            let container = make_dir(top.as_fd(), id.as_str())?;
            if is_dir { make_dir(container.as_fd(), name) } else { make_file(container.as_fd(), name) }
        };
        make().map_err(DeviceError::io("make the mount point", &place))?;
        let options = BindOptions { recursive: is_dir, read_only: access == Access::ReadOnly, peer: false };
        let bound = match self.server.map(|server| server.open()) {
            None => bind_here(source, &place, options),
            Some(Ok(Some(server))) => mount::bind_into(&server, source, &place, options),
            Some(Ok(None)) => {
                Err(io::Error::new(io::ErrorKind::NotFound, "the process that serves it has ended"))
            }
            Some(Err(error)) => Err(error),
        };
        bound.map_err(DeviceError::io("bind on", &place))?;
        Ok(Shared { path: Path::new(id.as_str()).join(name), is_dir })
    }

    /// Takes all of a container's mounts away, and their mount points.
    ///
    /// # Errors
    /// At the first that stays.
    pub fn remove_container(&self, id: &ContainerId) -> Result<(), DeviceError> {
        let path = self.mounts().join(id.as_str());
        self.unmount_all(&[self.exported().join(id.as_str()), path.clone()])?;
        // Whatever is mounted on them in another namespace goes with the mount points.
        match open_dir(&self.mounts()) {
            Ok(top) => {
                remove_tree(top.as_fd(), OsStr::new(id.as_str())).map_err(DeviceError::io("remove", path))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(DeviceError::io("open", self.mounts())(error)),
        }
    }

    /// Takes the whole tree apart.
    ///
    /// # Errors
    /// At the first mount or directory that stays.
    pub fn remove(&self) -> Result<(), DeviceError> {
        let dir = match open_dir(&self.dir) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(DeviceError::io("open", &self.dir)(error)),
        };
        self.unmount_all(&[self.exported(), self.mounts()])?;
        for name in [SHARED, MOUNTS] {
            let path = self.dir.join(name);
            remove_tree(dir.as_fd(), OsStr::new(name)).map_err(DeviceError::io("remove", path))?;
        }
        Ok(())
    }

    /// Unmounts everything at and below these paths of the tree, the deepest first. A mount that is gone when its turn
    /// comes went with another one, by propagation.
    fn unmount_all(&self, paths: &[PathBuf]) -> Result<(), DeviceError> {
        let points = mount::mounts_under_canonical(&self.dir);
        let points = points.map_err(DeviceError::io("list the mounts under", &self.dir))?;
        for point in points.iter().filter(|point| paths.iter().any(|path| point.starts_with(path))) {
            mount::unmount(point).map_err(DeviceError::io("unmount", point))?;
        }
        Ok(())
    }
}

fn bind_here(source: BorrowedFd<'_>, place: &Path, options: BindOptions) -> io::Result<()> {
    if mount::is_mount_point(place)? {
        return Err(Errno::BUSY.into());
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = rustix::fs::openat(CWD, place, flags, Mode::empty())?;
    mount::bind_fd(source, target.as_fd(), options)
}

/// Opens what is to be shared, once and for all, and tells whether it is a directory.
fn open_source(path: &Path) -> Result<(OwnedFd, bool), DeviceError> {
    let open = || -> io::Result<(OwnedFd, FileType)> {
        let fd = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        Ok((fd, kind))
    };
    let (fd, kind) = open().map_err(DeviceError::io("open", path))?;
    Ok((fd, kind == FileType::Directory))
}

fn make_dir(dir: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o750)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    open_beneath(dir, Path::new(name), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
}

fn make_file(dir: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW;
    drop(open_beneath(dir, Path::new(name), flags, Mode::from_raw_mode(0o640))?);
    open_beneath(dir, Path::new(name), OFlags::PATH, Mode::empty())
}
