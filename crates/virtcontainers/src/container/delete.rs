//! Delete: the container leaves the guest and the shared directory.

use std::sync::Arc;

use virtcontainers_store::Releaser as _;
use virtcontainers_types::{ContainerId, ContainerState, SandboxState};

use super::{open, stop};
use crate::{
    error::{Cause, Error},
    sandbox::{DeleteMode, Release, Resource, Shared, StopMode},
    state::{ContainerOperation, SandboxOperation},
};

pub(super) async fn delete(shared: Arc<Shared>, id: ContainerId, mode: DeleteMode) -> Result<(), Error> {
    let (mut session, mut record) =
        open(&shared, &id, SandboxOperation::EndContainer, "delete a container of").await?;
    match (mode, record.phase.state()) {
        (DeleteMode::IfStopped, _) => {
            session.admit_container(&record, ContainerOperation::Delete, "delete")?;
        }
        (DeleteMode::Force, ContainerState::Running | ContainerState::Paused) => {
            stop::stop_in(&mut session, &mut record, StopMode::Force).await?;
        }
        (DeleteMode::Force, ContainerState::Creating | ContainerState::Ready | ContainerState::Stopped) => {}
    }
    let mut release = Release::new(session.runtime(), session.id(), session.record.config.hypervisor_type);
    match session.record.phase.state() {
        SandboxState::Ready | SandboxState::Running => release = release.with_agent(session.agent().await?),
        SandboxState::Creating | SandboxState::Paused | SandboxState::Stopped => {}
    }
    let released = release.release(&Resource::Container { id: id.clone() }).await;
    released.map_err(|source| Cause::Release { what: format!("container {id}"), source })?;
    Ok(session.runtime().store().remove_container(session.lease(), &id)?)
}
