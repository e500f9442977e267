//! Reading and writing the files of records.
//!
//! A file is a log of one record: each write adds a line with the whole record, and the last line that is whole counts.
//! To add a line costs a tenth of replacing a file, and tears nothing: a line that a dying writer left in part has no
//! end, and the next one starts anew. A log that has grown is replaced by its last record.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, RawDir};
use serde_json::value::RawValue;
use virtcontainers_sys::fs::{Durability, open_beneath, read_bounded};
use virtcontainers_types::ContainerId;

use super::{FsStore, disk::Appended, lock::Held};
use crate::{
    Listed, MAX_RECORD_BYTES, StoreError,
    envelope::{self, Kind},
};

/// The file of a sandbox's record.
pub(super) const RECORD: &str = "record.json";
/// The file on the way to replace a record's. Only the holder of the lease writes, so one name will do.
const TEMPORARY: &str = ".tmp-record";
/// A container's file is `container.<id>.json`. Ids have no dots, so that these are no other file's names.
const CONTAINER: (&str, &str) = ("container.", ".json");
/// Logs up to this size are left alone, in bytes.
const LOG_ROOM: u64 = 16 << 10;
/// Larger ones may hold so many records of the size of the last one.
const LOG_RECORDS: u64 = 8;
/// Room for the entries of a directory that are read at once, in bytes.
const ENTRIES: usize = 4 << 10;

/// How long what is written must last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// As long as the kernel runs.
    Note,
    /// For ever, with all that the same lease has noted.
    Save,
}

/// What the holder of a lease has written and not synced.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    files: BTreeSet<String>,
    /// Names in the sandbox's directory.
    pub(super) names: bool,
    /// The name of the sandbox's directory.
    pub(super) claim: bool,
}

/// The name of a container's file.
pub(super) fn container_file(id: &ContainerId) -> String {
    named_file(id.as_str())
}

/// The file of a container's record, by the container's name, which may be no id.
pub(super) fn named_file(name: &str) -> String {
    format!("{}{name}{}", CONTAINER.0, CONTAINER.1)
}

/// What a log says.
#[derive(Debug, PartialEq, Eq)]
enum Said<'bytes> {
    /// This line, which is the last one that is whole; or what is there, where no writer of logs has been.
    Line(&'bytes [u8]),
    /// Nothing: its first line was not written to its end.
    Nothing,
    /// What follows the last whole line is not what a dying writer leaves, so that line may not be the last.
    Damaged(&'bytes [u8]),
}

/// A log begins with an empty line, as every line of it does, and so has nothing to say as long as its first one is not
/// whole.
fn last_line(bytes: &[u8]) -> Said<'_> {
    let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') else {
        return if bytes.is_empty() { Said::Nothing } else { Said::Line(bytes) };
    };
    let begun = bytes.get(end + 1..).unwrap_or_default();
    if !envelope::may_be_torn(begun) {
        return Said::Damaged(begun);
    }
    let lines = bytes.get(..end).unwrap_or_default().trim_ascii_end();
    match lines.rsplit(|&byte| byte == b'\n').next() {
        None | Some(b"") => Said::Nothing,
        Some(line) => Said::Line(line),
    }
}

