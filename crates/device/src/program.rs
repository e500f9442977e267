//! Finding the programs of daemons.

use std::path::{Path, PathBuf};

use virtcontainers_sys::program::{find_in, is_executable};

use crate::DeviceError;

/// A daemon's program, and how a host comes by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// The file's name.
    pub name: &'static str,
    /// The name of one that does the same, taken where there is none of that name.
    pub otherwise: Option<&'static str>,
    /// Where it is besides the places of all programs.
    pub places: &'static [&'static str],
    /// What to tell a user who does not have it.
    pub remedy: &'static str,
}

impl Program {
    /// The path to execute: the configured one, or the first found beside this process's own program or `beside` another
    /// one, on `PATH`, in `~/.cargo/bin`, and in the program's own places.
    ///
    /// # Errors
    /// [`DeviceError::NotInstalled`] with the command that installs it, [`DeviceError::NoSuchProgram`].
    pub fn find(&self, configured: Option<&Path>, beside: Option<&Path>) -> Result<PathBuf, DeviceError> {
        let this = std::env::current_exe().ok();
        let near = this.as_deref().into_iter().chain(beside).filter_map(Path::parent);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo/bin"));
        self.find_in(configured, near.map(PathBuf::from).chain(std::env::split_paths(&path)).chain(home))
    }

    fn find_in(
        &self,
        configured: Option<&Path>,
        dirs: impl Iterator<Item = PathBuf>,
    ) -> Result<PathBuf, DeviceError> {
        if let Some(configured) = configured {
            let missing = || DeviceError::NoSuchProgram { program: self.name, path: configured.to_owned() };
            return is_executable(configured).then(|| configured.to_owned()).ok_or_else(missing);
        }
        let searched: Vec<PathBuf> = dirs.chain(self.places.iter().map(PathBuf::from)).collect();
        let find = |name: &str| find_in(searched.iter().cloned(), Path::new(name));
        let found = find(self.name).or_else(|| find(self.otherwise?));
        found.ok_or(DeviceError::NotInstalled { program: self.name, searched, remedy: self.remedy })
    }
}

#[cfg(test)]
mod tests;
