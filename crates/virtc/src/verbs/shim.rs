//! `virtc shim` (hidden): the process that stands for a detached process in a guest. The library starts it.

use crate::{error::CliError, exit::Exit};

/// Serves until the process has ended; its exit code. Makes its own small runtime, so it must not run inside another.
pub(crate) fn run() -> Result<Exit, CliError> {
    let code = virtcontainers_agent_client::shim::run_inherited()?;
    Ok(Exit::Code(code.into()))
}
