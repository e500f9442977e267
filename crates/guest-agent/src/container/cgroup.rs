//! A container's cgroup (cgroup v2): what is in it, and its files. Limits are the business of [`super::update`].

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use tokio::io::Interest;

use crate::sys;

/// Where the hierarchy is mounted.
pub const HIERARCHY: &str = "/sys/fs/cgroup";

/// The group of which every container's is a child, as a path in the hierarchy.
pub const PARENT: &str = "/vc";

/// How deep a workload's own groups are followed.
const MAX_DEPTH: usize = 32;

/// A container's group.
#[derive(Debug, Clone)]
pub struct Cgroup {
    directory: PathBuf,
}

impl Cgroup {
    /// The group of container `id`, whether it exists or not.
    #[must_use]
    pub fn of(id: &str) -> Self {
        Self::at(Path::new(&format!("{HIERARCHY}{PARENT}")), id)
    }

    /// The group named `id` below `parent`.
    #[must_use]
    pub fn at(parent: &Path, id: &str) -> Self {
        Self { directory: parent.join(id) }
    }

    /// Makes the group, with every controller that the guest has. One that exists is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn make(&self) -> io::Result<()> {
        let Some(parent) = self.directory.parent() else { return Err(io::ErrorKind::InvalidInput.into()) };
        make_directory(parent)?;
        let controllers = fs::read_to_string(parent.join("cgroup.controllers"))?;
        let all: Vec<String> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
        if !all.is_empty() {
            fs::write(parent.join("cgroup.subtree_control"), all.join(" "))?;
        }
        make_directory(&self.directory)
    }

    /// The text of one of its files; none when the kernel has no such file, as without its controller.
    ///
    /// # Errors
    /// As read(2).
    pub fn read(&self, file: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.directory.join(file)) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::OPNOTSUPP.raw_os_error()) => {
                Ok(None)
            }
            read => absent_is_none(read),
        }
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Kills everything in it with `SIGKILL`; a group that is gone is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self) -> io::Result<()> {
        absent_is_fine(fs::write(self.directory.join("cgroup.kill"), "1"))
    }

    /// Sends signal `number` to everything in it; how many processes there were.
    ///
    /// # Errors
    /// When the processes cannot be listed, or one cannot be signalled.
    pub fn signal(&self, number: u32) -> io::Result<usize> {
        let mut count = 0;
        for pid in self.pids()? {
            match sys::signal::send(pid, number) {
                Ok(()) => count += 1,
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Its processes, in no order.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for directory in self.groups()? {
            let Some(listed) = absent_is_none(fs::read_to_string(directory.join("cgroup.procs")))? else {
                continue;
            };
            pids.extend(listed.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
        Ok(pids)
    }

    /// The group and all below it, parents first.
    fn groups(&self) -> io::Result<Vec<PathBuf>> {
        let mut groups = vec![self.directory.clone()];
        let mut level = groups.clone();
        for _ in 0..MAX_DEPTH {
            let mut below = Vec::new();
            for directory in &level {
                let Some(entries) = absent_is_none(fs::read_dir(directory))? else { continue };
                for entry in entries {
                    let entry = entry?;
                    if entry.file_type()?.is_dir() {
                        below.push(entry.path());
                    }
                }
            }
            if below.is_empty() {
                break;
            }
            groups.extend_from_slice(&below);
            level = below;
        }
        Ok(groups)
    }

    /// Freezes or thaws everything in it, and waits until it is so.
    ///
    /// # Errors
    /// When the group does not exist or the kernel refuses.
    pub async fn freeze(&self, frozen: bool) -> io::Result<()> {
        let (value, wanted) = if frozen { ("1", "frozen 1") } else { ("0", "frozen 0") };
        fs::write(self.directory.join("cgroup.freeze"), value)?;
        self.until(wanted).await
    }

    /// Waits until no process is left in it.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn emptied(&self) -> io::Result<()> {
        self.until("populated 0").await
    }

    /// Waits for a line of `cgroup.events`, which the kernel announces as exceptional readiness.
    async fn until(&self, line: &str) -> io::Result<()> {
        let Some(events) = absent_is_none(File::open(self.directory.join("cgroup.events")))? else {
            return Ok(());
        };
        let events = sys::watch::watch(events.into(), Interest::PRIORITY)?;
        loop {
            let mut text = [0; 256];
            match rustix::io::pread(events.get_ref(), &mut text, 0) {
                Ok(len) if text[..len].split(|byte| *byte == b'\n').any(|other| other == line.as_bytes()) => {
                    return Ok(());
                }
                Ok(_) => {}
                // The group was removed meanwhile.
                Err(rustix::io::Errno::NODEV) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            events.ready(Interest::PRIORITY).await?.clear_ready();
        }
    }

    /// Removes the group and those that the workload made below it. They must be empty.
    ///
    /// # Errors
    /// As rmdir(2); a group that is gone is no error.
    pub fn remove(&self) -> io::Result<()> {
        for directory in self.groups()?.iter().rev() {
            absent_is_fine(fs::remove_dir(directory))?;
        }
        Ok(())
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    absent_is_none(result).map(drop)
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
