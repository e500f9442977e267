//! Start: the containers of a sandbox, in the order of its configuration.

use std::sync::Arc;

use super::{Session, Shared, Todo};
use crate::{
    container::{self, ContainerRecord, create::pass},
    error::Error,
    sandbox::SandboxPhase,
    state::{Admission, ContainerOperation, SandboxOperation, admit_container},
};

pub(super) async fn start(shared: Arc<Shared>) -> Result<(), Error> {
    let mut session = Session::open(&shared).await?;
    if session.record.admit(SandboxOperation::Start, "start")? == Todo::Nothing {
        return Ok(());
    }
    // One that cannot be read cannot be started, and the sandbox does not run without it.
    let mut containers = session.containers()?.into_iter().collect::<Result<Vec<_>, _>>()?;
    containers.sort_by_key(|container| (container.created, container.place));
    for container in &mut containers {
        if is_startable(container) {
            container::start_in(&mut session, container).await?;
        }
    }
    let machine = session.record.machine()?.clone();
    session.record.phase = SandboxPhase::Running(machine);
    let save = async { session.save() };
    pass(&session.runtime().faults(), "save", save).await
}

/// Whether a container is yet to be started. Those of an earlier start that went half-way run, or have ended.
const fn is_startable(container: &ContainerRecord) -> bool {
    matches!(admit_container(container.phase.state(), ContainerOperation::Start), Admission::Act)
}
