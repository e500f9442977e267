//! Notes of what is attached, one file each, so that another process can check and undo it.
//!
//! A file is written before the first plugin runs, completed by the result, and removed when all plugins have undone
//! their part. Its name is `<network>:<container>:<interface>`; none of the three may have a colon.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::DirBuilderExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use virtcontainers_sys::fs::{Durability, open_dir, read_bounded, write_atomically};

use super::{Attachment, CniError, NetworkList, Object, Version};

/// Largest file that is read: a description, a result and what is around them.
const FILE_LIMIT: u64 = 4 << 20;

/// What is noted of an attachment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The network, as it was described at the time.
    pub(super) network: NetworkList,
    /// The version that its plugins are spoken to in.
    pub(super) version: Version,
    /// The parameters.
    pub(super) attachment: Attachment,
    /// The result of the last plugin; none where ADD has not come to its end.
    pub(super) result: Option<Object>,
}

/// The directory of the notes.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    dir: OwnedFd,
}

impl Cache {
    /// Opens the directory, and makes it where it is missing: a description may hold secrets, so only its owner may look.
    pub(super) fn make(path: &Path) -> Result<Self, CniError> {
        let failed = |source| CniError::Cache { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let dir = open_dir(path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), dir })
    }

    /// Opens the directory; none where it is missing, for then nothing is attached.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, CniError> {
        match open_dir(path) {
            Ok(dir) => Ok(Some(Self { path: path.to_owned(), dir })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CniError::Cache { path: path.to_owned(), source }),
        }
    }

    /// What is noted of the attachment.
    pub(super) fn load(&self, network: &str, attachment: &Attachment) -> Result<Option<Entry>, CniError> {
        let name = file_name(network, attachment);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.dir, &name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.failed(&name, error.into())),
        };
        let bytes = read_bounded(file, FILE_LIMIT).map_err(|error| self.failed(&name, error))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| self.failed(&name, error.into()))
    }

    /// Notes it, whole or not at all. Nothing is synced: what is attached does not outlive the kernel either.
    pub(super) fn save(&self, entry: &Entry) -> Result<(), CniError> {
        let name = file_name(&entry.network.name, &entry.attachment);
        serde_json::to_vec(entry)
            .map_err(io::Error::from)
            .and_then(|bytes| write_atomically(self.dir.as_fd(), &name, &bytes, Durability::NoSync))
            .map_err(|error| self.failed(&name, error))
    }

    /// Removes the note.
    pub(super) fn forget(&self, entry: &Entry) -> Result<(), CniError> {
        let name = file_name(&entry.network.name, &entry.attachment);
        match rustix::fs::unlinkat(&self.dir, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed(&name, error.into())),
        }
    }

    fn failed(&self, name: &str, source: io::Error) -> CniError {
        CniError::Cache { path: self.path.join(name), source }
    }
}

/// All three parts are checked names.
fn file_name(network: &str, attachment: &Attachment) -> String {
    format!("{network}:{}:{}", attachment.container_id, attachment.ifname)
}
