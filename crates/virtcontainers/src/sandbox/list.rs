//! List: the status of every sandbox. What cannot be read is there with the reason.

use std::{num::NonZero, thread};

use virtcontainers_store::{StoreError, StoreExt as _};

use super::status;
use crate::{
    error::{Cause, Error},
    runtime::Runtime,
    status::SandboxStatus,
};

/// One entry of a list: the name of a sandbox, and its status or why there is none.
type Entry = (String, Result<SandboxStatus, Error>);

/// So many sandboxes at least are worth a thread of their own.
const SHARE: usize = 64;
/// More threads than this would only wait for each other in the file system.
const THREADS: usize = 8;

pub(crate) fn list(runtime: &Runtime) -> Result<Vec<Entry>, Error> {
    let names = runtime.store().names()?;
    let processors = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS);
    let share = names.len().div_ceil(processors).max(SHARE);
    let (own, others) = names.split_at(share.min(names.len()));
    thread::scope(|scope| {
        let threads: Vec<_> = others
            .chunks(share)
            .map(|names| {
                thread::Builder::new()
                    .spawn_scoped(scope, || entries(runtime, names))
                    .map_err(|_no_thread| names)
            })
            .collect();
        let mut list = entries(runtime, own);
        for thread in threads {
            list.extend(match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // A host that has no threads left to give.
                Err(names) => entries(runtime, names),
            });
        }
        Ok(list)
    })
}

/// The entries of some sandboxes. One that was deleted while the list was made is in no list.
fn entries(runtime: &Runtime, names: &[String]) -> Vec<Entry> {
    let entry = |name: &String| {
        let record = runtime.store().load_named_as(name).map_err(Error::from);
        let status = record.and_then(|record| status::whole(runtime, record));
        let gone = status
            .as_ref()
            .is_err_and(|error| matches!(error.cause(), Cause::Store(StoreError::NotFound { .. })));
        (!gone).then(|| (name.clone(), status))
    };
    names.iter().filter_map(entry).collect()
}
