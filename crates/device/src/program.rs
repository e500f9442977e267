//! Finding the programs of daemons.

use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::DeviceError;

/// A daemon's program, and how a host comes by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// The file's name.
    pub name: &'static str,
    /// Where it is besides `PATH` and `~/.cargo/bin`.
    pub places: &'static [&'static str],
    /// What to tell a user who does not have it.
    pub remedy: &'static str,
}

impl Program {
    /// The path to execute: the configured one, or the first found on `PATH`, in `~/.cargo/bin`, and in the program's
    /// own places.
    ///
    /// # Errors
    /// [`DeviceError::NotInstalled`] with the command that installs it, [`DeviceError::NoSuchProgram`].
    pub fn find(&self, configured: Option<&Path>) -> Result<PathBuf, DeviceError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        self.find_in(configured, &path, std::env::var_os("HOME").as_deref())
    }

    fn find_in(
        &self,
        configured: Option<&Path>,
        path: &OsStr,
        home: Option<&OsStr>,
    ) -> Result<PathBuf, DeviceError> {
        if let Some(configured) = configured {
            let missing = || DeviceError::NoSuchProgram { program: self.name, path: configured.to_owned() };
            return is_executable(configured).then(|| configured.to_owned()).ok_or_else(missing);
        }
        let home = home.map(|home| Path::new(home).join(".cargo/bin"));
        let places = self.places.iter().map(PathBuf::from);
        let searched: Vec<PathBuf> = std::env::split_paths(path).chain(home).chain(places).collect();
        let found = searched.iter().map(|dir| dir.join(self.name)).find(|file| is_executable(file));
        found.ok_or(DeviceError::NotInstalled { program: self.name, searched, remedy: self.remedy })
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
