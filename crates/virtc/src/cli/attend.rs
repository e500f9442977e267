//! Being with a command: `virtc exec`, `attach`, `console`, `wait`.

use clap::Args;
use virtcontainers::SandboxId;

use super::{DetachKeysArg, ProcessArgs};
use crate::target::Target;

/// `virtc exec`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtc exec web -- cat /etc/hostname
  virtc exec -it web -- sh                           a shell beside the container's command
  echo hello | virtc exec -i web -- tr a-z A-Z
  virtc exec -d web -- sleep 60                      prints its id: virtc logs --exec ID web")]
pub(crate) struct ExecArgs {
    /// The container
    #[arg(value_name = "SANDBOX[/CONTAINER]")]
    pub(crate) target: Target,
    /// Print the process's id and leave it running; its output is kept for virtc logs --exec
    #[arg(long, short = 'd')]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) keys: DetachKeysArg,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}

/// `virtc attach`.
#[derive(Debug, Args)]
#[command(after_help = "\
What it has printed before is not shown again: virtc logs has it.")]
pub(crate) struct AttachArgs {
    /// The container
    #[arg(value_name = "SANDBOX[/CONTAINER]")]
    pub(crate) target: Target,
    /// Do not pass standard input on
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Pass the signals that virtc receives on to the command; otherwise they only end virtc
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    pub(crate) sig_proxy: bool,
    #[command(flatten)]
    pub(crate) keys: DetachKeysArg,
}

/// `virtc console`.
#[derive(Debug, Args)]
#[command(after_help = "\
The sandbox must have been made with --debug-console, and its guest image with a shell:
  virtc guest build --shell /bin/busybox
ctrl-p ctrl-q, or the shell's exit, leaves it.")]
pub(crate) struct ConsoleArgs {
    /// The sandbox
    pub(crate) sandbox: SandboxId,
    #[command(flatten)]
    pub(crate) keys: DetachKeysArg,
}

/// `virtc wait`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the exit code of each, in the order in which they are named, and exits with the first one that is not 0.")]
pub(crate) struct WaitArgs {
    /// The containers
    #[arg(required = true, value_name = "SANDBOX[/CONTAINER]")]
    pub(crate) targets: Vec<Target>,
}
