//! Unpacks a tar stream that a container wrote. The container is hostile.
//!
//! - Nothing is made outside of the destination: names are taken apart into components, `..` and absolute names are
//!   refused, and each directory on the way is opened by itself without following links.
//! - Every name must be under the one that was asked for.
//! - What describes an entry is bounded; only its content is not, and that goes to disk as it comes.
//! - An existing file is replaced, not written through; what is neither a file nor a link is never replaced.
//! - No devices, no sockets, no set-user-ID bits; owners only when asked for.

mod entry;
mod place_at;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd},
    path::{Component, Path, PathBuf},
};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use tar::{Archive, EntryType};
use thiserror::Error;

use entry::{Described, Descriptions};
use place_at::{Parents, clear};

/// How many different warnings are kept.
const WARNINGS: usize = 20;

/// Where an archive goes.
#[derive(Debug, Clone)]
pub(super) struct Landing {
    /// An existing directory.
    pub(super) dir: PathBuf,
    /// What the archive's top is called there; none when what is in the top goes into the directory itself.
    pub(super) name: Option<OsString>,
    /// The top must be a directory.
    pub(super) want_directory: bool,
    /// The top must not be a directory: it replaces a file.
    pub(super) want_file: bool,
}

/// What may come with it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Keep {
    /// Owner and group, by number.
    pub(super) owners: bool,
    /// Symbolic links that point out of what is copied.
    pub(super) all_links: bool,
}

/// What has been unpacked.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// What was left out, and why; at most [`WARNINGS`] of them.
    pub(super) warnings: BTreeSet<String>,
    pub(super) left_out: u64,
}

/// Why an archive was not unpacked to its end.
#[derive(Debug, Error)]
pub(crate) enum UnpackError {
    /// The archive is not what it should be.
    #[error("the container sent an archive that is refused: {0}")]
    Refused(String),
    /// The archive and the destination do not fit together.
    #[error("{0}")]
    Unfit(String),
    /// The stream broke, or is no archive.
    #[error("cannot read the archive that the container sent")]
    Read(#[source] io::Error),
    /// The host refused something.
    #[error("cannot make {}", .path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Unpacks a stream whose every name is under `top`, or anywhere without one.
pub(super) fn unpack(
    from: impl Read,
    top: Option<&str>,
    landing: &Landing,
    keep: Keep,
) -> Result<Unpacked, UnpackError> {
    let dir = rustix::fs::open(&landing.dir, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| UnpackError::Make { path: landing.dir.clone(), source: errno.into() })?;
    let mut work = Unpacking { dir: dir.as_fd(), landing, top, keep, done: Unpacked::default() };
    let mut archive = Archive::new(from);
    let mut descriptions = Descriptions::default();
    for entry in archive.entries().map_err(UnpackError::Read)?.raw(true) {
        let mut entry = entry.map_err(UnpackError::Read)?;
        if let Some(described) = descriptions.take(&mut entry)? {
            work.entry(&described, &mut entry)?;
        }
    }
    Ok(work.done)
}

struct Unpacking<'a> {
    dir: BorrowedFd<'a>,
    landing: &'a Landing,
    top: Option<&'a str>,
    keep: Keep,
    done: Unpacked,
}

impl Unpacking<'_> {
    fn entry(&mut self, entry: &Described, content: &mut impl Read) -> Result<(), UnpackError> {
        let inner = self.under_top(&entry.name)?;
        if inner.is_empty() {
            self.fits(entry)?;
        }
        let path = self.landed(inner);
        let Some((name, parents)) = path.split_last() else {
            // The destination itself, which is there already.
            return Ok(());
        };
        let whole = self.landing.dir.join(path.iter().collect::<PathBuf>());
        let parents = match Parents::open(self.dir, parents) {
            Ok(parents) => parents,
            Err(source) => return Err(UnpackError::Make { path: whole, source }),
        };
        self.done.entries += 1;
        let kind = entry.kind;
        let made = if kind.is_file() || kind.is_contiguous() {
            self.file(&parents, name, entry, content)
        } else if kind.is_dir() {
            self.directory(&parents, name, entry)
        } else if kind.is_symlink() {
            self.symlink(&parents, name, entry, inner.len())
        } else if kind.is_hard_link() {
            self.hard_link(&parents, name, entry)
        } else {
            self.leave_out(entry, &format!("{} is not copied", what(kind)));
            Ok(())
        };
        made.map_err(|failure| match failure {
            Failure::Host(source) => UnpackError::Make { path: whole, source },
            Failure::Archive(source) => UnpackError::Read(source),
            Failure::Refused(error) => error,
        })
    }

