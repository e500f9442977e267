//! Records in files.
//!
//! ```text
//! <root>/sandboxes/<id>/record.json
//! <root>/sandboxes/<id>/container.<cid>.json
//! <root>/set-aside/<id>-<time>/                what could not be read, out of everybody's way
//! ```
//!
//! - Such a file is a log: each save adds a line that is the whole record, and the last whole line counts. Whoever
//!   watches sees one `IN_CLOSE_WRITE` for each, or an `IN_MOVED_TO` when the log was replaced.
//! - The lease is an exclusive `flock(2)` on the directory `<id>` itself. It ends with its holder, however that dies.
//! - A directory appears under its id by a rename and already locked; it disappears by a rename as well. Whoever gets
//!   the lock looks again whether the directory that it locked is still the one of that name.
//! - A directory without a record, or with one that was only begun, has acquired nothing: the next claim takes its id.
//! - Names that start with a dot are on their way in or out. [`FsStore::sweep`] removes those of dead processes.
//! - Nothing below the root is reached through a symbolic link.

mod disk;
mod lock;
mod records;
mod removal;

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rustix::fs::{Dir, Mode, OFlags};
use serde_json::value::RawValue;
use virtcontainers_sys::fs::{Durability, open_beneath, open_dir};
use virtcontainers_types::{ContainerId, SandboxId};

pub use self::disk::{DiskFault, DiskFaults};
use self::{
    disk::Disk,
    lock::Held,
    records::{Keep, RECORD, container_file},
};
use crate::{Lease, Listed, Store, StoreError, envelope::Kind};

/// Directories are for the owner and the group.
const DIR_MODE: Mode = Mode::from_raw_mode(0o750);

/// Prefix of a directory that is being made.
const INCOMING: &str = ".new-";
/// Prefix of a directory that is being removed.
const OUTGOING: &str = ".gone-";
/// The directory below the root for sandboxes whose records cannot be read.
const SET_ASIDE: &str = "set-aside";

/// The [`Store`] of a host: records in files below a root directory.
#[derive(Debug)]
pub struct FsStore {
    root: PathBuf,
    sandboxes: OwnedFd,
    sandboxes_path: PathBuf,
    disk: Disk,
}

