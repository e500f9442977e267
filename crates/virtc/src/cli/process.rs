//! Options of a command that runs in a container.

use std::path::PathBuf;

use clap::Args;
use virtcontainers::EnvVar;

use crate::detach::DetachKeys;

/// A command and its circumstances.
#[derive(Debug, Args)]
pub(crate) struct ProcessArgs {
    /// Set an environment variable (may be repeated)
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE")]
    pub(crate) env: Vec<EnvVar>,
    /// Working directory in the container [default: /]
    #[arg(short = 'w', long = "workdir", value_name = "DIR")]
    pub(crate) workdir: Option<PathBuf>,
    /// User, and optionally group, by name or number
    #[arg(short = 'u', long = "user", value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Pass standard input on
    #[arg(short = 'i', long = "interactive")]
    pub(crate) interactive: bool,
    /// Give the command a terminal
    #[arg(short = 't', long = "tty")]
    pub(crate) tty: bool,
    /// The command and its arguments, after --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// The keys that leave a command.
#[derive(Debug, Args)]
pub(crate) struct DetachKeysArg {
    /// Keys that leave the command running, where it has a terminal; empty for none
    #[arg(
        long,
        env = "VIRTC_DETACH_KEYS",
        value_name = "KEYS",
        default_value = "ctrl-p,ctrl-q",
        allow_hyphen_values = true
    )]
    pub(crate) detach_keys: DetachKeys,
}