impl FsStore {
    /// Reads a record, given relative to `dir`; `None` when it is not there, or only begun. `whole` is its path, for errors.
    pub(super) fn read(
        &self,
        dir: BorrowedFd<'_>,
        path: &str,
        kind: Kind,
        whole: impl Fn() -> PathBuf,
    ) -> Result<Option<Box<RawValue>>, StoreError> {
        // Without blocking, so that a FIFO in a record's place does not hold a reader up.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match open_beneath(dir, Path::new(path), flags, Mode::empty()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(StoreError::Foreign { path: whole() });
            }
            Err(error) => return Err(StoreError::io("open", whole())(error)),
        };
        match read_bounded(file, MAX_RECORD_BYTES) {
            Ok(bytes) => match last_line(&bytes) {
                Said::Nothing => Ok(None),
                Said::Line(line) | Said::Damaged(line) => envelope::open(kind, &whole, line).map(Some),
            },
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(StoreError::TooLarge { path: whole(), limit: MAX_RECORD_BYTES })
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Err(StoreError::Foreign { path: whole() })
            }
            Err(error) => Err(StoreError::io("read", whole())(error)),
        }
    }

    /// Writes the record `name` of a leased sandbox.
    pub(super) fn write(
        &self,
        held: &Held,
        name: &str,
        kind: Kind,
        body: &RawValue,
        keep: Keep,
    ) -> Result<(), StoreError> {
        let path = || held.path.join(name);
        let line = envelope::seal(kind, path, body)?;
        self.log(held, name, &line).map_err(StoreError::io("write", path()))?;
        match keep {
            Keep::Note => Ok(()),
            Keep::Save => self.settle(held),
        }
    }

    /// Adds a line, or replaces the file by it.
    fn log(&self, held: &Held, name: &str, line: &[u8]) -> io::Result<()> {
        let limit = (line.len() as u64 * LOG_RECORDS).clamp(LOG_ROOM, MAX_RECORD_BYTES);
        let appended = self.disk.append(held.dir(), name, line, limit)?;
        if appended == Appended::No {
            self.disk.replace(held.dir(), TEMPORARY, name, line)?;
        }
        if self.disk.durability == Durability::Full {
            let mut unsynced = held.unsynced();
            unsynced.names |= appended == Appended::First;
            unsynced.files.insert(name.to_owned());
        }
        Ok(())
    }

    /// Makes all durable that was written under this lease.
    pub(super) fn settle(&self, held: &Held) -> Result<(), StoreError> {
        if self.disk.durability == Durability::NoSync {
            return Ok(());
        }
        let mut unsynced = held.unsynced();
        while let Some(name) = unsynced.files.first() {
            // A container that was removed since needs nothing.
            self.disk.sync_file(held.dir(), name).map_err(StoreError::io("sync", held.path.join(name)))?;
            unsynced.files.pop_first();
        }
        if unsynced.names {
            self.disk.sync_dir(held.dir()).map_err(StoreError::io("sync", &held.path))?;
            unsynced.names = false;
        }
        if unsynced.claim {
            self.disk
                .sync_dir(self.sandboxes.as_fd())
                .map_err(StoreError::io("sync", &self.sandboxes_path))?;
            unsynced.claim = false;
        }
        Ok(())
    }

    /// Removes a container's record, and what else is kept of it in `containers/<id>`.
    pub(super) fn drop_container(&self, held: &Held, container: &ContainerId) -> Result<(), StoreError> {
        let failed = || StoreError::io("remove", held.path.join("containers").join(container.as_str()));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match open_beneath(held.dir(), Path::new("containers"), flags, Mode::empty()) {
            Ok(dir) => {
                self.disk.remove_tree(dir.as_fd(), container.as_str()).map_err(failed())?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed()(error)),
        }
        let name = container_file(container);
        match self.disk.unlink(held.dir(), &name) {
            Ok(true) => {
                held.unsynced().names = true;
                self.settle(held)
            }
            Ok(false) => Ok(()),
            Err(error) => Err(StoreError::io("remove", held.path.join(name))(error)),
        }
    }

    /// The records of all containers in the directory of a sandbox, ordered by name.
    pub(super) fn read_containers(
        &self,
        dir: &OwnedFd,
        path: &Path,
    ) -> Result<Vec<Listed<Box<RawValue>>>, StoreError> {
        let mut listed = Vec::new();
        let mut buffer = [std::mem::MaybeUninit::uninit(); ENTRIES];
        let mut entries = RawDir::new(dir, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(StoreError::io("list", path))?;
            let file = entry.file_name().to_string_lossy();
            let name = file.strip_prefix(CONTAINER.0).and_then(|rest| rest.strip_suffix(CONTAINER.1));
            let Some(name) = name else { continue };
            let whole = || path.join(file.as_ref());
            let record = match ContainerId::new(name) {
                Ok(_) => self.read(dir.as_fd(), &file, Kind::Container, whole).transpose(),
                Err(_) => Some(Err(StoreError::Foreign { path: whole() })),
            };
            // One that vanished meanwhile is in no list.
            if let Some(record) = record {
                listed.push(Listed { name: name.to_owned(), record });
            }
        }
        listed.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(listed)
    }
}

#[cfg(test)]
mod tests;
