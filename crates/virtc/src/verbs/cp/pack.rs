//! Packs a file or a tree of the host as a tar stream for a container.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File, Metadata},
    io::{self, Read as _, Write},
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};
use thiserror::Error;

/// What is packed, and under which name.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    /// Where it is.
    pub(super) source: PathBuf,
    /// What its top is called in the archive; none when what is in the directory is packed, and not itself.
    pub(super) name: Option<OsString>,
    /// Owner and group come with it; otherwise everything belongs to root.
    pub(super) owners: bool,
}

/// What has been packed.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// What was left out, and why.
    pub(super) warnings: BTreeSet<String>,
}

/// Why an archive was not packed to its end.
#[derive(Debug, Error)]
pub(crate) enum PackError {
    /// Something of the host cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file that somebody else works on.
    #[error("{} has become shorter while it was read: copy it when nobody writes to it", .0.display())]
    Changed(PathBuf),
    /// The container takes no more.
    #[error("the container's tar does not take the archive")]
    Write(#[source] io::Error),
}

/// Packs it into a stream.
pub(super) fn pack(into: impl Write, parcel: &Parcel) -> Result<Packed, PackError> {
    let mut work = Packing { archive: Builder::new(into), owners: parcel.owners, done: Packed::default() };
    // Directories still to be looked into, each with its name in the archive.
    let mut ahead = Vec::new();
    match &parcel.name {
        Some(name) => work.entry(&parcel.source, Path::new(name), &mut ahead)?,
        None => ahead.push((parcel.source.clone(), PathBuf::new())),
    }
    while let Some((dir, name)) = ahead.pop() {
        let broken = |source| PackError::Read { path: dir.clone(), source };
        let mut names = fs::read_dir(&dir)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>())
            .map_err(broken)?;
        names.sort_unstable();
        for child in names {
            work.entry(&dir.join(&child), &name.join(&child), &mut ahead)?;
        }
    }
    work.archive.into_inner().and_then(|mut into| into.flush()).map_err(PackError::Write)?;
    Ok(work.done)
}

struct Packing<W: Write> {
    archive: Builder<W>,
    owners: bool,
    done: Packed,
}

impl<W: Write> Packing<W> {
    fn entry(
        &mut self,
        path: &Path,
        name: &Path,
        ahead: &mut Vec<(PathBuf, PathBuf)>,
    ) -> Result<(), PackError> {
        let broken = |source| PackError::Read { path: path.to_owned(), source };
        let about = fs::symlink_metadata(path).map_err(broken)?;
        let kind = about.file_type();
        if kind.is_dir() {
            let mut header = self.header(&about, EntryType::Directory, 0);
            self.archive.append_data(&mut header, name, io::empty()).map_err(PackError::Write)?;
            ahead.push((path.to_owned(), name.to_owned()));
        } else if kind.is_symlink() {
            let target = fs::read_link(path).map_err(broken)?;
            let mut header = self.header(&about, EntryType::Symlink, 0);
            self.archive.append_link(&mut header, name, target).map_err(PackError::Write)?;
        } else if kind.is_file() {
            self.file(path, name)?;
        } else {
            let what = if kind.is_socket() {
                "a socket"
            } else if kind.is_fifo() {
                "a named pipe"
            } else {
                "a device"
            };
            self.done.warnings.insert(format!("{}: {what} is not copied", path.display()));
            return Ok(());
        }
        self.done.entries += 1;
        Ok(())
    }

    fn file(&mut self, path: &Path, name: &Path) -> Result<(), PackError> {
        let broken = |source| PackError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(broken)?;
        let about = file.metadata().map_err(broken)?;
        let mut header = self.header(&about, EntryType::Regular, about.len());
        let mut content = Counted { file: file.take(about.len()), len: 0, failed: None };
        let written = self.archive.append_data(&mut header, name, &mut content);
        if let Some(error) = content.failed {
            return Err(broken(error));
        }
        written.map_err(PackError::Write)?;
        if content.len != about.len() {
            return Err(PackError::Changed(path.to_owned()));
        }
        self.done.bytes += content.len;
        Ok(())
    }

    fn header(&self, about: &Metadata, kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_metadata(about);
        header.set_entry_type(kind);
        header.set_size(size);
        if !self.owners {
            header.set_uid(0);
            header.set_gid(0);
        }
        header
    }
}

/// A file that is read: how much came, and whose fault it was when not all did.
struct Counted {
    file: io::Take<File>,
    len: u64,
    failed: Option<io::Error>,
}

impl io::Read for Counted {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self.file.read(piece) {
            Ok(len) => {
                self.len += len as u64;
                Ok(len)
            }
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}

#[cfg(test)]
mod tests;