    /// The components below the top.
    fn under_top<'e>(&self, name: &'e [OsString]) -> Result<&'e [OsString], UnpackError> {
        match (self.top, name.split_first()) {
            (None, _) => Ok(name),
            (Some(top), Some((first, rest))) if first == top => Ok(rest),
            (Some(top), _) => Err(UnpackError::Refused(format!(
                "{:?} is not under {top:?}, which was asked for",
                name.iter().collect::<PathBuf>()
            ))),
        }
    }

    /// Where something below the top goes, from the directory.
    fn landed(&self, inner: &[OsString]) -> Vec<OsString> {
        self.landing.name.iter().chain(inner).cloned().collect()
    }

    fn fits(&self, top: &Described) -> Result<(), UnpackError> {
        let is_directory = top.kind.is_dir();
        let target = self
            .landing
            .name
            .as_ref()
            .map_or_else(|| self.landing.dir.clone(), |name| self.landing.dir.join(name));
        match (is_directory, self.landing) {
            (true, Landing { want_file: true, .. }) => Err(UnpackError::Unfit(format!(
                "cannot copy a directory over the file {}: name a directory, or a name that is not taken",
                target.display()
            ))),
            (false, Landing { want_directory: true, .. }) => Err(UnpackError::Unfit(format!(
                "cannot copy a file to {}/, which is no directory: make it first, or leave the slash out",
                target.display()
            ))),
            (true | false, _) => Ok(()),
        }
    }

    fn file(
        &mut self,
        parents: &Parents,
        name: &OsString,
        entry: &Described,
        content: &mut impl Read,
    ) -> Result<(), Failure> {
        clear(parents.as_fd(), name)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(parents, name, flags, Mode::RUSR | Mode::WUSR)?);
        self.done.bytes += pour(content, &mut file, entry.size)?;
        self.owner(&file, entry)?;
        rustix::fs::fchmod(&file, permissions(entry.mode))?;
        rustix::fs::futimens(&file, &times(entry))?;
        Ok(())
    }

    fn directory(&self, parents: &Parents, name: &OsString, entry: &Described) -> Result<(), Failure> {
        // What comes into it later is made by us: it stays writable for its owner.
        let mode = permissions(entry.mode) | Mode::RWXU;
        match rustix::fs::mkdirat(parents, name, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(parents, name, flags, Mode::empty())?;
        self.owner(&dir, entry)?;
        rustix::fs::fchmod(&dir, mode)?;
        Ok(())
    }

    fn symlink(
        &mut self,
        parents: &Parents,
        name: &OsString,
        entry: &Described,
        depth: usize,
    ) -> Result<(), Failure> {
        // The link is in a directory that is `depth - 1` below the top; the top itself has nothing around it.
        if !self.keep.all_links && !stays_inside(&entry.link, depth.saturating_sub(1)) {
            self.leave_out(
                entry,
                &format!(
                    "a symbolic link to {}, which is not part of the copy (--all-links makes it)",
                    entry.link.display()
                ),
            );
            return Ok(());
        }
        clear(parents.as_fd(), name)?;
        rustix::fs::symlinkat(&entry.link, parents, name)?;
        if self.keep.owners {
            let (uid, gid) = entry.owner()?;
            rustix::fs::chownat(parents, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    fn hard_link(&mut self, parents: &Parents, name: &OsString, entry: &Described) -> Result<(), Failure> {
        let link = entry::components(entry.link.as_os_str()).map_err(Failure::Refused)?;
        let target = self.landed(self.under_top(&link).map_err(Failure::Refused)?);
        let Some((old_name, old_parents)) = target.split_last() else {
            return Err(Failure::Refused(UnpackError::Refused("a hard link to the whole copy".to_owned())));
        };
        let old = Parents::open(self.dir, old_parents)?;
        place_at::link(&old, old_name, parents, name)?;
        Ok(())
    }

    fn owner(&self, of: impl AsFd, entry: &Described) -> Result<(), Failure> {
        if self.keep.owners {
            let (uid, gid) = entry.owner()?;
            rustix::fs::fchown(of, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    fn leave_out(&mut self, entry: &Described, why: &str) {
        self.done.left_out += 1;
        if self.done.warnings.len() < WARNINGS {
            self.done.warnings.insert(format!("{}: {why}", entry.name.iter().collect::<PathBuf>().display()));
        }
    }
}

/// Why one entry was not made.
enum Failure {
    Host(io::Error),
    Archive(io::Error),
    Refused(UnpackError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Host(errno.into())
    }
}

impl Described {
    /// Owner and group, where they are numbers that the kernel takes.
    fn owner(&self) -> Result<(Uid, Gid), Failure> {
        let number = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
        match (number(self.uid), number(self.gid)) {
            (Some(uid), Some(gid)) => Ok((Uid::from_raw(uid), Gid::from_raw(gid))),
            (_, _) => Err(Failure::Refused(UnpackError::Refused(format!("owner {}:{}", self.uid, self.gid)))),
        }
    }
}

/// Pours an entry's whole content into a file.
fn pour(content: &mut impl Read, file: &mut File, size: u64) -> Result<u64, Failure> {
    let mut piece = vec![0; 128 * 1024];
    let mut done = 0;
    loop {
        let len = content.read(&mut piece).map_err(Failure::Archive)?;
        if len == 0 {
            break;
        }
        io::Write::write_all(file, &piece[..len])?;
        done += len as u64;
    }
    if done == size { Ok(done) } else { Err(Failure::Archive(io::ErrorKind::UnexpectedEof.into())) }
}

/// Whether a link's target, seen from a directory `depth` below the top, is under the top. Upwards it may lead at its
/// beginning only, where nothing but real directories lie: after a name, which may be a link itself, `..` could lead
/// anywhere.
fn stays_inside(target: &Path, depth: usize) -> bool {
    let mut up = 0;
    let mut named = false;
    for component in target.components() {
        match component {
            Component::Prefix(_) | Component::RootDir => return false,
            Component::ParentDir if named => return false,
            Component::ParentDir => up += 1,
            Component::Normal(_) => named = true,
            Component::CurDir => {}
        }
    }
    up <= depth
}

/// The nine permission bits.
fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o777)
}

fn times(entry: &Described) -> Timestamps {
    let time = Timespec { tv_sec: i64::try_from(entry.mtime).unwrap_or(i64::MAX), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn what(kind: EntryType) -> &'static str {
    match kind.as_byte() {
        b'3' => "a character device",
        b'4' => "a block device",
        b'6' => "a named pipe",
        _ => "something that is no file, directory or link",
    }
}

#[cfg(test)]
mod tests;
