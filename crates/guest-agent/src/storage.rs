//! File systems that the host asks for, mounted below allowed directories and counted by their users.
//!
//! A mount point is mounted once. A second request for it, by another container or by the sandbox, must ask for the
//! same and only counts; the last release unmounts.

mod driver;
mod group;
mod options;
mod target;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex as SyncMutex, PoisonError},
};

use ttrpc::Code;

pub use driver::Driver;
pub use group::FsGroup;
pub use options::{MountOptions, parse as parse_options};

use crate::init::modules::{ModuleError, Modules};

/// Storages of one agent at a time.
const MAX_STORAGES: usize = 4096;

/// A storage as a request describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// How `source` is to be understood.
    pub driver: Driver,
    /// A tag, a path or nothing, as the driver has it.
    pub source: String,
    /// The kernel's name of the file system; the driver's own when empty.
    pub kind: String,
    /// As in fstab(5).
    pub options: Vec<String>,
    /// Where.
    pub mount_point: PathBuf,
    /// Who shall own its files; only for drivers whose files are the guest's.
    pub group: Option<FsGroup>,
}

/// A storage could not be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The driver is not built.
    #[error("storage driver `{0}` is not supported by this agent: use one of {known}", known = Driver::names())]
    Driver(String),
    /// The mount point is not in an allowed directory.
    #[error("storage mount point `{}` must be a plain path below {allowed}", path.display(), allowed = target::ALLOWED)]
    Target {
        /// The mount point.
        path: PathBuf,
    },
    /// Another storage is mounted there.
    #[error("another storage is mounted at `{}` already", .0.display())]
    Conflict(PathBuf),
    /// Nothing that could be changed is mounted there.
    #[error("no storage in memory is mounted at `{}`", .0.display())]
    NotMounted(PathBuf),
    /// Too many.
    #[error("{MAX_STORAGES} storages are mounted already")]
    TooMany,
    /// A kernel module of the file system could not be loaded.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// A system call failed.
    #[error("could not {doing} storage `{source_name}` at `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The storage's source.
        source_name: String,
        /// The mount point.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
}

impl StorageError {
    /// The status code for the host.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Driver(_) => Code::UNIMPLEMENTED,
            Self::Target { .. } => Code::INVALID_ARGUMENT,
            Self::Conflict(_) => Code::ALREADY_EXISTS,
            Self::NotMounted(_) => Code::NOT_FOUND,
            Self::TooMany => Code::RESOURCE_EXHAUSTED,
            Self::Module(_) | Self::Io { .. } => Code::INTERNAL,
        }
    }
}

/// What is mounted.
#[derive(Debug)]
pub struct Storages {
    modules: Option<Arc<Modules>>,
    /// Held while something is being mounted or unmounted.
    mounted: tokio::sync::Mutex<HashMap<PathBuf, Mounted>>,
    order: SyncMutex<Vec<PathBuf>>,
}

#[derive(Debug)]
struct Mounted {
    storage: Storage,
    users: usize,
}

impl Storages {
    /// Nothing mounted yet. File systems' modules are taken from `modules`.
    #[must_use]
    pub fn new(modules: Option<Arc<Modules>>) -> Self {
        Self { modules, mounted: tokio::sync::Mutex::default(), order: SyncMutex::default() }
    }

    /// The initrd's modules; none outside of a virtual machine.
    #[must_use]
    pub fn modules(&self) -> Option<&Arc<Modules>> {
        self.modules.as_ref()
    }

    /// Mounts `storage`, or counts one more user of it.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn acquire(&self, storage: &Storage) -> Result<(), StorageError> {
        target::check(&storage.mount_point)?;
        let mut mounted = self.mounted.lock().await;
        if let Some(present) = mounted.get_mut(&storage.mount_point) {
            if present.storage != *storage {
                return Err(StorageError::Conflict(storage.mount_point.clone()));
            }
            present.users += 1;
            return Ok(());
        }
        if mounted.len() >= MAX_STORAGES {
            return Err(StorageError::TooMany);
        }
        if let Some((modules, role)) = self.modules.as_ref().zip(storage.driver.module_role(&storage.kind)) {
            modules.load(role)?;
        }
        let wanted = storage.clone();
        blocking(move || driver::mount(&wanted)).await.map_err(|source| failed("mount", storage, source))?;
        mounted.insert(storage.mount_point.clone(), Mounted { storage: storage.clone(), users: 1 });
        self.order.lock().unwrap_or_else(PoisonError::into_inner).push(storage.mount_point.clone());
        Ok(())
    }

    /// Gives storages in memory that are mounted already the options of `wanted`, as their size: all of them, or none.
    ///
    /// # Errors
    /// [`StorageError::NotMounted`], and [`StorageError::Io`] with the earlier ones as they were.
    pub async fn update(&self, wanted: Vec<Storage>) -> Result<(), StorageError> {
        let mut mounted = self.mounted.lock().await;
        for storage in &wanted {
            target::check(&storage.mount_point)?;
            let present = mounted.get(&storage.mount_point).map(|present| present.storage.driver);
            if present != Some(Driver::Ephemeral) || storage.driver != Driver::Ephemeral {
                return Err(StorageError::NotMounted(storage.mount_point.clone()));
            }
        }
        let mut done: Vec<Storage> = Vec::new();
        for storage in wanted {
            let Some(present) = mounted.get_mut(&storage.mount_point) else { continue };
            let (before, options) = (present.storage.clone(), storage.options.clone());
            let target = before.clone();
            if let Err(source) = blocking(move || driver::remount(&target, &options)).await {
                for before in done.into_iter().rev() {
                    if let Some(present) = mounted.get_mut(&before.mount_point) {
                        present.storage = before.clone();
                    }
                    // It had these options a moment ago.
                    blocking(move || driver::remount(&before, &before.options)).await.ok();
                }
                return Err(failed("change", &storage, source));
            }
            present.storage.options = storage.options;
            done.push(before);
        }
        Ok(())
    }

    /// Gives up one use of what is mounted at `mount_point`; the last one unmounts it.
    ///
    /// # Errors
    /// [`StorageError::Io`]; the use stays then.
    pub async fn release(&self, mount_point: &Path) -> Result<(), StorageError> {
        let mut mounted = self.mounted.lock().await;
        let Some(present) = mounted.get_mut(mount_point) else { return Ok(()) };
        if present.users > 1 {
            present.users -= 1;
            return Ok(());
        }
        let storage = present.storage.clone();
        let unmounted = blocking(move || driver::unmount(&storage)).await;
        unmounted.map_err(|source| failed("unmount", &present.storage, source))?;
        mounted.remove(mount_point);
        self.order.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != mount_point);
        Ok(())
    }

    /// Unmounts everything, the latest first, whoever uses it. What cannot be unmounted is left to the guest's end.
    pub async fn clear(&self) {
        let mut mounted = self.mounted.lock().await;
        let order = std::mem::take(&mut *self.order.lock().unwrap_or_else(PoisonError::into_inner));
        for path in order.into_iter().rev() {
            if let Some(Mounted { storage, .. }) = mounted.remove(&path) {
                blocking(move || driver::unmount(&storage)).await.ok();
            }
        }
    }
}

fn failed(doing: &'static str, storage: &Storage, source: io::Error) -> StorageError {
    let path = storage.mount_point.clone();
    StorageError::Io { doing, source_name: storage.source.clone(), path, source }
}

/// Runs what may wait for the host's file server on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)),
    }
}
