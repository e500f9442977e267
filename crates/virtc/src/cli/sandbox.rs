//! `virtc sandbox …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use virtcontainers::SandboxId;

use super::{CgroupArgs, ListArgs, MachineArgs, NetArgs};

/// Sandboxes: virtual machines in which containers run.
#[derive(Debug, Args)]
pub(crate) struct SandboxCommand {
    #[command(subcommand)]
    pub(crate) verb: SandboxVerb,
}

/// What to do with sandboxes.
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxVerb {
    /// Boot a sandbox; its containers are created, not started
    Create(CreateArgs),
    /// Start the containers of a created sandbox
    Start {
        /// The sandbox
        sandbox: SandboxId,
    },
    /// Create and start in one go
    Run(CreateArgs),
    /// Stop a sandbox: its containers first, then its virtual machine
    Stop(StopArgs),
    /// Let a sandbox's processors stand still
    Pause {
        /// The sandbox
        sandbox: SandboxId,
    },
    /// Let them go on
    Resume {
        /// The sandbox
        sandbox: SandboxId,
    },
    /// Delete a stopped sandbox
    #[command(visible_alias = "rm")]
    Delete(DeleteArgs),
    /// Show one sandbox
    Status {
        /// The sandbox
        sandbox: SandboxId,
    },
    /// List all sandboxes
    #[command(visible_alias = "ls")]
    List(ListArgs),
}

/// `virtc sandbox create` and `run`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Name of the sandbox [default: a random one]
    pub(crate) name: Option<SandboxId>,
    /// The whole sandbox as a file, TOML or JSON: the fields of the library's SandboxConfig
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    #[command(flatten)]
    pub(crate) net: NetArgs,
    #[command(flatten)]
    pub(crate) cgroup: CgroupArgs,
}

/// `virtc sandbox stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The sandboxes
    #[arg(required = true)]
    pub(crate) sandboxes: Vec<SandboxId>,
    /// Do not wait for commands and guest to end by themselves
    #[arg(long, short)]
    pub(crate) force: bool,
}

/// `virtc sandbox delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The sandboxes
    #[arg(required = true)]
    pub(crate) sandboxes: Vec<SandboxId>,
    /// Stop them first
    #[arg(long, short)]
    pub(crate) force: bool,
}
