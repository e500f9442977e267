//! What can be asked of `virtc`: the command line, as clap reads it, with the help that teaches it.

mod container;
mod guest;
mod machine;
mod process;
mod sandbox;

use std::path::PathBuf;

use clap::{
    Args, Parser, Subcommand,
    builder::{PathBufValueParser, TypedValueParser},
};
use tracing_subscriber::{EnvFilter, filter::ParseError};
use virtcontainers::SandboxId;

pub(crate) use container::{ContainerArgs, ContainerCommand, ContainerVerb};
pub(crate) use guest::{BuildArgs, GuestCommand, GuestVerb, InfoArgs};
pub(crate) use machine::MachineArgs;
pub(crate) use process::ProcessArgs;
pub(crate) use sandbox::{CreateArgs, SandboxCommand, SandboxVerb};

/// Run containers inside lightweight virtual machines, one per sandbox.
#[derive(Debug, Parser)]
#[command(name = "virtc", version, max_term_width = 110, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  virtc doctor                                       what this host can do, and what is missing
  virtc run --rootfs ./debian --rm -- uname -a       one command in a virtual machine of its own
  virtc run --rootfs ./debian --rm -it -- bash       a shell
  virtc run --rootfs ./debian -d --name web -- sleep 1000
  virtc container enter web -- ps                    another process in it
  virtc sandbox list                                 all sandboxes of this host

Exit codes:
  the command's own; 128+n when signal n ended it; 125 when virtc itself failed; 126 when the command could not be
  executed; 127 when it was not found; 2 for a wrong command line.";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Directory of the sandboxes' state
    #[arg(long, global = true, env = "VIRTC_ROOT", value_name = "DIR", help_heading = "Global options")]
    pub(crate) root: Option<PathBuf>,
    /// Settings of this host, in TOML [default: /etc/virtcontainers/config.toml where it exists]
    #[arg(long, global = true, env = "VIRTC_CONFIG", value_name = "FILE", help_heading = "Global options")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// What to log on standard error: error, warn, info, debug, trace, or a tracing filter
    #[arg(
        long,
        global = true,
        env = "VIRTC_LOG",
        value_name = "FILTER",
        default_value = "warn",
        value_parser = log_filter,
        help_heading = "Global options"
    )]
    pub(crate) log: String,
}

/// A path, from the directory where virtc was called.
fn path_from_here() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute::<PathBuf>)
}

/// Accepts what the log understands.
fn log_filter(text: &str) -> Result<String, ParseError> {
    EnvFilter::try_new(text).map(|_| text.to_owned())
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command in a container in a new sandbox
    Run(RunArgs),
    /// Create, start, stop and look at sandboxes
    Sandbox(SandboxCommand),
    /// Create, start, enter and look at containers of a sandbox
    Container(ContainerCommand),
    /// Build and look at what virtual machines boot
    Guest(GuestCommand),
    /// Say what this host can do, what is missing, and the command that mends it
    ///
    /// Exits with 1 when something is missing without which no sandbox runs.
    Doctor,
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// (internal) Multiplex a virtio-serial port
    #[command(hide = true)]
    Proxy,
    /// (internal) Delete a sandbox when its container ends
    #[command(hide = true)]
    Reap {
        /// The sandbox
        sandbox: String,
    },
}

/// `virtc run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) container: ContainerArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Name of the sandbox and its container [default: a random one]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<SandboxId>,
    /// Delete the sandbox when the command ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// Print the sandbox's name and leave the command running
    #[arg(long, short = 'd', conflicts_with_all = ["interactive", "tty"])]
    pub(crate) detach: bool,
    /// Network of the sandbox
    #[arg(long, value_name = "NETWORK", default_value = "none", value_parser = ["none"])]
    pub(crate) net: String,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}
