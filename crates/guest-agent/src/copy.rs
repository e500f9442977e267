//! Files that the host copies into the guest, piece by piece (`CopyFile`).
//!
//! Invariants: nothing is touched outside of the base directory, and no symbolic link is followed on the way to the
//! target; a regular file appears under its name only when its last piece has come, whole and with its owner and mode.

use std::{
    fs::File,
    hash::{Hash as _, Hasher as _},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid},
    io::Errno,
};
use virtcontainers_agent_protocol::{api::agent::CopyFileRequest, guest_paths};

use crate::error::CallError;

/// Parts of a path.
const MAX_DEPTH: usize = 64;

/// Bytes of one part (`NAME_MAX`).
const MAX_NAME: usize = 255;

/// Bytes of a link's target (`PATH_MAX` less its end).
const MAX_LINK: usize = 4095;

/// Permissions that a file may get.
const PERMISSIONS: u32 = 0o7777;

/// Those of a directory that the request only implies.
const IMPLIED_PERMISSIONS: u32 = 0o777;

/// Those when the request names none.
const DEFAULT_DIRECTORY: u32 = 0o755;

/// What a request makes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Made {
    Directory,
    Link { target: String },
    File { offset: u64, size: u64, data: Vec<u8> },
}

/// A request whose every field is in its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The directories below the base.
    parents: Vec<String>,
    name: String,
    made: Made,
    mode: u32,
    parent_mode: u32,
    uid: Option<Uid>,
    gid: Option<Gid>,
}

impl Piece {
    /// Checks a request without touching anything. Its path lies below [`guest_paths::BASE`]; the type in `file_mode`
    /// may be absent and then means a regular file; an owner of -1 is left as it comes.
    ///
    /// # Errors
    /// [`CallError::Invalid`] with the first field that is out of its bounds.
    pub fn new(mut request: CopyFileRequest) -> Result<Self, CallError> {
        let (parents, name) = split(&request.path)?;
        let made = match FileType::from_raw_mode(request.file_mode) {
            FileType::Directory => Made::Directory,
            FileType::Symlink => Made::Link { target: link_target(std::mem::take(&mut request.data))? },
            FileType::RegularFile => file(&mut request)?,
            FileType::Unknown if request.file_mode & !PERMISSIONS == 0 => file(&mut request)?,
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => {
                let reason = format!(
                    "{:#o} is not of a type that is copied: regular files, directories and symbolic links are",
                    request.file_mode
                );
                return Err(CallError::Invalid { field: "file_mode", reason });
            }
        };
        Ok(Self {
            parents,
            name,
            made,
            mode: request.file_mode & PERMISSIONS,
            parent_mode: request.dir_mode & IMPLIED_PERMISSIONS,
            uid: owner("uid", request.uid)?.map(Uid::from_raw),
            gid: owner("gid", request.gid)?.map(Gid::from_raw),
        })
    }

    /// Does what the request asks for, below `base`, which is made if need be.
    ///
    /// # Errors
    /// [`CallError::Io`] as the kernel has it, with `ELOOP` for a symbolic link on the way; [`CallError::Invalid`] for
    /// a piece that does not follow on those before it; [`CallError::Exists`] where a directory is in the way.
    pub fn apply(self, base: &Path) -> Result<(), CallError> {
        std::fs::create_dir_all(base).map_err(CallError::io("make", base))?;
        let path = self.parents.iter().fold(base.to_owned(), |path, part| path.join(part)).join(&self.name);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |doing| CallError::io(doing, path.clone());
        let mut parent = rustix::fs::open(base, flags, Mode::empty())
            .map_err(|error| CallError::io("open", base)(error.into()))?;
        let implied = if self.parent_mode == 0 { DEFAULT_DIRECTORY } else { self.parent_mode };
        for part in &self.parents {
            let entered = self.enter(&parent, part, implied);
            parent = entered.map_err(|error| failed("make the directories of")(error.into()))?;
        }
        match &self.made {
            Made::Directory => self.make_directory(&parent).map_err(failed("copy the directory")),
            Made::Link { target } => {
                let made = self.make_link(&parent, target);
                made.map_err(|error| in_the_way(error, &path, "copy the link"))
            }
            Made::File { offset, size, data } => {
                let part = self.write_piece(&parent, *offset, data).map_err(|error| match error {
                    WriteError::Gap => CallError::Invalid {
                        field: "offset",
                        reason: format!("the pieces of `{}` before {offset} have not come", path.display()),
                    },
                    WriteError::Io(source) => failed("write a piece of")(source),
                })?;
                if offset + data.len() as u64 == *size {
                    let done = self.finish(&parent, &part, *size);
                    done.map_err(|error| in_the_way(error, &path, "complete"))?;
                }
                Ok(())
            }
        }
    }

