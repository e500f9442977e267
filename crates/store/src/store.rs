//! The contract of a store, and typed access on top of it.

use std::{fmt, path::PathBuf, time::Duration};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use virtcontainers_types::{ContainerId, SandboxId};

use crate::{Lease, StoreError};

/// One entry of a listing. What cannot be read is listed too, with the reason.
#[derive(Debug)]
pub struct Listed<T> {
    /// The entry's name; an id, unless the entry does not belong there.
    pub name: String,
    /// Its record.
    pub record: Result<T, StoreError>,
}

/// Keeps the records of sandboxes and containers.
///
/// A write is whole or not at all, whatever dies in its midst. When it has returned it lasts, whichever process dies; a
/// save outlives the kernel too. Bodies are JSON; the
/// schema version around them is the store's business. [`StoreExt`] reads and writes typed values.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Takes a new id, with the lease on it.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], in which case nothing was touched.
    fn claim(&self, id: &SandboxId) -> Result<Lease, StoreError>;

    /// Takes the lease on a sandbox, waiting up to `timeout` for whoever has it. Blocks the thread.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the time is up, [`StoreError::NotFound`].
    fn lease(&self, id: &SandboxId, timeout: Duration) -> Result<Lease, StoreError>;

    /// [`Store::lease`] that blocks no thread of the runtime. Dropping the future gives up.
    ///
    /// # Errors
    /// As [`Store::lease`].
    async fn lease_async(&self, id: &SandboxId, timeout: Duration) -> Result<Lease, StoreError>;

    /// The sandbox's record. Needs no lease, and never waits.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NoRecord`], and what makes a record unreadable.
    fn load(&self, id: &SandboxId) -> Result<Box<RawValue>, StoreError>;

    /// Replaces the sandbox's record.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays.
    fn save(&self, lease: &Lease, body: &RawValue) -> Result<(), StoreError>;

    /// As [`Store::save`], but what is written need not outlive the kernel: for intents, since what they announce does
    /// not either, and for states on the way to one that is saved. A save makes durable what the same lease has noted.
    ///
    /// # Errors
    /// As [`Store::save`].
    fn note(&self, lease: &Lease, body: &RawValue) -> Result<(), StoreError> {
        self.save(lease, body)
    }

    /// The record of a container. Needs no lease.
    ///
    /// # Errors
    /// [`StoreError::NoContainer`], and what makes a record unreadable.
    fn load_container(&self, id: &SandboxId, container: &ContainerId) -> Result<Box<RawValue>, StoreError>;

    /// Replaces or makes the record of a container.
    ///
    /// # Errors
    /// As [`Store::save`].
    fn save_container(
        &self,
        lease: &Lease,
        container: &ContainerId,
        body: &RawValue,
    ) -> Result<(), StoreError>;

    /// As [`Store::save_container`], but what is written need not outlive the kernel, as with [`Store::note`].
    ///
    /// # Errors
    /// As [`Store::save`].
    fn note_container(
        &self,
        lease: &Lease,
        container: &ContainerId,
        body: &RawValue,
    ) -> Result<(), StoreError> {
        self.save_container(lease, container, body)
    }

    /// Removes the record of a container, with all else that is kept of it; one that has none is no error.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_container(&self, lease: &Lease, container: &ContainerId) -> Result<(), StoreError>;

    /// The records of a sandbox's containers, ordered by name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or when there is no listing at all.
    fn list_containers(&self, id: &SandboxId) -> Result<Vec<Listed<Box<RawValue>>>, StoreError>;

    /// Removes all that is kept of a sandbox, and frees its id.
    ///
    /// # Errors
    /// [`StoreError::StillMounted`], in which case nothing was removed.
    fn forget(&self, lease: Lease) -> Result<(), StoreError>;

    /// Moves all that is kept of a sandbox to where it is in nobody's way, and frees its id: a record that cannot be read
    /// is evidence, and not to be deleted unseen. Where it is now.
    ///
    /// # Errors
    /// [`StoreError::StillMounted`]; [`StoreError::Unsupported`] from a store that has no such place.
    fn set_aside(&self, lease: Lease) -> Result<PathBuf, StoreError> {
        Err(StoreError::Unsupported { id: lease.id().clone(), what: "set aside" })
    }

    /// Moves a container's record, by its name in [`Store::list_containers`], to where it is in nobody's way, as
    /// [`Store::set_aside`] does with all of a sandbox. Where it is now; `None` when there is none.
    ///
    /// # Errors
    /// When it stays; [`StoreError::Unsupported`] from a store that has no such place.
    fn set_aside_container(&self, lease: &Lease, name: &str) -> Result<Option<PathBuf>, StoreError> {
        let _ = name;
        Err(StoreError::Unsupported { id: lease.id().clone(), what: "set aside a container of" })
    }

    /// Removes what processes were making or removing when they died.
    ///
    /// # Errors
    /// At the first that cannot be removed.
    fn sweep(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The names of all sandboxes in their order: ids, and whatever else is where sandboxes are kept.
    ///
    /// # Errors
    /// Only when there is no listing at all.
    fn names(&self) -> Result<Vec<String>, StoreError>;

    /// [`Store::load`] of one of [`Store::names`].
    ///
    /// # Errors
    /// As [`Store::load`]; [`StoreError::Foreign`] for a name that is no id.
    fn load_named(&self, name: &str) -> Result<Box<RawValue>, StoreError>;

    /// The records of all sandboxes, ordered by name, without those that vanish meanwhile. Takes no lease and never
    /// waits for one.
    ///
    /// # Errors
    /// Only when there is no listing at all.
    fn list(&self) -> Result<Vec<Listed<Box<RawValue>>>, StoreError> {
        let load = |name: String| match self.load_named(&name) {
            Err(StoreError::NotFound { .. }) => None,
            record => Some(Listed { name, record }),
        };
        Ok(self.names()?.into_iter().filter_map(load).collect())
    }
}

