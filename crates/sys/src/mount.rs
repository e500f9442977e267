//! Mounts of this process's mount namespace, and binds into another's.
//!
//! What is bound, and where, is given by descriptor wherever somebody else could swap a path in between; a bind that is
//! to be read-only is so before it becomes visible.

mod apart;

use std::{
    ffi::OsString,
    fs, io,
    mem::size_of,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags,
    },
};

pub use apart::bind_into;

/// What a bind mount is to be like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BindOptions {
    /// Take along the mounts below the source.
    pub recursive: bool,
    /// Refuse writes through this mount (and through the ones below, when recursive).
    pub read_only: bool,
    /// Stay a peer of the source, where that is shared: mounts made later on either side appear on the other one.
    /// Without it the bind shares nothing: to unmount it, with what is below, leaves the source's mounts alone.
    pub peer: bool,
}

/// Binds the file or directory `source` onto `target`, both given by descriptors (`O_PATH` will do): no path is
/// resolved, so no symbolic link can lead astray.
///
/// # Errors
/// As `open_tree(2)`, `mount_setattr(2)` and `move_mount(2)`; `NotADirectory` when only one of the two is a directory.
pub fn bind_fd(source: BorrowedFd<'_>, target: BorrowedFd<'_>, options: BindOptions) -> io::Result<()> {
    attach(&detached(source, options)?, target)
}

/// A copy of a mount that is nowhere yet; dropped, it is gone.
fn detached(source: BorrowedFd<'_>, options: BindOptions) -> io::Result<OwnedFd> {
    let recursive = if options.recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | recursive;
    let tree = rustix::mount::open_tree(source, "", flags)?;
    // Before it is visible: no write slips through, and no unmount passes to the source's peers.
    let attributes = if options.read_only { libc::MOUNT_ATTR_RDONLY } else { 0 };
    let propagation = if options.peer { 0 } else { libc::MS_PRIVATE };
    set_attributes(tree.as_fd(), attributes, propagation, options.recursive)?;
    Ok(tree)
}

fn attach(tree: &OwnedFd, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree, "", target, "", flags)?)
}

/// Opens a path to mount on or from; a symbolic link as its last component is refused.
fn open_path(path: &Path) -> io::Result<OwnedFd> {
    let fd = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Symlink {
        return Err(Errno::LOOP.into());
    }
    Ok(fd)
}

/// [`bind_fd`] of two paths whose last components are no symbolic links.
///
/// # Errors
/// As [`bind_fd`].
pub fn bind(source: &Path, target: &Path, options: BindOptions) -> io::Result<()> {
    let (source, target) = (open_path(source)?, open_path(target)?);
    bind_fd(source.as_fd(), target.as_fd(), options)
}

/// Makes the mount at `target` refuse writes, and the ones below it when `recursive`.
///
/// # Errors
/// `InvalidInput` when `target` is no mount.
pub fn set_read_only(target: &Path, recursive: bool) -> io::Result<()> {
    set_attributes(open_path(target)?.as_fd(), libc::MOUNT_ATTR_RDONLY, 0, recursive)
}

#[expect(unsafe_code, reason = "rustix has no mount_setattr yet")]
fn set_attributes(mount: BorrowedFd<'_>, set: u64, propagation: u64, recursive: bool) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the kernel reads an empty C string and `size` bytes of `attributes`, both alive and initialized during
    // the call, and writes to neither.
    let code = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn propagation(target: &Path, kind: MountPropagationFlags, recursive: bool) -> io::Result<()> {
    let recursive = if recursive { MountPropagationFlags::REC } else { MountPropagationFlags::empty() };
    Ok(rustix::mount::mount_change(target, kind | recursive)?)
}

/// Lets mounts below `target` appear in its peers and slaves (`MS_SHARED`).
///
/// # Errors
/// `InvalidInput` when `target` is no mount.
pub fn make_shared(target: &Path, recursive: bool) -> io::Result<()> {
    propagation(target, MountPropagationFlags::SHARED, recursive)
}

/// Lets mounts appear below `target` that its former peers get, but not the other way round (`MS_SLAVE`).
///
/// # Errors
/// `InvalidInput` when `target` is no mount.
pub fn make_slave(target: &Path, recursive: bool) -> io::Result<()> {
    propagation(target, MountPropagationFlags::DOWNSTREAM, recursive)
}

/// Ends all propagation to and from `target` (`MS_PRIVATE`).
///
/// # Errors
/// `InvalidInput` when `target` is no mount.
pub fn make_private(target: &Path, recursive: bool) -> io::Result<()> {
    propagation(target, MountPropagationFlags::PRIVATE, recursive)
}

/// Mounts a tmpfs of at most `bytes` on `target`, with no device nodes, no programs with set-user-id.
///
/// # Errors
/// As `fsopen(2)`, `fsmount(2)` and `move_mount(2)`.
pub fn tmpfs(target: &Path, bytes: u64, mode: u32) -> io::Result<()> {
    let target = open_path(target)?;
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(context.as_fd(), "size", bytes.to_string())?;
    rustix::mount::fsconfig_set_string(context.as_fd(), "mode", format!("{mode:o}"))?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let tree = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    attach(&tree, target.as_fd())
}

/// Detaches the mount at `target`, with all below it, without following a symbolic link at its end. `false`: nothing
/// is mounted there, or nothing is there.
///
/// # Errors
/// As `umount2(2)`.
pub fn unmount(target: &Path) -> io::Result<bool> {
    match rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether something is mounted at `path` itself. A path that is not there is none.
///
/// # Errors
/// As `statx(2)`.
pub fn is_mount_point(path: &Path) -> io::Result<bool> {
    match rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, StatxFlags::empty())
    {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The mount points at and below `dir`, the deepest first; one that was mounted over appears once for each mount.
///
/// # Errors
/// When `dir` cannot be resolved for another reason than that it is not there, or `/proc` is not mounted.
pub fn mounts_under(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::canonicalize(dir) {
        Ok(dir) => mounts_under_canonical(&dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// [`mounts_under`] a path that is known to be absolute and free of symbolic links: nothing is resolved.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn mounts_under_canonical(dir: &Path) -> io::Result<Vec<PathBuf>> {
    /// More than the table of most hosts.
    const ROOM: usize = 32 << 10;
    let mut table = Vec::with_capacity(ROOM);
    io::Read::read_to_end(&mut fs::File::open("/proc/self/mountinfo")?, &mut table)?;
    let mut found: Vec<PathBuf> = mount_points(&table).filter(|point| point.starts_with(dir)).collect();
    found.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    Ok(found)
}

/// Field 5 of each line of a `mountinfo` (proc(5)), with its octal escapes undone.
fn mount_points(table: &[u8]) -> impl Iterator<Item = PathBuf> {
    table
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b' ').nth(4))
        .map(|field| PathBuf::from(OsString::from_vec(unescape(field))))
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..3).filter(|_| first == b'\\').and_then(|digits| {
            digits.iter().try_fold(0u32, |sum, &digit| Some(sum * 8 + char::from(digit).to_digit(8)?))
        });
        match code.and_then(|code| u8::try_from(code).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = &tail[3..];
            }
            None => {
                plain.push(first);
                rest = tail;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests;
