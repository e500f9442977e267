//! `virtc ps`: the processes of a container.

use virtcontainers::{ErrorKind, ProcessListFormat, ProcessListOptions};

use super::open;
use crate::{
    cli::{Global, PsArgs},
    error::CliError,
    exit::Exit,
    output,
};

pub(super) async fn run(global: &Global, args: PsArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let format = if global.json { ProcessListFormat::Json } else { ProcessListFormat::Table };
    let options = ProcessListOptions { format, args: args.words };
    let listed = args.target.find(&runtime).await?.processes(options).await.map_err(|error| {
        // The words are the caller's.
        if error.kind() == ErrorKind::InvalidConfig {
            CliError::Usage(error.to_string())
        } else {
            error.into()
        }
    })?;
    output::bytes(listed.as_ref())?;
    if !listed.as_ref().ends_with(b"\n") {
        output::line("")?;
    }
    Ok(Exit::Done)
}
