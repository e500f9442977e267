//! Running a transaction's body so that nothing it acquired is lost.

use std::{error::Error, fmt, panic::AssertUnwindSafe};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::oneshot;
use virtcontainers_sys::task;

use super::{Ledger, Resource, Transaction, UndoError, undo::panic_message};

/// What ended a transaction before its commit.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause<E> {
    /// Its body failed.
    Failed(E),
    /// Its body panicked, with this message.
    Panicked(String),
    /// Whoever asked for it did not wait for the end. Nobody is there to see this one, but for the log.
    Abandoned,
    /// The runtime was shut down in its midst: nothing was undone, all is recorded.
    Interrupted,
}

/// A transaction that was undone, why, and what could not be undone.
#[derive(Debug)]
pub struct Unwound<E> {
    /// What ended it.
    pub cause: Cause<E>,
    /// What went wrong while undoing; what these name stays recorded.
    pub undo_errors: Vec<UndoError>,
}

impl<E> fmt::Display for Unwound<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Failed(_) => f.write_str("the operation failed")?,
            Cause::Panicked(message) => write!(f, "the operation panicked: {message}")?,
            Cause::Abandoned => f.write_str("the operation was given up by its caller")?,
            Cause::Interrupted => {
                return f.write_str("the runtime ended: nothing was undone, clean up from the record");
            }
        }
        match self.undo_errors.as_slice() {
            [] => f.write_str("; all that it acquired was released"),
            errors => write!(f, "; {} of what it acquired could not be released", errors.len()),
        }
    }
}

impl<E: Error + 'static> Error for Unwound<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::Failed(error) => Some(error),
            Cause::Panicked(_) | Cause::Abandoned | Cause::Interrupted => None,
        }
    }
}

/// Runs `body` on `tx` in a task of its own.
///
/// When the body succeeds, the transaction is handed back for its commit's ledger and list. When it fails or panics, or
/// when the future of this function is dropped before the body has ended, the transaction is undone in that task, to
/// the end, whether anybody still waits for it or not.
///
/// # Errors
/// [`Unwound`], with the body's error or panic and the errors of the undoing.
pub async fn transact<R, L, T, E, F>(mut tx: Transaction<R, L>, body: F) -> Result<(T, L, Vec<R>), Unwound<E>>
where
    R: Resource,
    L: Ledger<R>,
    T: Send + 'static,
    E: Send + 'static,
    F: for<'tx> FnOnce(&'tx mut Transaction<R, L>) -> BoxFuture<'tx, Result<T, E>> + Send + 'static,
{
    // Dropped together with this future: that is how the task learns that its caller is gone.
    let (_caller, mut caller_gone) = oneshot::channel::<()>();
    let (answer, answered) = oneshot::channel();
    task::spawn("transaction", async move {
        let ended = {
            let body = AssertUnwindSafe(async { body(&mut tx).await }).catch_unwind();
            tokio::select! {
                biased;
                _ = &mut caller_gone => Err(Cause::Abandoned),
                ended = body => match ended {
                    Ok(Ok(done)) => Ok(done),
                    Ok(Err(error)) => Err(Cause::Failed(error)),
                    Err(panic) => Err(Cause::Panicked(panic_message(panic.as_ref()))),
                },
            }
        };
        let outcome = match ended {
            Ok(done) => {
                let (ledger, held) = tx.commit();
                Ok((done, ledger, held))
            }
            Err(cause) => {
                let undo_errors = tx.unwind().await;
                // The ledger may hold a lease, which must be free when the caller learns of the end.
                drop(tx);
                if matches!(cause, Cause::Abandoned) {
                    tracing::warn!(errors = ?undo_errors, "an operation was given up by its caller and undone");
                }
                Err(Unwound { cause, undo_errors })
            }
        };
        // A caller that has gone since has no use for it.
        drop(answer.send(outcome));
    })
    .detach();
    answered
        .await
        .unwrap_or_else(|_closed| Err(Unwound { cause: Cause::Interrupted, undo_errors: Vec::new() }))
}
