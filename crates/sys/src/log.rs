//! Logs of a bounded size: what is appended stays whole, and at its limit a file becomes the old one, of which there is
//! one.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::fs::open_dir;

/// What the name of the old file ends in.
pub const OLD_SUFFIX: &str = ".1";

/// A file `<name>` that is only appended to, and becomes `<name>.1` when it would grow beyond its limit: both together
/// take at most twice the limit. The directory is held open, so a rename of it does not matter.
#[derive(Debug)]
pub struct BoundedLog {
    dir: OwnedFd,
    name: String,
    limit: u64,
    file: File,
    length: u64,
}

impl BoundedLog {
    /// Opens `name` in `dir`, to append to what is there. A file that is made has mode 0640; a symbolic link in its
    /// place is refused.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open(dir: &Path, name: &str, limit: u64) -> io::Result<Self> {
        let dir = open_dir(dir)?;
        let (file, length) = open_file(&dir, name)?;
        Ok(Self { dir, name: name.to_owned(), limit, file, length })
    }

    /// Appends all of this, or nothing: what a full disk has cut short is taken back. So that nothing is torn between
    /// two files, give whole lines, each call at most the limit.
    ///
    /// # Errors
    /// As `write(2)`. To append again later is fine.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length > 0 && self.length + bytes.len() as u64 > self.limit {
            self.turn()?;
        }
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.file.set_len(self.length).ok(); // the first error is the one to tell
                Err(error)
            }
        }
    }

    /// Begins a new file; the one so far becomes the old one.
    fn turn(&mut self) -> io::Result<()> {
        let old = format!("{}{OLD_SUFFIX}", self.name);
        match rustix::fs::renameat(&self.dir, self.name.as_str(), &self.dir, old.as_str()) {
            // Gone already: an earlier turn got no further than that.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        (self.file, self.length) = open_file(&self.dir, &self.name)?;
        Ok(())
    }
}

fn open_file(dir: &OwnedFd, name: &str) -> io::Result<(File, u64)> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir.as_fd(), name, flags, Mode::from_raw_mode(0o640))?);
    let length = file.metadata()?.len();
    Ok((file, length))
}
