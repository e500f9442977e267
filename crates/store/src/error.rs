//! Why a record cannot be read, written or leased.

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;
use virtcontainers_types::{ContainerId, SandboxId};

/// An error of the store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The id is taken. What has it was not touched.
    #[error("a sandbox {id} exists already: choose another id, or delete that one first")]
    AlreadyExists {
        /// The id.
        id: SandboxId,
    },
    /// There is no such sandbox.
    #[error("no sandbox {id}")]
    NotFound {
        /// The id.
        id: SandboxId,
    },
    /// The sandbox has no such container.
    #[error("sandbox {sandbox} has no container {id}")]
    NoContainer {
        /// The sandbox.
        sandbox: SandboxId,
        /// The container asked for.
        id: ContainerId,
    },
    /// The id is claimed, but nothing was recorded yet: a create has only begun, or its process died right then.
    #[error("{} does not exist: a create has just begun, or died before it acquired anything", path.display())]
    NoRecord {
        /// The record's path.
        path: PathBuf,
    },
    /// Somebody else works on the sandbox.
    #[error("sandbox {id} is being changed by {}; gave up after {waited:?}", holder_text(*holder))]
    Busy {
        /// The sandbox.
        id: SandboxId,
        /// The pid of the lease's holder, if the kernel tells it.
        holder: Option<u32>,
        /// The time waited.
        waited: Duration,
    },
    /// The record was written by a newer version of this library. It was left as it is.
    #[error("{} has schema {found}, this version reads up to {supported}: use the version that wrote it", path.display())]
    NewerSchema {
        /// The record's path.
        path: PathBuf,
        /// Its schema.
        found: u64,
        /// The newest schema known here.
        supported: u32,
    },
    /// The record is not what this library writes.
    #[error("{} is damaged: inspect it, and delete the sandbox by force if it cannot be mended", path.display())]
    Corrupt {
        /// The record's path.
        path: PathBuf,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
    /// The record is of another kind than its place says.
    #[error("{} is a record of a {found}, not of a {expected}", path.display())]
    WrongKind {
        /// The record's path.
        path: PathBuf,
        /// The kind that belongs there.
        expected: &'static str,
        /// The kind found.
        found: String,
    },
    /// The record is larger than any that this library writes.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The record's path.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Something in the store's directory is not of its making.
    #[error("{} does not belong here: remove it", path.display())]
    Foreign {
        /// Its path.
        path: PathBuf,
    },
    /// The sandbox's directory still has a mount in it, and removing it would remove what is mounted.
    #[error("{} is still mounted: unmount it and delete the sandbox again", path.display())]
    StillMounted {
        /// The mount point.
        path: PathBuf,
    },
    /// The lease is of another store.
    #[error("the lease on sandbox {id} was not given by this store")]
    ForeignLease {
        /// The sandbox.
        id: SandboxId,
    },
    /// The store has no such operation.
    #[error("this store cannot {what} sandbox {id}")]
    Unsupported {
        /// The sandbox.
        id: SandboxId,
        /// What was asked for.
        what: &'static str,
    },
    /// The value cannot be written as JSON.
    #[error("the record of {what} cannot be encoded")]
    Encode {
        /// Whose record.
        what: String,
        /// The encoder's reason.
        #[source]
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
}

fn holder_text(holder: Option<u32>) -> String {
    match holder {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

impl StoreError {
    /// For `map_err`: an I/O error with what was tried and on what.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: source.into() }
    }
}
