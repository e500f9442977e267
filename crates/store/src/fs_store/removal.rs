//! Removing sandboxes, and what dead processes left behind.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::fs::{Mode, OFlags};
use virtcontainers_sys::{
    fs::{open_beneath, open_dir},
    mount,
};
use virtcontainers_types::SandboxId;

use super::{
    FsStore, INCOMING, OUTGOING, SET_ASIDE,
    lock::Held,
    records::{RECORD, named_file},
};
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
        let remove = || self.disk.remove_tree(dir, &outgoing).map_err(StoreError::io("remove", path));
        let mut renamed = self.disk.rename(dir, name, &outgoing);
        let taken = [io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::AlreadyExists];
        if renamed.as_ref().is_err_and(|error| taken.contains(&error.kind())) {
            // One of the same name that could not be removed.
            remove()?;
            renamed = self.disk.rename(dir, name, &outgoing);
        }
        match renamed {
            Ok(()) => remove()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::io("rename", path)(error)),
        }
        self.disk.sync_dir(dir).map_err(StoreError::io("sync", path))
    }

    /// Moves the directory of a sandbox that is leased out of the way of all others, whole.
    pub(super) fn move_aside(&self, lease: &Lease) -> Result<PathBuf, StoreError> {
        let path = &self.held(lease)?.path;
        let mounts = mount::mounts_under_canonical(path);
        let mounts = mounts.map_err(StoreError::io("list the mounts under", path))?;
        if let Some(path) = mounts.into_iter().next() {
            return Err(StoreError::StillMounted { path });
        }
        let moved =
            self.place_aside(self.sandboxes.as_fd(), lease.id().as_str(), lease.id().as_str(), path)?;
        let there = moved.ok_or_else(|| StoreError::NotFound { id: lease.id().clone() })?;
        let done = self.disk.sync_dir(self.sandboxes.as_fd());
        done.map(|()| there).map_err(StoreError::io("sync", &self.sandboxes_path))
    }

    /// Moves the record of a container of a leased sandbox out of the way.
    pub(super) fn move_container_aside(
        &self,
        lease: &Lease,
        container: &str,
    ) -> Result<Option<PathBuf>, StoreError> {
        let held = self.held(lease)?;
        let name = named_file(container);
        // It came from a listing, in which no name has a separator.
        if name.contains('/') {
            return Ok(None);
        }
        let to = format!("{}-{container}", lease.id());
        let moved = self.place_aside(held.dir(), &name, &to, &held.path.join(&name))?;
        self.disk.sync_dir(held.dir()).map_err(StoreError::io("sync", &held.path))?;
        Ok(moved)
    }

    /// Moves `name` in `dir` among what was set aside, under a name with this stem and the time. `None`: it is not there.
    fn place_aside(
        &self,
        dir: BorrowedFd<'_>,
        name: &str,
        stem: &str,
        path: &Path,
    ) -> Result<Option<PathBuf>, StoreError> {
        let aside = self.root.join(SET_ASIDE);
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o750);
        builder.create(&aside).map_err(StoreError::io("make", &aside))?;
        let to = open_dir(&aside).map_err(StoreError::io("open", &aside))?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        for attempt in 0..1000 {
            let again = if attempt == 0 { String::new() } else { format!("-{attempt}") };
            let there = format!("{stem}-{seconds}{again}");
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(dir, name, &to, &there, flags) {
                Ok(()) => {
                    self.disk.sync_dir(to.as_fd()).map_err(StoreError::io("sync", &aside))?;
                    return Ok(Some(aside.join(there)));
                }
                Err(rustix::io::Errno::EXIST) => {}
                Err(rustix::io::Errno::NOENT) => return Ok(None),
                Err(error) => return Err(StoreError::io("set aside", path)(error)),
            }
        }
        Err(StoreError::io("set aside", path)(io::Error::from(io::ErrorKind::AlreadyExists)))
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
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io("open", path)(error)),
            };
            if let Some(_held) = Held::try_new(dir, path.clone()).map_err(StoreError::io("lock", &path))? {
                self.disk
                    .remove_tree(self.sandboxes.as_fd(), name)
                    .map_err(StoreError::io("remove", path))?;
            }
        }
        Ok(())
    }
}
