//! Options of a virtual machine.

use std::path::PathBuf;

use clap::Args;
use virtcontainers::{AcceleratorChoice, MachineType, MiB, SharedFs, Transport};

use super::path_from_here;

/// The virtual machine to make. What is not given here comes from the host's settings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Virtual machine")]
pub(crate) struct MachineArgs {
    /// Memory, with a unit: 512M, 2G
    #[arg(long, short = 'm', value_name = "SIZE", value_parser = MiB::parse)]
    pub(crate) memory: Option<MiB>,
    /// Number of virtual CPUs
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<u32>,
    /// Machine type: q35, pc, microvm
    #[arg(long, value_name = "TYPE")]
    pub(crate) machine: Option<MachineType>,
    /// What runs the guest's instructions: auto, kvm, tcg
    #[arg(long, value_name = "WHICH")]
    pub(crate) accel: Option<AcceleratorChoice>,
    /// Stream to the agent: auto, vsock, hybrid-vsock, virtio-serial
    #[arg(long, value_name = "WHICH")]
    pub(crate) transport: Option<Transport>,
    /// How the guest sees its files: virtio-fs, virtio-9p
    #[arg(long, value_name = "WHICH")]
    pub(crate) shared_fs: Option<SharedFs>,
    /// Directory made by `virtc guest build` [default: $VIRTC_GUEST_DIR, the host's settings, the usual places]
    #[arg(long, value_name = "DIR", value_parser = path_from_here(), conflicts_with_all = ["kernel", "initrd"])]
    pub(crate) guest: Option<PathBuf>,
    /// Kernel of your own
    #[arg(long, value_name = "FILE", value_parser = path_from_here(), requires = "initrd")]
    pub(crate) kernel: Option<PathBuf>,
    /// Initrd of your own
    #[arg(long, value_name = "FILE", value_parser = path_from_here(), requires = "kernel")]
    pub(crate) initrd: Option<PathBuf>,
    /// Kernel parameter (may be repeated)
    #[arg(long = "kernel-param", value_name = "KEY[=VALUE]")]
    pub(crate) kernel_params: Vec<String>,
    /// The hypervisor's program
    #[arg(long, value_name = "FILE", value_parser = path_from_here())]
    pub(crate) hypervisor: Option<PathBuf>,
    /// Seconds that the guest may take to boot
    #[arg(long, value_name = "SECONDS")]
    pub(crate) boot_timeout: Option<u32>,
    /// Let virtc console open a shell in the guest; its image must have one (virtc guest build --shell)
    #[arg(long)]
    pub(crate) debug_console: bool,
    /// More output from hypervisor, kernel and agent
    #[arg(long)]
    pub(crate) debug: bool,
}
