//! Releasing, in reverse order, past errors, panics and hangs.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use thiserror::Error;

use super::{Ledger, ReleaseError, Resource, Transaction};
use crate::{Moment, StoreError};

/// What went wrong while undoing. What it names may still be there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UndoError {
    /// A release failed.
    #[error("cannot release {resource}")]
    Failed {
        /// The resource's label.
        resource: String,
        /// The releaser's reason.
        #[source]
        source: ReleaseError,
    },
    /// A release panicked.
    #[error("releasing {resource} panicked: {message}")]
    Panicked {
        /// The resource's label.
        resource: String,
        /// The panic's message.
        message: String,
    },
    /// A release did not end in time.
    #[error("releasing {resource} did not end within {after:?}")]
    Timeout {
        /// The resource's label.
        resource: String,
        /// The time allowed.
        after: Duration,
    },
    /// What remains could not be recorded.
    #[error("cannot record what remains after undoing")]
    Record(#[source] StoreError),
}

/// The text of a panic.
pub(super) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

impl<R: Resource, L: Ledger<R>> Transaction<R, L> {
    /// Releases what was acquired here, the latest first, and tells the ledger what remains. A failed release does not
    /// keep the others from being tried.
    pub async fn unwind(&mut self) -> Vec<UndoError> {
        let mut errors = Vec::new();
        let mut failed = Vec::new();
        while self.held.len() > self.kept {
            let Some(resource) = self.held.pop() else { break };
            if let Err(error) = self.release(&resource).await {
                errors.push(error);
                failed.push(resource);
            }
        }
        self.held.extend(failed.into_iter().rev());
        if let Err(error) = self.ledger.unwound(&self.held) {
            errors.push(UndoError::Record(error));
        }
        errors
    }

    /// Releases those of all held resources that `chosen` picks, the latest first, and records what remains: how a
    /// stop or the delete of one container takes its part of a sandbox apart.
    pub async fn release_where(&mut self, mut chosen: impl FnMut(&R) -> bool) -> Vec<UndoError> {
        let mut errors = Vec::new();
        for index in (0..self.held.len()).rev() {
            let Some(resource) = self.held.get(index).filter(|resource| chosen(resource)).cloned() else {
                continue;
            };
            match self.release(&resource).await {
                Ok(()) => {
                    self.held.remove(index);
                    self.kept -= usize::from(index < self.kept);
                }
                Err(error) => errors.push(error),
            }
        }
        if let Err(error) = self.ledger.record(&self.held) {
            errors.push(UndoError::Record(error));
        }
        errors
    }

    async fn release(&mut self, resource: &R) -> Result<(), UndoError> {
        let act = async {
            let fault = |fault| -> ReleaseError { Box::new(fault) };
            self.faults.pass("release", Moment::Before).await.map_err(fault)?;
            self.releaser.release(resource).await?;
            self.faults.pass("release", Moment::After).await.map_err(fault)
        };
        let guarded = AssertUnwindSafe(act).catch_unwind();
        let after = self.release_timeout;
        match tokio::time::timeout(after, guarded).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(source))) => Err(UndoError::Failed { resource: resource.label(), source }),
            Ok(Err(panic)) => Err(UndoError::Panicked {
                resource: resource.label(),
                message: panic_message(panic.as_ref()),
            }),
            Err(_elapsed) => Err(UndoError::Timeout { resource: resource.label(), after }),
        }
    }
}
