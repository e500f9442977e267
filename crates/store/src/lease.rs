//! The exclusive right to change one sandbox.

use std::{any::Any, fmt};

use virtcontainers_types::SandboxId;

/// The exclusive right to change one sandbox, among all processes of the host. Dropping it gives it back; so does the
/// death of the process that has it.
pub struct Lease {
    id: SandboxId,
    hold: Box<dyn Any + Send + Sync>,
}

impl Lease {
    /// For implementers of [`Store`](crate::Store): a lease that lasts until `hold` is dropped.
    pub fn new(id: SandboxId, hold: impl Any + Send + Sync) -> Self {
        Self { id, hold: Box::new(hold) }
    }

    /// The sandbox that may be changed.
    #[must_use]
    pub fn id(&self) -> &SandboxId {
        &self.id
    }

    /// For implementers of [`Store`](crate::Store): what [`Lease::new`] was given, if it is an `H`.
    #[must_use]
    pub fn hold<H: Any>(&self) -> Option<&H> {
        self.hold.downcast_ref()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("id", &self.id).finish_non_exhaustive()
    }
}
