//! Verbs that go on to their end whether their caller waits or not.
//!
//! A verb that is cut in two leaves a record that is behind the guest. So each runs in a task of its own, and the
//! caller's future only listens for its end.

use std::{future::Future, panic::AssertUnwindSafe};

use futures::FutureExt as _;
use tokio::sync::oneshot;
use virtcontainers_sys::task;

use crate::{
    error::{Cause, Error},
    runtime::Runtime,
};

/// Runs a verb to its end.
pub(crate) async fn to_the_end<T: Send + 'static>(
    runtime: &Runtime,
    name: &'static str,
    verb: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    // From now until the task has ended, whatever becomes of the caller meanwhile.
    let at_work = runtime.at_work();
    let (answer, answered) = oneshot::channel();
    task::spawn(name, async move {
        let ended = match AssertUnwindSafe(verb).catch_unwind().await {
            Ok(ended) => ended,
            Err(_panic) => Err(Cause::Interrupted(format!("{name} panicked")).into()),
        };
        drop(at_work);
        // A caller that has gone since has no use for it.
        drop(answer.send(ended));
    })
    .detach();
    match answered.await {
        Ok(ended) => ended,
        Err(_closed) => Err(Cause::Interrupted("the async runtime shut down".to_owned()).into()),
    }
}