impl FsStore {
    /// Opens the store below `root`, which is made if it is not there.
    ///
    /// # Errors
    /// When the directories can be neither made nor opened.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::with_durability(root, Durability::Full)
    }

    /// [`FsStore::open`] with a choice of durability. [`Durability::NoSync`] is for measuring what syncing costs, and
    /// for roots on a tmpfs, which does not outlive the kernel anyway.
    ///
    /// # Errors
    /// As [`FsStore::open`].
    pub fn with_durability(root: impl AsRef<Path>, durability: Durability) -> Result<Self, StoreError> {
        let root = root.as_ref();
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o750);
        let sandboxes_path = root.join("sandboxes");
        builder.create(&sandboxes_path).map_err(StoreError::io("make the directory", &sandboxes_path))?;
        // Canonical, so that every process writes the same root into marks and mounts.
        let root = root.canonicalize().map_err(StoreError::io("resolve", root))?;
        let sandboxes_path = root.join("sandboxes");
        let sandboxes = open_dir(&sandboxes_path).map_err(StoreError::io("open", &sandboxes_path))?;
        let disk = Disk { durability, ..Disk::default() };
        let store = Self { root, sandboxes, sandboxes_path, disk };
        // What cannot be swept is in nobody's way.
        if let Err(error) = store.sweep() {
            tracing::warn!(%error, "cannot remove what dead processes left");
        }
        Ok(store)
    }

    /// Makes system calls fail by which it writes, for tests.
    #[must_use]
    pub fn with_disk_faults(mut self, faults: DiskFaults) -> Self {
        self.disk.faults = faults;
        self
    }

    /// The root directory, in canonical form.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of a sandbox, whether it is there or not: its sockets, logs and mounts live there too.
    #[must_use]
    pub fn sandbox_dir(&self, id: &SandboxId) -> PathBuf {
        self.sandboxes_path.join(id.as_str())
    }

    fn open_sandbox(&self, id: &SandboxId) -> Result<OwnedFd, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match open_beneath(self.sandboxes.as_fd(), Path::new(id.as_str()), flags, Mode::empty()) {
            Ok(dir) => Ok(dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::NotFound { id: id.clone() })
            }
            Err(error) => Err(StoreError::io("open", self.sandbox_dir(id))(error)),
        }
    }

    fn held<'lease>(&self, lease: &'lease Lease) -> Result<&'lease Held, StoreError> {
        lease
            .hold::<Held>()
            .filter(|held| held.path.parent() == Some(&self.sandboxes_path))
            .ok_or_else(|| StoreError::ForeignLease { id: lease.id().clone() })
    }

    /// Makes a locked directory and gives it its name; `None` when the name is taken.
    fn make_sandbox(&self, id: &SandboxId) -> Result<Option<Held>, StoreError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let incoming = format!("{INCOMING}{id}-{}-{number}", std::process::id());
        let path = self.sandboxes_path.join(&incoming);
        let dir = self.sandboxes.as_fd();
        self.disk.make_dir(dir, &incoming, DIR_MODE).map_err(StoreError::io("make", &path))?;
        let finish = || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let dir = match open_beneath(self.sandboxes.as_fd(), Path::new(&incoming), flags, Mode::empty()) {
                Ok(dir) => dir,
                // A sweep took it before it was locked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(StoreError::io("open", &path)(error)),
            };
            let held = Held::try_new(dir, self.sandbox_dir(id)).map_err(StoreError::io("lock", &path))?;
            let Some(held) = held else { return Ok(None) };
            match self.disk.rename_new(self.sandboxes.as_fd(), &incoming, id.as_str()) {
                Ok(()) => Ok(Some(held)),
                // The name is taken, or a sweep took the directory.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) =>
                {
                    Ok(None)
                }
                Err(error) => Err(StoreError::io("rename", &path)(error)),
            }
        };
        let made = finish();
        if !matches!(made, Ok(Some(_))) {
            // Empty and nobody's; if it stays, the sweep takes it.
            rustix::fs::unlinkat(&self.sandboxes, &incoming, rustix::fs::AtFlags::REMOVEDIR).ok();
        }
        made
    }
}

#[async_trait]
impl Store for FsStore {
    fn claim(&self, id: &SandboxId) -> Result<Lease, StoreError> {
        // A second round only after an abandoned directory of that name was taken away.
        for _ in 0..3 {
            if let Some(held) = self.make_sandbox(id)? {
                // Together with the first record: until then, the next claim may have the id.
                held.unsynced().claim = true;
                return Ok(Lease::new(id.clone(), held));
            }
            if !self.clear_abandoned(id)? {
                break;
            }
        }
        Err(StoreError::AlreadyExists { id: id.clone() })
    }

    fn lease(&self, id: &SandboxId, timeout: Duration) -> Result<Lease, StoreError> {
        let begin = Instant::now();
        loop {
            let dir = self.open_sandbox(id)?;
            let left = timeout.saturating_sub(begin.elapsed());
            let held = match Held::wait_blocking(dir, self.sandbox_dir(id), left) {
                Ok(Some(held)) => held,
                Ok(None) => return Err(self.busy(id, begin.elapsed())),
                Err(source) => return Err(StoreError::io("lock", self.sandbox_dir(id))(source)),
            };
            if let Some(lease) = self.confirm(id, held)? {
                return Ok(lease);
            }
        }
    }

