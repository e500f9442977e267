//! Places below an open directory, reached without following a link.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

/// An open directory below another.
#[derive(Debug)]
pub(super) enum Parents<'a> {
    /// The other itself.
    Top(BorrowedFd<'a>),
    /// Further down.
    Below(OwnedFd),
}

impl<'a> Parents<'a> {
    /// Opens the directory at these names; makes the directories that are not there.
    pub(super) fn open(top: BorrowedFd<'a>, names: &[OsString]) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = Self::Top(top);
        for name in names {
            let opened = match rustix::fs::openat(&at, name, flags, Mode::empty()) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755))?;
                    rustix::fs::openat(&at, name, flags, Mode::empty())
                }
                other => other,
            };
            at = Self::Below(opened.map_err(|errno| match errno {
                Errno::NOTDIR | Errno::LOOP => io::Error::other(format!(
                    "{} on the way to it is a symbolic link or a file; links are not followed",
                    name.display()
                )),
                errno => errno.into(),
            })?);
        }
        Ok(at)
    }
}

impl AsFd for Parents<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Top(fd) => *fd,
            Self::Below(fd) => fd.as_fd(),
        }
    }
}

/// Makes room for a new file or link: removes a file or link of this name.
pub(super) fn clear(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Symlink => {
                Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
            }
            FileType::Directory => Err(io::Error::other("there is a directory of this name")),
            FileType::BlockDevice
            | FileType::CharacterDevice
            | FileType::Fifo
            | FileType::Socket
            | FileType::Unknown => {
                Err(io::Error::other("there is something of this name that is no regular file"))
            }
        },
    }
}

/// Makes a hard link to a regular file.
pub(super) fn link(old_dir: &Parents<'_>, old: &OsStr, dir: &Parents<'_>, name: &OsStr) -> io::Result<()> {
    let stat = rustix::fs::statat(old_dir, old, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other(format!("a hard link to {}, which is no regular file", old.display())));
    }
    let there = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    if there.is_ok_and(|there| (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino)) {
        return Ok(());
    }
    clear(dir.as_fd(), name)?;
    Ok(rustix::fs::linkat(old_dir, old, dir, name, AtFlags::empty())?)
}
