//! Delete: the container leaves the guest and the shared directory.

use std::{path::PathBuf, sync::Arc, time::Duration};

use virtcontainers_store::Releaser as _;
use virtcontainers_types::{ContainerId, ContainerState, SandboxState};

use super::{create::pass, open, shim, stop};
use crate::{
    error::{Cause, Error},
    sandbox::{DeleteMode, Release, Resource, Session, Shared, StopMode, cgroups},
    state::{ContainerOperation, SandboxOperation},
};

pub(super) async fn delete(shared: Arc<Shared>, id: ContainerId, mode: DeleteMode) -> Result<(), Error> {
    let (mut session, mut record) =
        open(&shared, &id, SandboxOperation::EndContainer, "delete a container of").await?;
    match (mode, record.phase.state()) {
        (DeleteMode::IfStopped, _) => {
            session.record.admit_container(&record, ContainerOperation::Delete, "delete")?;
        }
        (DeleteMode::Force, ContainerState::Running | ContainerState::Paused) => {
            stop::stop_in(&mut session, &mut record, StopMode::Force).await?;
        }
        (DeleteMode::Force, ContainerState::Creating | ContainerState::Ready | ContainerState::Stopped) => {}
    }
    delete_in(&mut session, &id).await
}

/// Deletes a container that does not run.
pub(super) async fn delete_in(session: &mut Session, id: &ContainerId) -> Result<(), Error> {
    release_in(session, id).await?;
    session.runtime().store().remove_container(session.lease(), id)?;
    relimit(session);
    Ok(())
}

/// Ends a container whose record cannot be read, and moves the record out of the way: to where it is told.
pub(crate) async fn set_aside(session: &mut Session, name: &str) -> Result<Option<PathBuf>, Error> {
    // What has another name is no container's, whatever else it is.
    if let Ok(id) = ContainerId::new(name) {
        release_in(session, &id).await?;
    }
    let aside = session.runtime().store().set_aside_container(session.lease(), name)?;
    relimit(session);
    Ok(aside)
}

/// The limits of those that stay. The container is gone, whether they get others or not.
fn relimit(session: &Session) {
    if let Err(error) = cgroups::limit_session(session, None) {
        tracing::warn!(sandbox = %session.id(), %error, "cannot change the limits of the control groups");
    }
}

/// Takes a container out of the guest and the shared directory, and ends its shims.
async fn release_in(session: &mut Session, id: &ContainerId) -> Result<(), Error> {
    let mut release = Release::new(session.runtime(), session.id(), session.record.config.hypervisor_type);
    match session.record.phase.state() {
        SandboxState::Ready | SandboxState::Running => release = release.with_agent(session.agent().await?),
        SandboxState::Creating | SandboxState::Paused | SandboxState::Stopped => {}
    }
    let faults = session.runtime().faults();
    let released = async {
        let released = release.release(&Resource::Container { id: id.clone() }).await;
        released.map_err(|source| Cause::Release { what: format!("container {id}"), source })
    };
    pass(&faults, "release", released).await?;
    let dir = shim::dir(session.runtime(), session.id(), id);
    let ended = shim::end_all(&dir, Duration::ZERO).await;
    ended.map_err(|source| Cause::Host { what: "end a shim", source })?;
    shim::remove_dir(session.runtime(), session.id(), id)
}
