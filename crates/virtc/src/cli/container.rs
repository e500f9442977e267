//! `virtc container …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use virtcontainers::SandboxId;

use super::{AttachArgs, ExecArgs, KillArgs, LogsArgs, ProcessArgs, UpdateArgs, WaitArgs, path_from_here};
use crate::target::Target;

/// Containers. Where one is named, SANDBOX/CONTAINER is meant; SANDBOX alone is enough when it has only one container.
#[derive(Debug, Args)]
pub(crate) struct ContainerCommand {
    #[command(subcommand)]
    pub(crate) verb: ContainerVerb,
}

/// What to do with containers.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerVerb {
    /// Create a container in a sandbox; its command is not started
    Create {
        /// The sandbox and the new container's name
        #[arg(value_name = "SANDBOX/CONTAINER")]
        target: Target,
        #[command(flatten)]
        container: ContainerArgs,
        #[command(flatten)]
        process: ProcessArgs,
    },
    /// Start a created container
    Start {
        /// The container
        #[arg(value_name = "SANDBOX[/CONTAINER]")]
        target: Target,
        /// Show its output, pass signals on, and exit with its code
        #[arg(long, short)]
        attach: bool,
    },
    /// Run a further command in a running container: virtc exec
    #[command(visible_alias = "exec")]
    Enter(ExecArgs),
    /// Join a running container's command: virtc attach
    Attach(AttachArgs),
    /// Show what a container has printed: virtc logs
    Logs(LogsArgs),
    /// Stop a container
    Stop {
        /// The container
        #[arg(value_name = "SANDBOX[/CONTAINER]")]
        target: Target,
        /// Kill it at once
        #[arg(long, short)]
        force: bool,
    },
    /// Signal containers' commands: virtc kill
    Kill(KillArgs),
    /// Freeze a container's processes
    Pause {
        /// The container
        #[arg(value_name = "SANDBOX[/CONTAINER]")]
        target: Target,
    },
    /// Let them go on
    Resume {
        /// The container
        #[arg(value_name = "SANDBOX[/CONTAINER]")]
        target: Target,
    },
    /// Wait until containers' commands end, and exit with their code: virtc wait
    Wait(WaitArgs),
    /// Change the limits of running containers: virtc update
    Update(UpdateArgs),
    /// Delete a stopped container
    #[command(visible_alias = "rm")]
    Delete {
        /// The container
        #[arg(value_name = "SANDBOX[/CONTAINER]")]
        target: Target,
        /// Stop it first
        #[arg(long, short)]
        force: bool,
    },
    /// Show one container
    Status {
        /// The container
        #[arg(value_name = "SANDBOX[/CONTAINER]")]
        target: Target,
    },
    /// List containers
    #[command(visible_alias = "ls")]
    List {
        /// Of this sandbox only
        sandbox: Option<SandboxId>,
        /// Print names only
        #[arg(long, short)]
        quiet: bool,
    },
}

/// The container to make.
#[derive(Debug, Args)]
pub(crate) struct ContainerArgs {
    /// Directory that becomes the container's root [default: the one in the host's settings]
    #[arg(long, env = "VIRTC_ROOTFS", value_name = "DIR", value_parser = path_from_here())]
    pub(crate) rootfs: Option<PathBuf>,
    /// The root cannot be written
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Make a file or directory of the host visible in the container (may be repeated)
    #[arg(short = 'v', long = "volume", value_name = "SRC:DST[:ro]")]
    pub(crate) volumes: Vec<String>,
}
