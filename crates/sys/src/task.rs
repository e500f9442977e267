//! The one place that starts tokio tasks: a task has a name and an owner, and ends with its owner.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument as _;

/// A running task. Awaiting it gives its result; dropping it aborts it.
#[derive(Debug)]
#[must_use = "dropping a Task aborts it: keep it, await it or detach it"]
pub struct Task<T> {
    handle: Option<JoinHandle<T>>,
}

/// Starts `future` on the current runtime, in a tracing span that carries `name`.
///
/// # Panics
/// When called outside of a tokio runtime, as [`tokio::spawn`] does.
#[expect(clippy::disallowed_methods, reason = "this is the room that gives every task its owner")]
pub fn spawn<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Task { handle: Some(tokio::spawn(future.instrument(tracing::debug_span!("task", name)))) }
}

impl<T> Task<T> {
    /// Lets the task run on to its own end, with nobody to receive its result.
    pub fn detach(mut self) {
        drop(self.handle.take());
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks the task to stop at its next await.
    pub fn abort(&self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.handle {
            Some(handle) => Pin::new(handle).poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.abort();
    }
}
