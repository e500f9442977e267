//! The file that tells how a process ended.

use std::{io, path::Path, time::SystemTime};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use virtcontainers_sys::fs::{Durability, open_beneath, open_dir, read_bounded, write_atomically};
use virtcontainers_types::ExecId;

use super::exit_name;

/// The largest exit file that is read, in bytes.
const MAX: u64 = 4096;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Its exit code; 128+n for a signal n.
    pub code: i32,
    /// When, in milliseconds since the Unix epoch, by the host's clock.
    pub ended: u64,
}

impl ExitRecord {
    /// An end of this moment.
    #[must_use]
    pub fn now(code: i32) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { code, ended: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Writes it beside the process's log: whole or not at all, and lasting.
    ///
    /// # Errors
    /// As `write(2)`, `fsync(2)` and `rename(2)`.
    pub fn write(&self, dir: &Path, exec: &ExecId) -> io::Result<()> {
        use std::os::fd::AsFd as _;
        let dir = open_dir(dir)?;
        let bytes = serde_json::to_vec(self)?;
        write_atomically(dir.as_fd(), &exit_name(exec), &bytes, Durability::Full)
    }

    /// What a process's shim has left in `dir`; `None` while there is nothing.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is no such file.
    pub fn read(dir: &Path, exec: &ExecId) -> io::Result<Option<Self>> {
        use std::os::fd::AsFd as _;
        let read = || {
            let dir = open_dir(dir)?;
            let name = exit_name(exec);
            let file = open_beneath(
                dir.as_fd(),
                Path::new(&name),
                OFlags::RDONLY | OFlags::NONBLOCK,
                Mode::empty(),
            )?;
            Ok(serde_json::from_slice(&read_bounded(file, MAX)?)?)
        };
        match read() {
            Ok(exit) => Ok(Some(exit)),
            Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