/// Typed access to any [`Store`].
pub trait StoreExt: Store {
    /// [`Store::load`] as a `T`.
    ///
    /// # Errors
    /// As [`Store::load`]; [`StoreError::Corrupt`] when the body is no `T`.
    fn load_as<T: DeserializeOwned>(&self, id: &SandboxId) -> Result<T, StoreError> {
        decode(&self.load(id)?, || format!("sandbox {id}"))
    }

    /// [`Store::save`] of a `T`.
    ///
    /// # Errors
    /// As [`Store::save`]; [`StoreError::Encode`].
    fn save_as<T: Serialize>(&self, lease: &Lease, record: &T) -> Result<(), StoreError> {
        self.save(lease, &encode(record, || format!("sandbox {}", lease.id()))?)
    }

    /// [`Store::note`] of a `T`.
    ///
    /// # Errors
    /// As [`StoreExt::save_as`].
    fn note_as<T: Serialize>(&self, lease: &Lease, record: &T) -> Result<(), StoreError> {
        self.note(lease, &encode(record, || format!("sandbox {}", lease.id()))?)
    }

    /// [`Store::load_named`] as a `T`.
    ///
    /// # Errors
    /// As [`Store::load_named`]; [`StoreError::Corrupt`] when the body is no `T`.
    fn load_named_as<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        decode(&self.load_named(name)?, || format!("sandbox {name}"))
    }

    /// [`Store::load_container`] as a `T`.
    ///
    /// # Errors
    /// As [`Store::load_container`]; [`StoreError::Corrupt`] when the body is no `T`.
    fn load_container_as<T: DeserializeOwned>(
        &self,
        id: &SandboxId,
        container: &ContainerId,
    ) -> Result<T, StoreError> {
        decode(&self.load_container(id, container)?, || format!("sandbox {id}, container {container}"))
    }

    /// [`Store::save_container`] of a `T`.
    ///
    /// # Errors
    /// As [`Store::save_container`]; [`StoreError::Encode`].
    fn save_container_as<T: Serialize>(
        &self,
        lease: &Lease,
        container: &ContainerId,
        record: &T,
    ) -> Result<(), StoreError> {
        let body = encode(record, || format!("sandbox {}, container {container}", lease.id()))?;
        self.save_container(lease, container, &body)
    }

    /// [`Store::note_container`] of a `T`.
    ///
    /// # Errors
    /// As [`StoreExt::save_as`].
    fn note_container_as<T: Serialize>(
        &self,
        lease: &Lease,
        container: &ContainerId,
        record: &T,
    ) -> Result<(), StoreError> {
        let body = encode(record, || format!("sandbox {}, container {container}", lease.id()))?;
        self.note_container(lease, container, &body)
    }

    /// [`Store::list`] with each record as a `T`.
    ///
    /// # Errors
    /// As [`Store::list`].
    fn list_as<T: DeserializeOwned>(&self) -> Result<Vec<Listed<T>>, StoreError> {
        Ok(typed(self.list()?, |name| format!("sandbox {name}")))
    }

    /// [`Store::list_containers`] with each record as a `T`.
    ///
    /// # Errors
    /// As [`Store::list_containers`].
    fn list_containers_as<T: DeserializeOwned>(&self, id: &SandboxId) -> Result<Vec<Listed<T>>, StoreError> {
        Ok(typed(self.list_containers(id)?, |name| format!("sandbox {id}, container {name}")))
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

fn typed<T: DeserializeOwned>(
    listed: Vec<Listed<Box<RawValue>>>,
    what: impl Fn(&str) -> String,
) -> Vec<Listed<T>> {
    let convert = |Listed { name, record }: Listed<Box<RawValue>>| {
        let record = record.and_then(|body| decode(&body, || what(&name)));
        Listed { name, record }
    };
    listed.into_iter().map(convert).collect()
}

fn decode<T: DeserializeOwned>(body: &RawValue, what: impl FnOnce() -> String) -> Result<T, StoreError> {
    serde_json::from_str(body.get())
        .map_err(|source| StoreError::Corrupt { path: format!("the record of {}", what()).into(), source })
}

fn encode<T: Serialize>(record: &T, what: impl FnOnce() -> String) -> Result<Box<RawValue>, StoreError> {
    serde_json::value::to_raw_value(record).map_err(|source| StoreError::Encode { what: what(), source })
}
