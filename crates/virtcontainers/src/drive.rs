//! Verbs that go on to their end whether their caller waits or not.
//!
//! A verb that is cut in two leaves a record that is behind the guest. So each runs in a task of its own, and the
//! caller's future only listens for its end. A verb that nobody waits for is given a time, and then let go of: what it has
//! recorded tells the next one how to carry on.

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
    let patience = runtime.patience();
    let (mut answer, answered) = oneshot::channel();
    task::spawn(name, async move {
        let ended = {
            let mut verb = std::pin::pin!(AssertUnwindSafe(verb).catch_unwind());
            let given_up = async {
                answer.closed().await;
                tokio::time::sleep(patience).await;
            };
            tokio::select! {
                biased;
                ended = &mut verb => match ended {
                    Ok(ended) => ended,
                    Err(_panic) => Err(Cause::Interrupted(format!("{name} panicked")).into()),
                },
                () = given_up => {
                    tracing::warn!(verb = name, ?patience, "does not end and nobody waits for it: it is cut off");
                    Err(Cause::Interrupted(format!("nobody waited for {name}")).into())
                }
            }
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
