//! What a crash must not lose: records on disk, leases on them, and transactions that undo themselves.
//!
//! - [`Store`] keeps one record for each sandbox and each of its containers; [`FsStore`] keeps them in files.
//! - A [`Lease`] is the right to change one sandbox. Reading needs none, so reads never wait for a slow change.
//! - A [`Transaction`] writes each acquisition into the record *before* it happens, and releases in reverse order what
//!   was acquired when its body fails, panics or loses its caller.
//! - A [`FaultPlan`] makes any step of a transaction fail, panic, abort or hang, for tests.

mod envelope;
mod error;
mod fault;
mod fs_store;
mod lease;
mod store;
mod transaction;

pub use envelope::{MAX_RECORD_BYTES, SCHEMA};
pub use error::StoreError;
pub use fault::{FaultKind, FaultPlan, FaultPoint, InjectedFault, Moment};
pub use fs_store::{DiskFault, DiskFaults, FsStore};
pub use lease::Lease;
pub use serde_json::value::RawValue;
pub use store::{Listed, Store, StoreExt};
pub use transaction::{
    Cause, Ledger, RELEASE_TIMEOUT, ReleaseError, Releaser, Resource, StepError, Transaction, UndoError,
    Unwound, transact,
};
pub use virtcontainers_sys::fs::Durability;
