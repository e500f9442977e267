//! What can be asked of `virtc`: the command line, as clap reads it, with the help that teaches it.

mod attend;
mod cgroup;
mod container;
mod control;
mod copy;
mod gc;
mod guest;
mod machine;
mod network;
mod process;
mod run;
mod sandbox;
mod watch;

use std::path::PathBuf;

use clap::{
    Args, Parser, Subcommand,
    builder::{PathBufValueParser, TypedValueParser},
};
use tracing_subscriber::{EnvFilter, filter::ParseError};

pub(crate) use attend::{AttachArgs, ConsoleArgs, ExecArgs, WaitArgs};
pub(crate) use cgroup::CgroupArgs;
pub(crate) use container::{ContainerArgs, ContainerCommand, ContainerVerb};
pub(crate) use control::{KillArgs, LimitArgs, PauseArgs, UpdateArgs};
pub(crate) use copy::CpArgs;
pub(crate) use gc::GcArgs;
pub(crate) use guest::{BuildArgs, GuestCommand, GuestVerb, InfoArgs};
pub(crate) use machine::MachineArgs;
pub(crate) use network::{Net, NetArgs, NetworkCommand, NetworkVerb, RoutesArgs};
pub(crate) use process::{DetachKeysArg, ProcessArgs};
pub(crate) use run::RunArgs;
pub(crate) use sandbox::{CreateArgs, DeleteArgs, SandboxCommand, SandboxVerb, StopArgs};
pub(crate) use watch::{
    EventsArgs, InspectArgs, ListArgs, LogsArgs, Order, PsArgs, Source, StatsArgs, TopArgs,
};

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
  virtc exec -it web -- sh                           another process in it
  virtc logs -f web                                  what it prints
  virtc cp web:/etc/os-release .                     a file out of it
  virtc top                                          all sandboxes of this host, and what they use
  virtc rm -f web                                    and away with it

A container is named SANDBOX/CONTAINER; SANDBOX alone is enough when it has only one.

Exit codes:
  of run, exec, attach and wait the command's own; 128+n when signal n ended it; 125 when virtc itself failed; 126 when
  the command could not be executed; 127 when it was not found; 2 for a wrong command line.";

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
    /// What to log on standard error: error, warn, info, debug, trace, or a tracing filter [default: warn]
    #[arg(
        long,
        global = true,
        env = "VIRTC_LOG",
        value_name = "FILTER",
        value_parser = log_filter,
        help_heading = "Global options"
    )]
    pub(crate) log: Option<String>,
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
    /// Run a further command in a running container
    Exec(ExecArgs),
    /// Join a running container's command: its output, input and signals
    Attach(AttachArgs),
    /// Show what a command, the guest or its hypervisor has printed
    Logs(LogsArgs),
    /// Show the processes of a container
    Ps(PsArgs),
    /// Watch what all sandboxes use
    Top(TopArgs),
    /// Watch what containers use
    Stats(StatsArgs),
    /// Signal containers' commands
    Kill(KillArgs),
    /// Wait until containers' commands end, and exit with their code
    Wait(WaitArgs),
    /// Let sandboxes or containers stand still
    Pause(PauseArgs),
    /// Let them go on
    Resume(PauseArgs),
    /// Change the limits of running containers
    Update(UpdateArgs),
    /// Copy files between this host and a container
    Cp(CpArgs),
    /// Watch what happens to sandboxes and containers
    Events(EventsArgs),
    /// Open a shell in the guest itself, where that is enabled
    Console(ConsoleArgs),
    /// List all sandboxes
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show all that is known of sandboxes or containers, as JSON
    Inspect(InspectArgs),
    /// Stop sandboxes: their containers first, then their virtual machines
    Stop(StopArgs),
    /// Delete stopped sandboxes
    Rm(DeleteArgs),
    /// Remove what processes that died have left behind, and nothing that lives
    ///
    /// Half-made sandboxes, what stopped virtual machines have left, processes and mounts of sandboxes that are no more. A
    /// sandbox whose record cannot be read is moved to DIR/set-aside.
    Gc(GcArgs),
    /// Create, start, stop and look at sandboxes
    Sandbox(SandboxCommand),
    /// Create, start, enter and look at containers of a sandbox
    Container(ContainerCommand),
    /// List, plug and unplug interfaces of running sandboxes, and their routes
    Network(NetworkCommand),
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
    /// (internal) Be a guest's vsock device
    #[command(hide = true)]
    Vsock {
        /// The guest's context id, and the base of the host's sockets
        words: Vec<String>,
    },
    /// (internal) Stand for a process in a guest
    #[command(hide = true)]
    Shim,
    /// (internal) Keep a guest in step with its network namespace
    #[command(hide = true)]
    Netmon {
        /// The sandbox
        sandbox: String,
    },
    /// (internal) Delete a sandbox when its container ends
    #[command(hide = true)]
    Reap {
        /// The sandbox
        sandbox: String,
    },
}
