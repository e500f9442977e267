//! The system calls by which records and directories are written, each a point at which a test makes the disk fail or the
//! process die.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};
use virtcontainers_sys::fs::{Durability, open_beneath};

/// Records are for the owner and the group.
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);

/// What happens in the place of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// It fails with this error number.
    Error(i32),
    /// The process aborts before it.
    Abort,
    /// Of a write only so many bytes are done, then the process aborts.
    Torn(usize),
    /// Of a write only so many bytes are done.
    Short(usize),
}

#[derive(Debug)]
struct Plan {
    target: Option<(usize, DiskFault)>,
    passed: Mutex<Vec<&'static str>>,
}

/// Which system call of a store's writing goes wrong. Clones share their count; the default one does nothing.
#[derive(Debug, Clone, Default)]
pub struct DiskFaults(Option<Arc<Plan>>);

impl DiskFaults {
    /// No faults; [`DiskFaults::passed`] tells what was called.
    #[must_use]
    pub fn counting() -> Self {
        Self(Some(Arc::new(Plan { target: None, passed: Mutex::default() })))
    }

    /// One fault, at the call with this index.
    #[must_use]
    pub fn at(index: usize, fault: DiskFault) -> Self {
        Self(Some(Arc::new(Plan { target: Some((index, fault)), passed: Mutex::default() })))
    }

    /// The calls so far.
    #[must_use]
    pub fn passed(&self) -> Vec<&'static str> {
        let plan = self.0.as_ref();
        plan.map(|plan| plan.passed.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .unwrap_or_default()
    }

    /// Counts a call. The fault that is to be in its place, unless it is one of those that happen here.
    fn pass(&self, call: &'static str) -> io::Result<Option<DiskFault>> {
        let Some(plan) = &self.0 else { return Ok(None) };
        let index = {
            let mut passed = plan.passed.lock().unwrap_or_else(PoisonError::into_inner);
            passed.push(call);
            passed.len() - 1
        };
        match plan.target {
            Some((target, fault)) if target == index => match fault {
                DiskFault::Error(number) => Err(io::Error::from_raw_os_error(number)),
                DiskFault::Abort => std::process::abort(),
                DiskFault::Torn(_) | DiskFault::Short(_) => Ok(Some(fault)),
            },
            Some(_) | None => Ok(None),
        }
    }
}

/// What [`Disk::append`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appended {
    /// The file was not there, and has only these bytes now.
    First,
    /// The bytes follow others.
    Further,
    /// Nothing: what has the name is no regular file, or would grow beyond the limit.
    No,
}

/// The disk, as a store writes to it.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) durability: Durability,
    pub(super) faults: DiskFaults,
}

impl Disk {
    pub(super) fn make_dir(&self, dir: BorrowedFd<'_>, name: &str, mode: Mode) -> io::Result<()> {
        self.faults.pass("mkdir")?;
        Ok(rustix::fs::mkdirat(dir, name, mode)?)
    }

    /// Gives a directory another name, one that is free.
    pub(super) fn rename_new(&self, dir: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
        self.faults.pass("rename")?;
        Ok(rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE)?)
    }

    pub(super) fn rename(&self, dir: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
        self.faults.pass("rename")?;
        Ok(rustix::fs::renameat(dir, from, dir, to)?)
    }

    /// Removes a file; one that is not there is no error. Whether it was there.
    pub(super) fn unlink(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
        self.faults.pass("unlink")?;
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a tree.
    pub(super) fn remove_tree(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        self.faults.pass("remove")?;
        virtcontainers_sys::fs::remove_tree(dir, name.as_ref())
    }

    /// Makes names durable, where anything is to be.
    pub(super) fn sync_dir(&self, dir: BorrowedFd<'_>) -> io::Result<()> {
        if self.durability == Durability::NoSync {
            return Ok(());
        }
        self.faults.pass("fsync directory")?;
        virtcontainers_sys::fs::fsync_dir(dir)
    }

    /// Makes a file's content durable; one that is gone needs nothing.
    pub(super) fn sync_file(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        self.faults.pass("open")?;
        match open_beneath(dir, Path::new(name), OFlags::RDONLY, Mode::empty()) {
            Ok(file) => {
                self.faults.pass("fdatasync")?;
                Ok(rustix::fs::fdatasync(file)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Adds `bytes` to the end of the regular file `name` by one `write(2)`, or makes it.
    ///
    /// Nothing is synced. After the death of the process the bytes are there whole or, if the kernel was interrupted at
    /// the border of a page, in part.
    pub(super) fn append(
        &self,
        dir: BorrowedFd<'_>,
        name: &str,
        bytes: &[u8],
        limit: u64,
    ) -> io::Result<Appended> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW;
        let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
        self.faults.pass("open")?;
        let file = match rustix::fs::openat(dir, name, flags, FILE_MODE) {
            Ok(file) => file,
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Ok(Appended::No),
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&file)?;
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !regular || size.saturating_add(bytes.len() as u64) > limit {
            return Ok(Appended::No);
        }
        if self.write(&file, bytes)? < bytes.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "no room for all of it"));
        }
        Ok(if size == 0 { Appended::First } else { Appended::Further })
    }

    /// Replaces `name` in one step, by way of a temporary file; what a killed writer left of that is written over.
    pub(super) fn replace(
        &self,
        dir: BorrowedFd<'_>,
        temporary: &str,
        name: &str,
        bytes: &[u8],
    ) -> io::Result<()> {
        let written = self.write_new(dir, temporary, bytes).and_then(|()| self.rename(dir, temporary, name));
        if let Err(error) = written {
            // The first error is the one to tell; a file that stays is known by its name.
            rustix::fs::unlinkat(dir, temporary, AtFlags::empty()).ok();
            return Err(error);
        }
        self.sync_dir(dir)
    }

    fn write_new(&self, dir: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.faults.pass("open")?;
        let file = rustix::fs::openat(dir, name, flags, FILE_MODE)?;
        let done = self.write(&file, bytes)?;
        let mut file = File::from(file);
        file.write_all(bytes.get(done..).unwrap_or_default())?;
        match self.durability {
            Durability::Full => {
                self.faults.pass("fsync")?;
                file.sync_all()
            }
            Durability::NoSync => Ok(()),
        }
    }

    fn write(&self, file: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
        match self.faults.pass("write")? {
            Some(DiskFault::Torn(length)) => {
                rustix::io::write(file.as_fd(), bytes.get(..length).unwrap_or(bytes))?;
                std::process::abort()
            }
            Some(DiskFault::Short(length)) => {
                Ok(rustix::io::write(file.as_fd(), bytes.get(..length).unwrap_or(bytes))?)
            }
            Some(DiskFault::Error(_) | DiskFault::Abort) | None => {
                Ok(rustix::io::write(file.as_fd(), bytes)?)
            }
        }
    }
}
