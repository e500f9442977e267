//! `virtc run`.

use clap::Args;
use virtcontainers::SandboxId;

use super::{CgroupArgs, ContainerArgs, DetachKeysArg, MachineArgs, NetArgs, ProcessArgs};

/// `virtc run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtc run --rootfs ./debian --rm -- uname -a              one command, and nothing left of it
  virtc run --rootfs ./debian --rm -it -- bash              a shell; ctrl-p ctrl-q leaves it running
  virtc run --rootfs ./debian -d --name web -- sleep 1000   in the background: virtc logs, attach, exec, wait web
  virtc run --rootfs ./debian --rm --net cni:mynet -p 8080:80 -- httpd -f   with a network, and a port of it on the host")]
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
    /// Print the sandbox's name and leave the command running; its output is kept for virtc logs
    #[arg(long, short = 'd')]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) net: NetArgs,
    #[command(flatten)]
    pub(crate) cgroup: CgroupArgs,
    #[command(flatten)]
    pub(crate) keys: DetachKeysArg,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}
