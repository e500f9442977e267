//! `virtc vsock` (hidden): the process that is a guest's vsock device. The library starts it.

use crate::{error::CliError, exit::Exit};

/// Serves until the VMM hangs up.
pub(crate) fn run(words: Vec<String>) -> Result<Exit, CliError> {
    virtcontainers_vsock_device::run_inherited(words.into_iter())?;
    Ok(Exit::Done)
}
