//! Publishing an image: all its files or none, in one step.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::{error::BuildError, image::MANIFEST};

/// Writes a file and waits for the disk.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(BuildError::io("write", path))
}

/// A directory in the making, beside the one that it will become. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Staged {
    room: tempfile::TempDir,
    target: PathBuf,
}

impl Staged {
    /// Prepares to publish at `target`, which may be absent, empty, or an image to be replaced.
    pub(crate) fn new(target: &Path) -> Result<Self, BuildError> {
        let target = match fs::canonicalize(target) {
            Ok(present) => present,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::path::absolute(target).map_err(BuildError::io("resolve", target))?
            }
            Err(source) => return Err(BuildError::Io { action: "resolve", path: target.to_owned(), source }),
        };
        if target.exists() && !target.join(MANIFEST).is_file() {
            let mut entries = fs::read_dir(&target).map_err(BuildError::io("list", &target))?;
            if entries.next().is_some() {
                return Err(BuildError::OutputOccupied { path: target });
            }
        }
        let parent = target.parent().unwrap_or(&target);
        fs::create_dir_all(parent).map_err(BuildError::io("create", parent))?;
        let room = tempfile::Builder::new().prefix(".guest-").tempdir_in(parent);
        let room = room.map_err(BuildError::io("create a directory in", parent))?;
        Ok(Self { room, target })
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BuildError> {
        write_file(&self.room.path().join(name), bytes)
    }

    /// Puts the directory in its place and removes the image that was there. Returns the place.
    pub(crate) fn publish(self) -> Result<PathBuf, BuildError> {
        let (from, to) = (self.room.path(), self.target.as_path());
        fs::set_permissions(from, Permissions::from_mode(0o755))
            .map_err(BuildError::io("open to readers", from))?;
        sync_directory(from)?;
        if to.exists() {
            match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
                Ok(()) => {}
                // Filesystems without the exchange: two steps, between which there is no image.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                    let old = from.with_extension("old");
                    fs::rename(to, &old).map_err(BuildError::io("move aside", to))?;
                    fs::rename(from, to).map_err(BuildError::io("create", to))?;
                    fs::rename(&old, from).map_err(BuildError::io("rename", &old))?;
                }
                Err(error) => {
                    return Err(BuildError::Io {
                        action: "replace",
                        path: self.target,
                        source: error.into(),
                    });
                }
            }
            // What is in the room now is the old image.
            let old = from.to_owned();
            self.room.close().map_err(BuildError::io("remove the replaced image", &old))?;
        } else {
            fs::rename(from, to).map_err(BuildError::io("create", to))?;
            drop(self.room.keep());
        }
        sync_directory(self.target.parent().unwrap_or(&self.target))?;
        Ok(self.target)
    }
}

fn sync_directory(path: &Path) -> Result<(), BuildError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(BuildError::io("sync", path))
}
