//! Clean up: stop and delete in one go, and the sandbox too once it is empty.

use std::sync::Arc;

use virtcontainers_types::{ContainerId, ContainerState};

use super::{delete, open, stop};
use crate::{
    error::Error,
    sandbox::{Shared, StopMode, end_and_forget},
    state::SandboxOperation,
};

pub(super) async fn clean_up(shared: Arc<Shared>, id: ContainerId, mode: StopMode) -> Result<(), Error> {
    let (mut session, mut record) =
        open(&shared, &id, SandboxOperation::EndContainer, "clean up a container of").await?;
    match record.phase.state() {
        ContainerState::Running | ContainerState::Paused => {
            stop::stop_in(&mut session, &mut record, mode).await?;
        }
        ContainerState::Creating | ContainerState::Ready | ContainerState::Stopped => {}
    }
    delete::delete_in(&mut session, &id).await?;
    // The lease is the same one, so nobody has put another container into it meanwhile.
    if session.containers()?.is_empty() { end_and_forget(session, mode).await } else { Ok(()) }
}
