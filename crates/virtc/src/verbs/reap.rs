//! `virtc reap` (hidden): waits until the container of a detached `--rm` sandbox has ended, and deletes the sandbox.

use std::time::Duration;

use virtcontainers::{ContainerId, ContainerState, DeleteMode, ErrorKind, Runtime, SandboxId, SandboxState};

use super::open;
use crate::{cli::Global, error::CliError, exit::Exit};

/// After a wait that failed while the container may live on (the sandbox is paused, or another process works on it):
/// nothing announces the end of that, so it is looked at anew.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn run(global: &Global, sandbox: &str) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let id = SandboxId::new(sandbox).map_err(|error| CliError::Usage(error.to_string()))?;
    let sandbox = runtime.fetch_sandbox(&id).await?;
    if let Some(container) = sandbox.containers().await?.first() {
        while let Err(error) = sandbox.container(container).wait().await {
            if is_over(&runtime, &id, container).await? {
                break;
            }
            tracing::debug!(%error, sandbox = %id, "waiting anew");
            tokio::time::sleep(AGAIN).await;
        }
    }
    match sandbox.delete(DeleteMode::Force).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(Exit::Done),
    }
}

/// Whether the container has ended for certain. Only then may the sandbox go: a wait can fail for other reasons.
async fn is_over(runtime: &Runtime, sandbox: &SandboxId, container: &ContainerId) -> Result<bool, CliError> {
    match runtime.sandbox_status(sandbox).await {
        Ok(status) if status.state == SandboxState::Stopped => Ok(true),
        Ok(status) => {
            let found = status.containers.iter().find(|found| found.id == *container);
            Ok(found.is_none_or(|found| found.state == ContainerState::Stopped))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error.into()),
    }
}
