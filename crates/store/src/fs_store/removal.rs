//! Removing sandboxes, and what dead processes left behind.

use std::{ffi::OsStr, os::fd::AsFd as _, path::Path};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use virtcontainers_sys::{
    fs::{Durability, fsync_dir, open_beneath, remove_tree},
    mount,
};
use virtcontainers_types::SandboxId;

use super::{FsStore, INCOMING, OUTGOING, lock::Held, records::RECORD};
use crate::{Lease, StoreError, envelope::Kind};

impl FsStore {
    /// Removes the directory of a sandbox that is leased.
    pub(super) fn remove_sandbox(&self, lease: &Lease) -> Result<(), StoreError> {
        // The lock is kept to the end: whoever waits for it then finds the name gone.
        let path = &self.held(lease)?.path;
        let mounts = mount::mounts_under_canonical(path);
        let mounts = mounts.map_err(StoreError::io("list the mounts under", path))?;
        if let Some(path) = mounts.into_iter().next() {
            return Err(StoreError::StillMounted { path });
        }
        self.take_out(lease.id().as_str(), path)
    }

    /// Renames a sandbox out of sight and removes it: readers see it whole or not at all.
    fn take_out(&self, name: &str, path: &Path) -> Result<(), StoreError> {
        let dir = self.sandboxes.as_fd();
        let outgoing = format!("{OUTGOING}{name}-{}", std::process::id());
        let remove = || remove_tree(dir, OsStr::new(&outgoing)).map_err(StoreError::io("remove", path));
        let mut renamed = rustix::fs::renameat(dir, name, dir, &outgoing);
        if matches!(renamed, Err(Errno::NOTEMPTY | Errno::EXIST)) {
            // One of the same name that could not be removed.
            remove()?;
            renamed = rustix::fs::renameat(dir, name, dir, &outgoing);
        }
        match renamed {
            Ok(()) => remove()?,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(StoreError::io("rename", path)(error)),
        }
        match self.durability {
            Durability::Full => fsync_dir(dir).map_err(StoreError::io("sync", path)),
            Durability::NoSync => Ok(()),
        }
    }

    /// Frees an id whose claimant died before it recorded anything. `false`: the id is in use.
    pub(super) fn clear_abandoned(&self, id: &SandboxId) -> Result<bool, StoreError> {
        let path = self.sandbox_dir(id);
        let dir = match self.open_sandbox(id) {
            Ok(dir) => dir,
            Err(StoreError::NotFound { .. }) => return Ok(true),
            // A file or a symbolic link has the name.
            Err(_) => return Ok(false),
        };
        let Some(held) = Held::try_new(dir, path.clone()).map_err(StoreError::io("lock", &path))? else {
            return Ok(false);
        };
        // What cannot be read is not nothing.
        if !matches!(self.read(held.dir(), RECORD, Kind::Sandbox, || path.join(RECORD)), Ok(None)) {
            return Ok(false);
        }
        match self.confirm(id, held) {
            Ok(Some(lease)) => self.remove_sandbox(&lease).map(|()| true),
            Ok(None) | Err(StoreError::NotFound { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Removes the directories that a process was making or removing when it died. Those of living ones are locked.
    ///
    /// # Errors
    /// At the first that cannot be removed.
    pub fn sweep(&self) -> Result<(), StoreError> {
        let path = &self.sandboxes_path;
        for entry in rustix::fs::Dir::read_from(&self.sandboxes).map_err(StoreError::io("list", path))? {
            let entry = entry.map_err(StoreError::io("list", path))?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if !name.starts_with(INCOMING) && !name.starts_with(OUTGOING) {
                continue;
            }
            let path = path.join(name);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let dir = match open_beneath(self.sandboxes.as_fd(), Path::new(name), flags, Mode::empty()) {
                Ok(dir) => dir,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io("open", path)(error)),
            };
            if let Some(_held) = Held::try_new(dir, path.clone()).map_err(StoreError::io("lock", &path))? {
                remove_tree(self.sandboxes.as_fd(), OsStr::new(name))
                    .map_err(StoreError::io("remove", path))?;
            }
        }
        Ok(())
    }
}
