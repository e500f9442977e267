//! The `newc` cpio archive, as the kernel unpacks it into its initramfs
//! (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Reproducible by construction: entries sorted by path, no times, owner 0:0, inode numbers by position.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const TRAILER: &str = "TRAILER!!!";

/// What is at a path.
#[derive(Debug)]
enum Node<'a> {
    Directory,
    File(&'a [u8]),
    CharDevice { major: u32, minor: u32 },
}

/// A tree to be written as an archive. Paths are relative, without `.` and `..`; directories above an entry come by themselves
/// (mode 0755).
#[derive(Debug, Default)]
pub(crate) struct Archive<'a> {
    entries: BTreeMap<String, (u32, Node<'a>)>,
}

impl<'a> Archive<'a> {
    pub(crate) fn directory(&mut self, path: &str, permissions: u32) {
        self.add(path, permissions, Node::Directory);
    }

    pub(crate) fn file(&mut self, path: &str, permissions: u32, bytes: &'a [u8]) {
        self.add(path, permissions, Node::File(bytes));
    }

    pub(crate) fn char_device(&mut self, path: &str, permissions: u32, major: u32, minor: u32) {
        self.add(path, permissions, Node::CharDevice { major, minor });
    }

    fn add(&mut self, path: &str, permissions: u32, node: Node<'a>) {
        for (slash, _) in path.match_indices('/') {
            self.entries.entry(path[..slash].to_owned()).or_insert((0o755, Node::Directory));
        }
        self.entries.insert(path.to_owned(), (permissions, node));
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// The writer's, and [`io::ErrorKind::FileTooLarge`] for a file of 4 GiB or more, which the format cannot hold.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for (inode, (path, (permissions, node))) in (1u32..).zip(&self.entries) {
            let (kind, links, device, data): (_, _, _, &[u8]) = match node {
                Node::Directory => (DIRECTORY, 2, (0, 0), &[]),
                Node::File(bytes) => (REGULAR, 1, (0, 0), bytes),
                Node::CharDevice { major, minor } => (CHARACTER_DEVICE, 1, (*major, *minor), &[]),
            };
            entry(out, inode, kind | permissions, links, device, path, data)?;
        }
        entry(out, 0, 0, 1, (0, 0), TRAILER, &[])
    }
}

/// One entry: magic and 13 fields of 8 hexadecimal digits, the NUL-terminated path, the data; both padded to 4 bytes.
fn entry(
    out: &mut impl Write,
    inode: u32,
    mode: u32,
    links: u32,
    (major, minor): (u32, u32),
    path: &str,
    data: &[u8],
) -> io::Result<()> {
    let size = u32::try_from(data.len()).ok().ok_or(io::ErrorKind::FileTooLarge)?;
    let name_size = u32::try_from(path.len() + 1).ok().ok_or(io::ErrorKind::InvalidFilename)?;
    // inode, mode, uid, gid, links, mtime, size, device of the file, device it stands for, path length, checksum.
    let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
    out.write_all(b"070701")?;
    for field in fields {
        write!(out, "{field:08x}")?;
    }
    out.write_all(path.as_bytes())?;
    // Header (110 bytes), path and its NUL, up to a multiple of 4.
    out.write_all(&[0; 4][..1 + padding(110 + path.len() + 1)])?;
    out.write_all(data)?;
    out.write_all(&[0; 4][..padding(data.len())])
}

const fn padding(length: usize) -> usize {
    (4 - length % 4) % 4
}

#[cfg(test)]
mod tests;
