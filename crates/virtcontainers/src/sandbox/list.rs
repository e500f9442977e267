//! List: the status of every sandbox. What cannot be read is there with the reason.

use virtcontainers_store::{Listed, StoreError, StoreExt as _};

use super::{SandboxRecord, status};
use crate::{
    error::{Cause, Error},
    runtime::Runtime,
    status::SandboxStatus,
};

/// One entry of a list: the name of a sandbox, and its status or why there is none.
type Entry = (String, Result<SandboxStatus, Error>);

pub(crate) fn list(runtime: &Runtime) -> Result<Vec<Entry>, Error> {
    let listed = runtime.store().list_as::<SandboxRecord>()?;
    let entry = |Listed { name, record }: Listed<SandboxRecord>| {
        let status = record.map_err(Error::from).and_then(|record| status::whole(runtime, record));
        (name, status)
    };
    // One that was deleted while the list was made is in no list.
    let exists = |(_, status): &Entry| {
        !status
            .as_ref()
            .is_err_and(|error| matches!(error.cause(), Cause::Store(StoreError::NotFound { .. })))
    };
    Ok(listed.into_iter().map(entry).filter(exists).collect())
}
