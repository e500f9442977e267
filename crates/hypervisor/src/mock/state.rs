//! A mock machine's state: one word, which is there as long as the machine is.
//!
//! The word is the target of a symbolic link that leads nowhere: making one is a single system call, and no reader ever
//! sees half of it.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::error::VmError;

/// Whether a mock machine's processors run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    Paused,
}

impl Life {
    const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
        }
    }
}

/// Where the word is.
#[derive(Debug)]
pub(super) struct StateFile(PathBuf);

impl StateFile {
    pub(super) fn in_dir(dir: &Path) -> Self {
        Self(dir.join("mock-vm"))
    }

    /// `None`: there is no machine.
    pub(super) fn read(&self) -> Result<Option<Life>, VmError> {
        let word = match fs::read_link(&self.0) {
            Ok(word) => word,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(VmError::io("read", &self.0)(error)),
        };
        let life = [Life::Running, Life::Paused].into_iter().find(|life| Path::new(life.word()) == word);
        life.map(Some).ok_or_else(|| VmError::io("understand", &self.0)(io::ErrorKind::InvalidData.into()))
    }

    /// Makes the machine. There is at most one in a directory.
    pub(super) fn create(&self, life: Life) -> Result<(), VmError> {
        symlink(life.word(), &self.0).map_err(VmError::io("create", &self.0))
    }

    /// Changes the machine's state.
    pub(super) fn change(&self, life: Life) -> Result<(), VmError> {
        let fresh = self.0.with_extension(life.word());
        match symlink(life.word(), &fresh) {
            // Left by a writer that was killed; it says the same.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(VmError::io("create", &fresh)(error));
            }
            Ok(()) | Err(_) => {}
        }
        fs::rename(&fresh, &self.0).map_err(VmError::io("write", &self.0))
    }

    /// Ends the machine, and all that is in it. Idempotent.
    pub(super) fn remove(&self) -> Result<(), VmError> {
        if let Some(dir) = self.0.parent() {
            super::nics::unplug_all(dir)?;
        }
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(VmError::io("remove", &self.0)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
