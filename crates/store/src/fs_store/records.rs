//! Reading and writing the files of records.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{Dir, Mode, OFlags},
    io::Errno,
};
use virtcontainers_sys::fs::{Durability, fsync_dir, open_beneath, read_bounded, write_atomically};
use virtcontainers_types::ContainerId;

use super::{DIR_MODE, FsStore};
use crate::{Listed, MAX_RECORD_BYTES, StoreError};

/// The name of every record's file.
pub(super) const RECORD: &str = "record.json";

impl FsStore {
    /// Reads a record, given relative to the directory of sandboxes; `None` when it is not there.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let whole = || self.sandboxes_path.join(path);
        // Without blocking, so that a FIFO in a record's place does not hold a reader up.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match open_beneath(self.sandboxes.as_fd(), Path::new(path), flags, Mode::empty()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(StoreError::Foreign { path: whole() });
            }
            Err(error) => return Err(StoreError::io("open", whole())(error)),
        };
        match read_bounded(file, MAX_RECORD_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(StoreError::TooLarge { path: whole(), limit: MAX_RECORD_BYTES })
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Err(StoreError::Foreign { path: whole() })
            }
            Err(error) => Err(StoreError::io("read", whole())(error)),
        }
    }

    /// Replaces the record in `dir`; `path` is for errors.
    pub(super) fn write(&self, dir: BorrowedFd<'_>, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        write_atomically(dir, RECORD, bytes, self.durability).map_err(StoreError::io("write", path))
    }

    /// The directory of a container within its sandbox's, made if it is not there; `path` is for errors.
    pub(super) fn container_dir(
        &self,
        sandbox: BorrowedFd<'_>,
        path: &Path,
        container: &ContainerId,
    ) -> Result<OwnedFd, StoreError> {
        let containers = self.subdir(sandbox, "containers", path)?;
        self.subdir(containers.as_fd(), container.as_str(), path)
    }

    fn subdir(&self, dir: BorrowedFd<'_>, name: &str, path: &Path) -> Result<OwnedFd, StoreError> {
        match rustix::fs::mkdirat(dir, name, DIR_MODE) {
            Ok(()) if self.durability == Durability::Full => {
                fsync_dir(dir).map_err(StoreError::io("sync", path))?
            }
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(StoreError::io("make the directory", path)(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        open_beneath(dir, Path::new(name), flags, Mode::empty()).map_err(StoreError::io("open", path))
    }

    /// Lists the entries of `dir` by name, leaving out those on their way in or out and those that vanish meanwhile.
    pub(super) fn list_dir<T>(
        &self,
        dir: Dir,
        path: &Path,
        load: impl Fn(&str) -> Result<T, StoreError>,
    ) -> Result<Vec<Listed<T>>, StoreError> {
        let mut names = Vec::new();
        for entry in dir {
            let entry = entry.map_err(StoreError::io("list", path))?;
            let name = entry.file_name().to_string_lossy();
            if !name.starts_with('.') {
                names.push(name.into_owned());
            }
        }
        names.sort_unstable();
        let listed = names.into_iter().filter_map(|name| {
            let record = load(&name);
            let vanished =
                matches!(record, Err(StoreError::NotFound { .. } | StoreError::NoContainer { .. }));
            (!vanished).then_some(Listed { name, record })
        });
        Ok(listed.collect())
    }
}
