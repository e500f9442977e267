//! Freezing and thawing a container.

use super::{Container, State};
use crate::error::CallError;

/// Freezes everything in the container; it is frozen when this returns.
///
/// # Errors
/// [`CallError::WrongState`] unless it runs.
pub async fn pause(container: &Container) -> Result<(), CallError> {
    let _verb = container.verb.lock().await;
    if container.state() != State::Running {
        return Err(container.wrong_state("only a running container can be paused"));
    }
    freeze(container, true).await?;
    container.enter(State::Paused);
    Ok(())
}

/// Thaws it.
///
/// # Errors
/// [`CallError::WrongState`] unless it is paused.
pub async fn resume(container: &Container) -> Result<(), CallError> {
    let _verb = container.verb.lock().await;
    if container.state() != State::Paused {
        return Err(container.wrong_state("only a paused container can be resumed"));
    }
    freeze(container, false).await?;
    container.enter(State::Running);
    Ok(())
}

async fn freeze(container: &Container, frozen: bool) -> Result<(), CallError> {
    container
        .cgroup
        .freeze(frozen)
        .await
        .map_err(CallError::io("freeze or thaw", container.cgroup.directory()))
}
