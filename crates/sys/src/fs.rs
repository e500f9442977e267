//! Files that survive a crash whole: the old content or the new one, never a mixture.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags},
    io::Errno,
};

/// Names of files on their way to be renamed start so. One that is left over belongs to a writer that was killed.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// Whether a write must survive the loss of power.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// File and directory are synced before the write returns.
    #[default]
    Full,
    /// Nothing is synced: whole after the death of any process, not after the death of the kernel.
    NoSync,
}

/// Opens a directory for use as a starting point; symbolic links on the way to it are followed.
///
/// # Errors
/// As `open(2)`.
pub fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens what `path` leads to from `dir`, refusing every symbolic link on the way and every way out of `dir`
/// (`openat2(2)` with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`).
///
/// # Errors
/// `ELOOP` for a symbolic link, `EXDEV` for a way out.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..8 {
        match rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, mode, resolve) {
            // A rename somewhere on the host while the kernel walked.
            Err(Errno::AGAIN) => {}
            done => return Ok(done?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Replaces the content of `name` in `dir` in one step, with mode 0640: temporary file, sync, rename, sync of `dir`.
///
/// # Errors
/// As `open(2)`, `write(2)`, `fsync(2)` and `rename(2)`; the old content stays, but for an error of the last sync.
pub fn write_atomically(
    dir: BorrowedFd<'_>,
    name: &str,
    bytes: &[u8],
    durability: Durability,
) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = format!("{TEMPORARY_PREFIX}{name}-{}-{number}", std::process::id());
    write_by_way_of(dir, &temporary, name, bytes, durability)
}

/// [`write_atomically`] for the only writer of `name`, who chooses the temporary file's name: what a killed writer left
/// under it is written over.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_by_way_of(
    dir: BorrowedFd<'_>,
    temporary: &str,
    name: &str,
    bytes: &[u8],
    durability: Durability,
) -> io::Result<()> {
    let written = write_new(dir, temporary, bytes, durability)
        .and_then(|()| Ok(rustix::fs::renameat(dir, temporary, dir, name)?));
    if let Err(error) = written {
        // The first error is the one to tell; a file that stays is known by its prefix.
        rustix::fs::unlinkat(dir, temporary, AtFlags::empty()).ok();
        return Err(error);
    }
    match durability {
        Durability::Full => fsync_dir(dir),
        Durability::NoSync => Ok(()),
    }
}

fn write_new(dir: BorrowedFd<'_>, name: &str, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o640))?);
    file.write_all(bytes)?;
    match durability {
        Durability::Full => file.sync_all(),
        Durability::NoSync => Ok(()),
    }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// As `fsync(2)`.
pub fn fsync_dir(dir: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fsync(dir)?)
}

/// Files up to this size are read by one call.
const SMALL: usize = 8 << 10;

/// Reads a regular file of at most `limit` bytes, given by a descriptor that does not block.
///
/// # Errors
/// `FileTooLarge` beyond `limit`; `InvalidInput` for anything but a regular file.
pub fn read_bounded(file: OwnedFd, limit: u64) -> io::Result<Vec<u8>> {
    let mut start = [0; SMALL];
    let length = match rustix::io::read(&file, &mut start) {
        Ok(length) => length,
        Err(Errno::ISDIR | Errno::AGAIN) => return Err(not_regular()),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = start.get(..length).unwrap_or_default().to_vec();
    // A regular file gives all that it has: who gives less has no more, and who gives nothing may be something else.
    if length == 0 || length == SMALL {
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_regular());
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let rest = size.min(limit + 1).saturating_sub(length as u64);
        bytes.reserve(usize::try_from(rest).unwrap_or(0) + 1);
        File::from(file).take(rest).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {limit} bytes")));
    }
    Ok(bytes)
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// Removes `name` in `dir` and all below it, staying within its mount: a mount point on the way ends the removal before
/// anything behind it is touched. Symbolic links are removed, never followed. What is not there is no error.
///
/// # Errors
/// `CrossesDevices` or `ResourceBusy` for a mount point.
pub fn remove_tree(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    remove_below(dir, name, MAX_DEPTH)
}

/// Room for the entries of a directory that are read at once, in bytes.
const ENTRIES: usize = 2 << 10;

/// Directories nested deeper than this are not ours.
const MAX_DEPTH: u32 = 64;

fn remove_below(dir: BorrowedFd<'_>, name: &OsStr, depth: u32) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => remove_dir(dir, name, depth),
        Err(error) => Err(error.into()),
    }
}

fn remove_dir(dir: BorrowedFd<'_>, name: &OsStr, depth: u32) -> io::Result<()> {
    let depth = depth.checked_sub(1).ok_or(Errno::LOOP)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let inside = rustix::fs::openat2(dir, name, flags, Mode::empty(), resolve)?;
    let mut buffer = [MaybeUninit::uninit(); ENTRIES];
    let mut entries = RawDir::new(&inside, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            remove_dir(inside.as_fd(), name, depth)?;
        } else {
            remove_below(inside.as_fd(), name, depth)?;
        }
    }
    match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