    async fn lease_async(&self, id: &SandboxId, timeout: Duration) -> Result<Lease, StoreError> {
        let begin = Instant::now();
        loop {
            let dir = self.open_sandbox(id)?;
            let left = timeout.saturating_sub(begin.elapsed());
            let held = match Held::wait(dir, self.sandbox_dir(id), left).await {
                Ok(Some(held)) => held,
                Ok(None) => return Err(self.busy(id, begin.elapsed())),
                Err(source) => return Err(StoreError::io("lock", self.sandbox_dir(id))(source)),
            };
            if let Some(lease) = self.confirm(id, held)? {
                return Ok(lease);
            }
        }
    }

    fn load(&self, id: &SandboxId) -> Result<Box<RawValue>, StoreError> {
        let below = format!("{id}/{RECORD}");
        let path = || self.sandboxes_path.join(&below);
        match self.read(self.sandboxes.as_fd(), &below, Kind::Sandbox, path) {
            Ok(Some(body)) => Ok(body),
            Ok(None) => {
                self.open_sandbox(id)?;
                Err(StoreError::NoRecord { path: path() })
            }
            Err(error) => Err(error),
        }
    }

    fn save(&self, lease: &Lease, body: &RawValue) -> Result<(), StoreError> {
        self.write(self.held(lease)?, RECORD, Kind::Sandbox, body, Keep::Save)
    }

    fn note(&self, lease: &Lease, body: &RawValue) -> Result<(), StoreError> {
        self.write(self.held(lease)?, RECORD, Kind::Sandbox, body, Keep::Note)
    }

    fn load_container(&self, id: &SandboxId, container: &ContainerId) -> Result<Box<RawValue>, StoreError> {
        let below = format!("{id}/{}", container_file(container));
        let path = || self.sandboxes_path.join(&below);
        match self.read(self.sandboxes.as_fd(), &below, Kind::Container, path)? {
            Some(body) => Ok(body),
            None => {
                self.open_sandbox(id)?;
                Err(StoreError::NoContainer { sandbox: id.clone(), id: container.clone() })
            }
        }
    }

    fn save_container(
        &self,
        lease: &Lease,
        container: &ContainerId,
        body: &RawValue,
    ) -> Result<(), StoreError> {
        self.write(self.held(lease)?, &container_file(container), Kind::Container, body, Keep::Save)
    }

    fn note_container(
        &self,
        lease: &Lease,
        container: &ContainerId,
        body: &RawValue,
    ) -> Result<(), StoreError> {
        self.write(self.held(lease)?, &container_file(container), Kind::Container, body, Keep::Note)
    }

    fn remove_container(&self, lease: &Lease, container: &ContainerId) -> Result<(), StoreError> {
        self.drop_container(self.held(lease)?, container)
    }

    fn list_containers(&self, id: &SandboxId) -> Result<Vec<Listed<Box<RawValue>>>, StoreError> {
        self.read_containers(&self.open_sandbox(id)?, &self.sandbox_dir(id))
    }

    fn forget(&self, lease: Lease) -> Result<(), StoreError> {
        self.remove_sandbox(&lease)
    }

    fn set_aside(&self, lease: Lease) -> Result<PathBuf, StoreError> {
        self.move_aside(&lease)
    }

    fn set_aside_container(&self, lease: &Lease, name: &str) -> Result<Option<PathBuf>, StoreError> {
        self.move_container_aside(lease, name)
    }

    fn sweep(&self) -> Result<(), StoreError> {
        Self::sweep(self)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let path = &self.sandboxes_path;
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.sandboxes).map_err(StoreError::io("list", path))? {
            let entry = entry.map_err(StoreError::io("list", path))?;
            let name = entry.file_name().to_string_lossy();
            // Those with a dot are on their way in or out.
            if !name.starts_with('.') {
                names.push(name.into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn load_named(&self, name: &str) -> Result<Box<RawValue>, StoreError> {
        match SandboxId::new(name) {
            Ok(id) => self.load(&id),
            Err(_) => Err(StoreError::Foreign { path: self.sandboxes_path.join(name) }),
        }
    }
}
