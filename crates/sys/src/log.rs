//! Logs of a bounded size: what is appended stays whole, and at its limit a file becomes the old one, of which there is
//! one. [`trim`] does the same to a file that another process appends to.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    mem::MaybeUninit,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, RawDir},
    io::Errno,
};

use crate::fs::{Durability, open_dir, write_atomically};

/// What the name of the old file ends in.
pub const OLD_SUFFIX: &str = ".1";

/// Room for the entries of a directory that are read at once, in bytes.
const ENTRIES: usize = 2 << 10;

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

/// The size at which the log of a helper process is cut, in bytes; longer ones of a process that can be held to it cannot be
/// (see [`crate::spawn::Spawn::largest_file`]).
pub const HELPER_LIMIT: u64 = 4 << 20;

/// [`trim`]s every `<name>.log` in a directory.
///
/// # Errors
/// At the first that cannot be cut.
pub fn trim_all(dir: &Path, limit: u64) -> io::Result<()> {
    let opened = open_dir(dir)?;
    let mut buffer = [MaybeUninit::uninit(); ENTRIES];
    let mut entries = RawDir::new(&opened, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && name.ends_with(".log")
        {
            trim(dir, name, limit)?;
        }
    }
    Ok(())
}

/// Bounds a file to which other processes append, each write at the end (`O_APPEND`): at more than `limit` bytes its end
/// becomes the old file `<name>.1`, in place of an earlier one, and it begins anew. What is written in that very moment is
/// lost. `true`: it was cut. No such file, or anything but a regular one, is left alone.
///
/// # Errors
/// As `open(2)`, `read(2)` and `write(2)`.
pub fn trim(dir: &Path, name: &str, limit: u64) -> io::Result<bool> {
    let dir = open_dir(dir)?;
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&dir, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let data = file.metadata()?;
    if !data.is_file() || data.len() <= limit {
        return Ok(false);
    }
    let mut end = Vec::new();
    (&file).seek(SeekFrom::Start(data.len() - limit))?;
    (&file).take(limit).read_to_end(&mut end)?;
    write_atomically(dir.as_fd(), &format!("{name}{OLD_SUFFIX}"), &end, Durability::NoSync)?;
    file.set_len(0)?;
    Ok(true)
}

fn open_file(dir: &OwnedFd, name: &str) -> io::Result<(File, u64)> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir.as_fd(), name, flags, Mode::from_raw_mode(0o640))?);
    let length = file.metadata()?.len();
    Ok((file, length))
}
