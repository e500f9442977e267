//! What is on the host at one moment.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;
use virtcontainers_sys::{cgroup, mount, process::Mark};

use crate::Leak;

/// Entries are looked for so many levels below the root. Mounts are not entered.
const ENTRY_DEPTH: usize = 8;

/// The host could not be looked at.
#[derive(Debug, Error)]
#[error("cannot look at {}", path.display())]
pub struct SnapshotError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> SnapshotError {
    let path = path.into();
    move |source| SnapshotError { path, source }
}

/// All that the library may make on a host, as far as it is there at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSnapshot {
    root: PathBuf,
    found: BTreeSet<Leak>,
}

impl HostSnapshot {
    /// Looks at the whole host, and at `root` for what belongs to one.
    ///
    /// # Errors
    /// When `/proc`, `/sys` or the root cannot be read.
    pub fn take(root: &Path) -> Result<Self, SnapshotError> {
        let mut snapshot = Self::of_root(root)?;
        snapshot.found.extend(names("/sys/class/net")?.into_iter().map(Leak::Link));
        for dir in ["/run/netns", "/var/run/netns"] {
            snapshot.found.extend(names(dir)?.into_iter().map(Leak::NetNs));
        }
        Ok(snapshot)
    }

    /// Looks only at what carries the mark or the name of `root` or lies below it; blind to what other tests do meanwhile.
    ///
    /// # Errors
    /// When `/proc` or the root cannot be read.
    pub fn of_root(root: &Path) -> Result<Self, SnapshotError> {
        let mut found = BTreeSet::new();
        for marked in Mark::find_under(root).map_err(at("/proc"))? {
            let mark = format!("{}:{}", marked.sandbox, marked.role);
            found.insert(Leak::Process { process: marked.process, mark });
        }
        for group in cgroup::find_under(root).map_err(at("/proc"))? {
            found.insert(Leak::Cgroup(group.dir));
        }
        let mounts = mount::mounts_under(root).map_err(at(root))?;
        entries(root, root, &mounts, ENTRY_DEPTH, &mut found)?;
        found.extend(mounts.into_iter().map(Leak::Mount));
        Ok(Self { root: root.to_owned(), found })
    }

    /// What is here and was not there `before`.
    #[must_use]
    pub fn leaks_since(&self, before: &Self) -> Vec<Leak> {
        self.found.difference(&before.found).cloned().collect()
    }

    /// The root that was looked at.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Looks again, and fails the test if anything is there that was not `before`.
///
/// # Panics
/// With a list of what leaked, or when the host cannot be looked at.
#[track_caller]
pub fn assert_no_leaks(before: &HostSnapshot) {
    match HostSnapshot::take(&before.root) {
        Ok(now) => {
            let leaks = now.leaks_since(before);
            assert!(leaks.is_empty(), "leaked: {}", list(&leaks));
        }
        Err(error) => panic!("{error}: {:?}", error.source),
    }
}

pub(crate) fn list(leaks: &[Leak]) -> String {
    leaks.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The names in a directory; none if it is not there.
fn names(dir: &str) -> Result<Vec<String>, SnapshotError> {
    match fs::read_dir(dir) {
        Ok(entries) => entries
            .map(|entry| Ok(entry.map_err(at(dir))?.file_name().to_string_lossy().into_owned()))
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(at(dir)(error)),
    }
}

/// Everything below the root but the empty directory that every store keeps there.
fn entries(
    root: &Path,
    dir: &Path,
    mounts: &[PathBuf],
    depth: usize,
    found: &mut BTreeSet<Leak>,
) -> Result<(), SnapshotError> {
    let listed = match fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(dir)(error)),
    };
    for entry in listed {
        let path = entry.map_err(at(dir))?.path();
        let is_dir = path.symlink_metadata().is_ok_and(|data| data.is_dir());
        let keeps = is_dir && path.strip_prefix(root).is_ok_and(|below| below == Path::new("sandboxes"));
        if is_dir && depth > 1 && !mounts.contains(&path) {
            entries(root, &path, mounts, depth - 1, found)?;
        }
        if !keeps {
            found.insert(Leak::Entry(path));
        }
    }
    Ok(())
}
