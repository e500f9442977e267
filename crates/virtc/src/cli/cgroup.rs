//! Options of a sandbox's control groups on the host.

use clap::Args;
use virtcontainers::MiB;

/// Where the sandbox's processes are on the host, and whether they are limited together.
#[derive(Debug, Args)]
#[command(next_help_heading = "Host")]
pub(crate) struct CgroupArgs {
    /// Control group below which the sandbox's own are made, on the host: from the top, or from where virtc is
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup_parent: Option<String>,
    /// Virtual machine and helpers together in the limited groups, with memory counted there as well
    #[arg(long)]
    pub(crate) sandbox_cgroup_only: bool,
    /// Limit memory on the host to the virtual machine's and so much more
    #[arg(long, value_name = "SIZE", value_parser = MiB::parse, requires = "sandbox_cgroup_only")]
    pub(crate) memory_overhead: Option<MiB>,
}
