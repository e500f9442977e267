//! A root directory for one test.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use virtcontainers_sys::{
    cgroup, mount,
    process::{Mark, Signal},
};

use crate::{HostSnapshot, snapshot::list};

/// Where roots are made if it is there: a tmpfs, as `/run` is on most hosts.
const MEMORY: &str = "/dev/shm";

/// A root directory for one test. When it is dropped, nothing of it may be left but its own empty frame; what is, is
/// taken away and fails the test.
#[derive(Debug)]
pub struct TestRoot {
    /// Taken away last.
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl TestRoot {
    /// Makes a new root, in memory where the host has `/dev/shm`.
    ///
    /// # Panics
    /// When no directory can be made.
    #[must_use]
    pub fn new() -> Self {
        let parent = Path::new(MEMORY);
        let parent = if parent.is_dir() { parent.to_owned() } else { std::env::temp_dir() };
        Self::new_in(&parent)
    }

    /// Makes a new root below `parent`.
    ///
    /// # Panics
    /// When no directory can be made.
    #[must_use]
    pub fn new_in(parent: &Path) -> Self {
        let made = tempfile::Builder::new().prefix("vc-test-").tempdir_in(parent);
        let made = made.and_then(|dir| Ok((dir.path().canonicalize()?, dir)));
        match made {
            Ok((path, dir)) => Self { dir, path },
            Err(error) => panic!("cannot make a root below {}: {error}", parent.display()),
        }
    }

    /// Its path, in canonical form.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What of it is left now.
    ///
    /// # Panics
    /// When the host cannot be looked at.
    #[must_use]
    pub fn leaks(&self) -> Vec<crate::Leak> {
        match HostSnapshot::of_root(&self.path) {
            Ok(now) => now.leaks_since(&HostSnapshot::default()),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Kills and unmounts what is left, so that one failed test does not spoil the next.
    fn clean(&self) {
        for marked in Mark::find_under(&self.path).unwrap_or_default() {
            // It may have ended by itself since.
            marked.process.kill(Signal::KILL).ok();
        }
        for group in cgroup::find_under(&self.path).unwrap_or_default() {
            // What was in it was just killed, and is on its way out.
            let end = Instant::now() + Duration::from_secs(5);
            while matches!(cgroup::remove_empty(&group.dir), Ok(false)) && Instant::now() < end {
                cgroup::kill(&group.dir).ok();
                std::thread::yield_now();
            }
        }
        for point in mount::mounts_under(&self.path).unwrap_or_default() {
            // One that stays keeps the directory from being removed, which is seen.
            mount::unmount(&point).ok();
        }
    }
}

impl Default for TestRoot {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestRoot {
    fn drop(&mut self) {
        let leaks = self.leaks();
        self.clean();
        if leaks.is_empty() {
            return;
        }
        let told = format!("left in {}: {}", self.dir.path().display(), list(&leaks));
        if std::thread::panicking() {
            eprintln!("{told}");
        } else {
            panic!("{told}");
        }
    }
}
