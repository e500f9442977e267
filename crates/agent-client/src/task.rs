//! The one place of this crate that starts tasks: [`Tasks`] owns them and ends them when it is dropped.

use std::future::Future;

use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Owns background tasks: none outlives it by more than the step it is at.
#[derive(Debug)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    _ends_all: DropGuard,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        let stop = CancellationToken::new();
        Self { tracker: TaskTracker::new(), _ends_all: stop.clone().drop_guard(), stop }
    }

    /// Runs a future to its end, or until its owner is dropped.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        drop(self.tracker.spawn(async move {
            stop.run_until_cancelled_owned(work).await;
        }));
    }
}
