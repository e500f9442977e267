//! Delete: whatever is left of a sandbox is released, then it is forgotten.

use std::sync::Arc;

use virtcontainers_store::StoreError;

use super::{DeleteMode, Session, Shared, StopMode, release, session::LEASE_TIMEOUT, stop};
use crate::{
    error::{Cause, Error},
    state::SandboxOperation,
};

pub(super) async fn delete(shared: Arc<Shared>, mode: DeleteMode) -> Result<(), Error> {
    let opened = match mode {
        DeleteMode::Force => Session::open_by_force(&shared).await,
        DeleteMode::IfStopped => Session::open(&shared).await,
    };
    let session = match opened {
        Ok(session) => session,
        Err(error) if is_unreadable(&error, mode) => return delete_unreadable(&shared).await,
        Err(error) => return Err(error),
    };
    match mode {
        DeleteMode::Force => {}
        DeleteMode::IfStopped => drop(session.record.admit(SandboxOperation::Delete, "delete")?),
    }
    end_and_forget(session, StopMode::Force).await
}

/// Ends what there is of a sandbox, and forgets it.
pub(crate) async fn end_and_forget(session: Session, mode: StopMode) -> Result<(), Error> {
    let runtime = session.runtime().clone();
    let lease = stop::end(session, mode, stop::Afterwards::Forgotten).await?;
    runtime.faults().pass("forget", virtcontainers_store::Moment::Before).await.map_err(Cause::from)?;
    Ok(runtime.store().forget(lease)?)
}

/// Whether a delete may go on without the record: always if nothing was recorded, by force if it is damaged.
fn is_unreadable(error: &Error, mode: DeleteMode) -> bool {
    let Cause::Store(error) = error.cause() else { return false };
    let damaged = matches!(
        error,
        StoreError::Corrupt { .. }
            | StoreError::WrongKind { .. }
            | StoreError::TooLarge { .. }
            | StoreError::NewerSchema { .. }
    );
    matches!(error, StoreError::NoRecord { .. }) || (damaged && mode == DeleteMode::Force)
}

/// Finds what there is by marks and mounts.
async fn delete_unreadable(shared: &Arc<Shared>) -> Result<(), Error> {
    let (live, lease) = Session::seize(shared, LEASE_TIMEOUT).await?;
    release::salvage(shared.runtime(), shared.id()).await?;
    shared.runtime().store().forget(lease)?;
    drop(live);
    Ok(())
}
