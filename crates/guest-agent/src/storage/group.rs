//! The group that shall own the files of a storage, so that processes of any user in it can work with them.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown},
    path::{Path, PathBuf},
};

/// Files of one storage that are looked at.
const MAX_FILES: usize = 1 << 20;

/// Read and write for the group; reading alone where nothing can be written.
const READ_WRITE: u32 = 0o660;
const READ: u32 = 0o440;

/// To enter directories, and new files in them get the group, too.
const DIRECTORY: u32 = 0o2110;

/// A group and when the files get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsGroup {
    /// Its number in the guest.
    pub id: u32,
    /// Only if the storage's root has another one.
    pub on_mismatch_only: bool,
}

/// Gives everything at and below `root` to the group. Symbolic links stay as they are.
///
/// # Errors
/// As chown(2) and chmod(2); `FileTooLarge` for a tree with too many files.
pub(super) fn give(root: &Path, group: &FsGroup, read_only: bool) -> io::Result<()> {
    if group.on_mismatch_only && fs::symlink_metadata(root)?.gid() == group.id {
        return Ok(());
    }
    let mut left: Vec<PathBuf> = vec![root.to_owned()];
    let mut count = 0;
    while let Some(path) = left.pop() {
        count += 1;
        if count > MAX_FILES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_symlink() {
            continue;
        }
        let is_directory = metadata.is_dir();
        lchown(&path, None, Some(group.id))?;
        let more = if read_only { READ } else { READ_WRITE } | if is_directory { DIRECTORY } else { 0 };
        fs::set_permissions(&path, fs::Permissions::from_mode(metadata.mode() & 0o7777 | more))?;
        if is_directory {
            for entry in fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        }
    }
    Ok(())
}
