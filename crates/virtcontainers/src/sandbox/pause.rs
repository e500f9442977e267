//! Pause and resume: the machine's processors.
//!
//! The record is written after the machine has obeyed, so it may be behind: what it says is done is asked for.

use std::sync::Arc;

use virtcontainers_hypervisor::VmState;

use super::{SandboxPhase, Session, Shared, Todo};
use crate::{container::create::pass, error::Error, state::SandboxOperation};

pub(super) async fn pause(shared: Arc<Shared>) -> Result<(), Error> {
    let mut session = Session::open(&shared).await?;
    let todo = session.record.admit(SandboxOperation::Pause, "pause")?;
    if todo == Todo::Nothing && session.vm().await?.state().await? == VmState::Paused {
        return Ok(());
    }
    let machine = session.record.machine()?.clone();
    let vm = session.vm().await?;
    pass(&session.runtime().faults(), "pause machine", vm.pause()).await?;
    session.record.phase = SandboxPhase::Paused(machine);
    session.save()
}

pub(super) async fn resume(shared: Arc<Shared>) -> Result<(), Error> {
    let mut session = Session::open(&shared).await?;
    let todo = session.record.admit(SandboxOperation::Resume, "resume")?;
    if todo == Todo::Nothing && session.vm().await?.state().await? == VmState::Running {
        return Ok(());
    }
    let machine = session.record.machine()?.clone();
    let vm = session.vm().await?;
    pass(&session.runtime().faults(), "resume machine", vm.resume()).await?;
    session.record.phase = SandboxPhase::Running(machine);
    session.save()
}
