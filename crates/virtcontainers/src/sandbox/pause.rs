//! Pause and resume: the machine's processors.

use std::sync::Arc;

use super::{SandboxPhase, Session, Shared, session::Todo};
use crate::{error::Error, state::SandboxOperation};

pub(super) async fn pause(shared: Arc<Shared>) -> Result<(), Error> {
    let mut session = Session::open(&shared).await?;
    if session.admit(SandboxOperation::Pause, "pause")? == Todo::Nothing {
        return Ok(());
    }
    let machine = session.machine()?.clone();
    session.vm().await?.pause().await?;
    session.record.phase = SandboxPhase::Paused(machine);
    session.save()
}

pub(super) async fn resume(shared: Arc<Shared>) -> Result<(), Error> {
    let mut session = Session::open(&shared).await?;
    if session.admit(SandboxOperation::Resume, "resume")? == Todo::Nothing {
        return Ok(());
    }
    let machine = session.machine()?.clone();
    session.vm().await?.resume().await?;
    session.record.phase = SandboxPhase::Running(machine);
    session.save()
}
