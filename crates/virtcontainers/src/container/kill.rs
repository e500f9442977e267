//! Kill: a signal to a container's command, or to all of its processes.

use virtcontainers_agent_client::AgentErrorKind;
use virtcontainers_types::{ContainerState, ExecId, SandboxState};

use super::{Container, create::pass};
use crate::{
    error::{Cause, Error},
    sandbox::Visit,
    signal::{KillScope, Signal},
    state::ContainerOperation,
};

const VERB: &str = "kill";

pub(super) async fn kill(container: &Container, signal: Signal, scope: KillScope) -> Result<(), Error> {
    match send(container, signal, scope).await {
        // Whoever kills everything wants nothing to run, and nothing does.
        Err(error) if signal == Signal::KILL && scope == KillScope::All && is_over(&error) => Ok(()),
        sent => sent,
    }
}

async fn send(container: &Container, signal: Signal, scope: KillScope) -> Result<(), Error> {
    let id = container.id();
    let (visit, _) = Visit::container(&container.shared(), id, ContainerOperation::Kill, VERB).await?;
    let first = ExecId::from(id);
    let target = match scope {
        KillScope::Init => Some(&first),
        KillScope::All => None,
    };
    let agent = visit.agent().await?;
    let faults = container.sandbox().runtime().faults();
    let sent = async {
        let sent = agent.signal_process(id, target, signal.number()).await;
        visit.told_of(id, ContainerOperation::Kill, VERB, sent)
    };
    pass(&faults, "signal in guest", sent).await
}

/// Whether an error says that the container's processes have ended.
fn is_over(error: &Error) -> bool {
    let cause = error.cause();
    matches!(
        cause,
        Cause::SandboxState { state: SandboxState::Stopped, .. }
            | Cause::ContainerState { state: ContainerState::Stopped, .. }
    ) || matches!(cause, Cause::Agent(error) if is_absent(error.kind()))
}

fn is_absent(kind: AgentErrorKind) -> bool {
    matches!(kind, AgentErrorKind::NotFound | AgentErrorKind::FailedPrecondition)
}
