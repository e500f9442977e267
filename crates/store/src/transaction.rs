//! All or nothing, whatever dies.
//!
//! A transaction is a list of named steps. Each acquires one resource:
//!
//! 1. the resource, as far as it is known, is written into the record (the *intent*);
//! 2. the action runs;
//! 3. what became known by it (a pid, an index) may be amended, in the record again.
//!
//! So whoever finds the record, at any moment and after any crash, knows all that may have to be released. Releases are
//! idempotent, and the same functions serve the undoing here, a delete, and the cleaning up after a crash.
//!
//! [`transact`] drives a body in a task of its own. The body may fail, panic, or lose its caller: in each case all that
//! it acquired is released in reverse order. Undoing goes on past errors; what could not be released stays recorded.

mod drive;
mod undo;

use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

pub use self::{
    drive::{Cause, Unwound, transact},
    undo::UndoError,
};
use crate::{FaultPlan, InjectedFault, Moment, StoreError};

/// The time that one release may take, unless a transaction says otherwise.
pub const RELEASE_TIMEOUT: Duration = Duration::from_secs(15);

/// Something acquired, described so that it can be released by whoever reads the record.
pub trait Resource: Serialize + DeserializeOwned + Clone + fmt::Debug + Send + Sync + 'static {
    /// What it is, for messages: `tap tap0`, `mount /run/…`.
    fn label(&self) -> String;
}

/// Why a release failed.
pub type ReleaseError = Box<dyn Error + Send + Sync>;

/// Gives resources back.
#[async_trait]
pub trait Releaser<R>: Send + Sync {
    /// Releases one resource. Must be idempotent, and must take "was never acquired" for success, since an intent is
    /// recorded before its action.
    ///
    /// # Errors
    /// When the resource may still be there.
    async fn release(&self, resource: &R) -> Result<(), ReleaseError>;
}

/// Where the list of what is held is kept.
pub trait Ledger<R>: Send + 'static {
    /// Writes what is held, durably, before it returns.
    ///
    /// # Errors
    /// When it cannot be written; the step does not run then.
    fn record(&mut self, held: &[R]) -> Result<(), StoreError>;

    /// Called once after an undoing, with what is held still: what was held before, and what could not be released.
    /// A create forgets its sandbox here if nothing remains.
    ///
    /// # Errors
    /// When it cannot be written.
    fn unwound(&mut self, remaining: &[R]) -> Result<(), StoreError> {
        self.record(remaining)
    }
}

/// Why a step failed.
#[derive(Debug, Error)]
pub enum StepError<E> {
    /// Its intent could not be recorded, so its action was not tried.
    #[error("step {step}: cannot record what it is about to acquire")]
    Record {
        /// The step.
        step: &'static str,
        /// The store's reason.
        #[source]
        source: StoreError,
    },
    /// It was made to fail.
    #[error("step {step} was made to fail")]
    Fault {
        /// The step.
        step: &'static str,
        /// The fault.
        #[source]
        source: InjectedFault,
    },
    /// Its action failed.
    #[error("step {step} failed")]
    Action {
        /// The step.
        step: &'static str,
        /// The action's error.
        #[source]
        source: E,
    },
}

/// A sequence of acquisitions that is either committed or undone.
pub struct Transaction<R, L> {
    ledger: L,
    releaser: Arc<dyn Releaser<R>>,
    held: Vec<R>,
    /// So many of `held`, from its start, were there before and are not undone.
    kept: usize,
    faults: FaultPlan,
    release_timeout: Duration,
}

impl<R: Resource, L: Ledger<R>> Transaction<R, L> {
    /// Begins. `held` is what the record holds already: it stays when this transaction is undone.
    pub fn new(ledger: L, releaser: Arc<dyn Releaser<R>>, held: Vec<R>) -> Self {
        let kept = held.len();
        let (faults, release_timeout) = (FaultPlan::none(), RELEASE_TIMEOUT);
        Self { ledger, releaser, held, kept, faults, release_timeout }
    }

    /// Takes over what a record holds, so that [`Transaction::unwind`] releases it all: a delete, and what is to be
    /// done about a transaction whose process died.
    pub fn adopt(ledger: L, releaser: Arc<dyn Releaser<R>>, held: Vec<R>) -> Self {
        Self { kept: 0, ..Self::new(ledger, releaser, held) }
    }

    /// Injects faults.
    #[must_use]
    pub fn with_faults(mut self, faults: FaultPlan) -> Self {
        self.faults = faults;
        self
    }

    /// Sets how long one release may take.
    #[must_use]
    pub fn with_release_timeout(mut self, timeout: Duration) -> Self {
        self.release_timeout = timeout;
        self
    }

    /// Records `intent`, then runs `action`.
    ///
    /// The action must not go on in the background when its future is dropped: what it acquired after that would not
    /// be undone.
    ///
    /// # Errors
    /// [`StepError`]. The intent stays held, for an action that failed may have acquired its resource nevertheless.
    pub async fn step<T, E>(
        &mut self,
        step: &'static str,
        intent: R,
        action: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StepError<E>> {
        self.held.push(intent);
        if let Err(source) = self.ledger.record(&self.held) {
            self.held.pop();
            return Err(StepError::Record { step, source });
        }
        let fault = |source| StepError::Fault { step, source };
        self.faults.pass(step, Moment::Before).await.map_err(fault)?;
        let done = action.await.map_err(|source| StepError::Action { step, source })?;
        self.faults.pass(step, Moment::After).await.map_err(fault)?;
        Ok(done)
    }

    /// Replaces the latest intent by what is known now, durably. Does nothing when nothing was acquired here.
    ///
    /// # Errors
    /// When it cannot be recorded; it is held all the same.
    pub fn amend(&mut self, resource: R) -> Result<(), StoreError> {
        if self.held.len() > self.kept
            && let Some(last) = self.held.last_mut()
        {
            *last = resource;
            self.ledger.record(&self.held)?;
        }
        Ok(())
    }

    /// All that is held: what was before, and what was acquired here, in the order of acquisition.
    #[must_use]
    pub fn held(&self) -> &[R] {
        &self.held
    }

    /// The ledger, for what else belongs into the record.
    pub fn ledger_mut(&mut self) -> &mut L {
        &mut self.ledger
    }

    /// Keeps everything. Gives back the ledger and what is held.
    pub fn commit(self) -> (L, Vec<R>) {
        (self.ledger, self.held)
    }
}

impl<R: fmt::Debug, L: fmt::Debug> fmt::Debug for Transaction<R, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("ledger", &self.ledger)
            .field("held", &self.held)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}
