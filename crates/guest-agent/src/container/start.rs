//! Starting a created container. Nothing forks here, so it happens in the agent itself.

use super::{Container, State, worker};
use crate::{agent::Agent, error::CallError};

/// Lets the first process go on to its program.
///
/// # Errors
/// [`CallError::WrongState`] unless it is created; [`CallError::Start`].
pub async fn start(agent: &Agent, container: &Container) -> Result<(), CallError> {
    let verb = container.verb.lock().await;
    match container.state() {
        State::Created => {}
        State::Running | State::Paused | State::Stopped => {
            return Err(container.wrong_state("only a created container can be started"));
        }
    }
    let directory = agent.settings().states().join(container.id.as_str());
    let started = libcontainer::container::Container::load(directory).and_then(|mut state| state.start());
    started
        .map_err(|error| CallError::Start { id: container.id.to_string(), reason: worker::chain(&error) })?;
    container.enter(State::Running);
    drop(verb);
    Ok(())
}
