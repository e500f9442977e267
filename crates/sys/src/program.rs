//! Where programs are.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Whether a path leads to a file that somebody may execute.
#[must_use]
pub fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The first executable file of this name in these directories.
#[must_use]
pub fn find_in(dirs: impl IntoIterator<Item = PathBuf>, name: &Path) -> Option<PathBuf> {
    dirs.into_iter().map(|dir| dir.join(name)).find(|file| is_executable(file))
}

/// The file that starting this program would execute, as `execvp(3)` finds it: a path is that file, a plain name is looked
/// for on `PATH`.
#[must_use]
pub fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 || program.is_absolute() {
        return is_executable(program).then(|| program.to_owned());
    }
    find_in(std::env::split_paths(&std::env::var_os("PATH")?), program)
}
