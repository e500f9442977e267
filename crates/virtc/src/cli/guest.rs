//! `virtc guest …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The guest image: the kernel and initrd that virtual machines boot.
#[derive(Debug, Args)]
pub(crate) struct GuestCommand {
    #[command(subcommand)]
    pub(crate) verb: GuestVerb,
}

/// What to do with guest images.
#[derive(Debug, Subcommand)]
pub(crate) enum GuestVerb {
    /// Make kernel and initrd from a kernel package, or from files of any distribution
    Build(BuildArgs),
    /// Show the guest image in use, or the one in a directory
    Info(InfoArgs),
}

/// `virtc guest build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Debian package of the kernel, fetched with apt-get
    #[arg(long, value_name = "NAME", default_value = "linux-image-amd64", conflicts_with_all = ["deb", "kernel"])]
    pub(crate) package: String,
    /// A kernel package that is already here
    #[arg(long, value_name = "FILE", conflicts_with = "kernel")]
    pub(crate) deb: Option<PathBuf>,
    /// A kernel, bzImage or vmlinux; without --modules all drivers must be built in
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,
    /// The kernel's modules, for example /lib/modules/6.1.0-13-amd64
    #[arg(long, value_name = "DIR", requires = "kernel")]
    pub(crate) modules: Option<PathBuf>,
    /// The agent, statically linked [default: vc-agent beside virtc, or as `make agent` leaves it]
    #[arg(long, env = "VIRTC_AGENT", value_name = "FILE")]
    pub(crate) agent: Option<PathBuf>,
    /// A shell for the guest's debug console, statically linked (such as /bin/busybox of busybox-static); becomes /bin/sh
    #[arg(long, value_name = "FILE")]
    pub(crate) shell: Option<PathBuf>,
    /// Where to put the image [default: where virtc looks for it]
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Where to keep fetched packages
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
}

/// `virtc guest info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// The image's directory [default: the one that virtc uses]
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Compare the files with their SHA-512
    #[arg(long)]
    pub(crate) verify: bool,
}
