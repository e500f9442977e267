//! `virtc completions`: a shell's completion script.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{cli::Cli, error::CliError, exit::Exit, output};

pub(super) fn run(shell: Shell) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "virtc", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
