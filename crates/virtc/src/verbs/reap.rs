//! `virtc reap` (hidden): waits until the container of a detached `--rm` sandbox has ended, and deletes the sandbox.

use virtcontainers::{DeleteMode, SandboxId};

use super::open;
use crate::{cli::Global, error::CliError, exit::Exit};

pub(super) async fn run(global: &Global, sandbox: &str) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let id = SandboxId::new(sandbox).map_err(|error| CliError::Usage(error.to_string()))?;
    let sandbox = runtime.fetch_sandbox(&id).await?;
    if let Some(container) = sandbox.containers().await?.first() {
        // A container that cannot be waited for has ended with its machine; either way the sandbox goes.
        if let Err(error) = sandbox.container(container).wait().await {
            tracing::debug!(%error, sandbox = %id, "waiting ended early");
        }
    }
    sandbox.delete(DeleteMode::Force).await?;
    Ok(Exit::Done)
}