    /// Opens directory `name` in `at`, and makes it first if it is not there.
    fn enter(&self, at: &OwnedFd, name: &str, mode: u32) -> Result<OwnedFd, Errno> {
        match open_directory(at, name) {
            Err(Errno::NOENT) => {}
            opened => return opened,
        }
        match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(mode)) {
            Ok(()) => {
                let made = open_directory(at, name)?;
                rustix::fs::chownat(at, name, self.uid, self.gid, AtFlags::SYMLINK_NOFOLLOW)?;
                Ok(made)
            }
            Err(Errno::EXIST) => open_directory(at, name),
            Err(error) => Err(error),
        }
    }

    /// A directory that is there already only gets its owner and mode.
    fn make_directory(&self, parent: &OwnedFd) -> io::Result<()> {
        match rustix::fs::unlinkat(parent, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT | Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        drop(self.enter(parent, &self.name, self.mode & IMPLIED_PERMISSIONS)?);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = open_beneath(parent, &self.name, flags, 0)?;
        self.own(&directory)
    }

    /// Made beside and renamed, so that the name is never without its link.
    fn make_link(&self, parent: &OwnedFd, target: &str) -> io::Result<()> {
        let part = part_name(&self.name);
        remove(parent, &part)?;
        rustix::fs::symlinkat(target, parent, &part)?;
        rustix::fs::chownat(parent, &part, self.uid, self.gid, AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::renameat(parent, &part, parent, &self.name)?;
        Ok(())
    }

    fn write_piece(&self, parent: &OwnedFd, offset: u64, data: &[u8]) -> Result<File, WriteError> {
        let part = part_name(&self.name);
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = if offset == 0 {
            remove(parent, &part)?;
            open_beneath(parent, &part, flags | OFlags::CREATE | OFlags::EXCL, 0o600)
        } else {
            open_beneath(parent, &part, flags, 0)
        };
        let file = match opened {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) if offset > 0 => return Err(WriteError::Gap),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() < offset {
            return Err(WriteError::Gap);
        }
        file.write_all_at(data, offset)?;
        Ok(file)
    }

    fn finish(&self, parent: &OwnedFd, part: &File, size: u64) -> io::Result<()> {
        // What an earlier, longer attempt may have left behind the last piece.
        part.set_len(size)?;
        self.own(part)?;
        rustix::fs::renameat(parent, part_name(&self.name), parent, &self.name)?;
        Ok(())
    }

    /// The owner first: changing it takes the set-user-id bits away.
    fn own(&self, file: impl AsFd) -> io::Result<()> {
        rustix::fs::fchown(&file, self.uid, self.gid)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(self.mode))?;
        Ok(())
    }
}

enum WriteError {
    Gap,
    Io(io::Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The parts of a path below the base.
fn split(path: &str) -> Result<(Vec<String>, String), CallError> {
    let invalid = |reason: &str| CallError::Invalid {
        field: "path",
        reason: format!("{reason}: give a plain path below {}", guest_paths::BASE),
    };
    let below = path.strip_prefix(guest_paths::BASE).and_then(|rest| rest.strip_prefix('/'));
    let below = below.ok_or_else(|| invalid("it is not below the directory that files are copied to"))?;
    let mut parts: Vec<String> =
        below.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    if parts.len() > MAX_DEPTH {
        return Err(invalid("it is too deep"));
    }
    if parts.iter().any(|part| part == "." || part == ".." || part.len() > MAX_NAME || part.contains('\0')) {
        return Err(invalid("a part of it is `.` or `..`, longer than 255 bytes or has a NUL in it"));
    }
    let name = parts.pop().ok_or_else(|| invalid("it names the directory itself"))?;
    Ok((parts, name))
}

fn link_target(data: Vec<u8>) -> Result<String, CallError> {
    let invalid = |reason: String| CallError::Invalid { field: "data", reason };
    if data.is_empty() || data.len() > MAX_LINK || data.contains(&0) {
        return Err(invalid(format!("a link's target has 1 to {MAX_LINK} bytes and no NUL")));
    }
    String::from_utf8(data).map_err(|error| invalid(format!("the link's target is not UTF-8: {error}")))
}

fn file(request: &mut CopyFileRequest) -> Result<Made, CallError> {
    let bytes = |field, value: i64| {
        u64::try_from(value)
            .map_err(|_negative| CallError::Invalid { field, reason: format!("{value} is negative") })
    };
    let (offset, size) = (bytes("offset", request.offset)?, bytes("file_size", request.file_size)?);
    let end = offset.checked_add(request.data.len() as u64).filter(|end| *end <= size);
    if end.is_none() {
        let reason = format!("{} bytes at {offset} go beyond the file's {size} bytes", request.data.len());
        return Err(CallError::Invalid { field: "data", reason });
    }
    Ok(Made::File { offset, size, data: std::mem::take(&mut request.data) })
}

fn owner(field: &'static str, id: i32) -> Result<Option<u32>, CallError> {
    match u32::try_from(id) {
        Ok(id) => Ok(Some(id)),
        Err(_negative) if id == -1 => Ok(None),
        Err(_negative) => Err(CallError::Invalid { field, reason: format!("{id} is no id") }),
    }
}

/// The name under which `name` grows: as short as any, and the same for each of its pieces.
fn part_name(name: &str) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    name.hash(&mut hasher);
    format!(".vc-part-{:016x}", hasher.finish())
}

fn open_directory(at: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    open_beneath(at, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, 0)
}

fn open_beneath(at: &OwnedFd, name: &str, flags: OFlags, mode: u32) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(at, name, flags, Mode::from_raw_mode(mode), resolve)
}

fn remove(parent: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A rename onto a directory.
fn in_the_way(error: io::Error, path: &Path, doing: &'static str) -> CallError {
    if error.kind() == io::ErrorKind::IsADirectory {
        return CallError::Exists { what: "directory", id: path.display().to_string() };
    }
    CallError::io(doing, path)(error)
}
