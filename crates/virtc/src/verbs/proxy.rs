//! `virtc proxy` (hidden): the process that multiplexes a sandbox's virtio-serial port. The library starts it.

use crate::{error::CliError, exit::Exit};

/// Serves until the port's other side ends. Makes its own small runtime, so it must not run inside another.
pub(crate) fn run() -> Result<Exit, CliError> {
    virtcontainers_agent_client::proxy::run_inherited()?;
    Ok(Exit::Done)
}
