//! The command line: that of virtiofsd 1.14, as far as the library and its users' extra arguments go. What is missing is a
//! socket of its own making (the library hands one over), migration, the system's log, and all that virtiofsd calls deprecated.

use std::os::fd::RawFd;

use clap::Parser;
use log::LevelFilter;
use virtiofsd::{
    idmap::{GidMap, UidMap},
    passthrough::{CachePolicy, InodeFileHandlesMode, NegotiationMode, xattrmap::XattrMap},
    sandbox::SandboxMode,
    soft_idmap::cmdline::IdMap,
};

use crate::confine::CapabilityChanges;

/// Serves a directory of the host to one virtual machine over virtio-fs.
///
/// It is virtiofsd 1.14 in all but this: with `--cache auto` the guest keeps what it has read of a file for as long as the
/// file is unchanged when it is opened.
#[derive(Debug, Parser)]
#[command(name = "vc-virtiofsd", version, args_override_self = true)]
pub(crate) struct Options {
    /// The directory that the guest sees.
    #[arg(long)]
    pub(crate) shared_dir: String,
    /// The number of the listening socket that this process was started with.
    #[arg(long)]
    pub(crate) fd: RawFd,
    /// Threads that serve requests; with 0 there is one.
    #[arg(long, default_value_t = 0)]
    pub(crate) thread_pool_size: usize,
    /// What is put between this process and the host (namespace, chroot, none).
    #[arg(long, default_value = "namespace")]
    pub(crate) sandbox: SandboxMode,
    /// What happens at a system call that is not expected (kill, trap, log, none).
    #[arg(long, value_parser = crate::confine::seccomp_action, default_value = "kill")]
    pub(crate) seccomp: crate::confine::Seccomp,
    /// Capabilities to keep or to drop besides, such as +sys_admin:-mknod.
    #[arg(long, default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    pub(crate) modcaps: CapabilityChanges,
    /// How long the guest may trust what it knows (never, metadata, auto, always).
    #[arg(long, default_value = "auto")]
    pub(crate) cache: CachePolicy,
    /// Let the guest change nothing.
    #[arg(long)]
    pub(crate) readonly: bool,
    /// Remember files by handles rather than by open descriptors (never, prefer, mandatory).
    #[arg(long, value_parser = file_handles, default_value = "prefer")]
    pub(crate) inode_file_handles: InodeFileHandlesMode,
    /// Tell the guest of mounts below the directory; this is the default.
    #[arg(long)]
    announce_submounts: bool,
    /// Do not tell the guest of mounts below the directory.
    #[arg(long, overrides_with = "announce_submounts")]
    pub(crate) no_announce_submounts: bool,
    /// Extended attributes.
    #[arg(long)]
    xattr: bool,
    /// How the names of extended attributes are translated.
    #[arg(long, value_parser = |rules: &str| XattrMap::try_from(rules))]
    pub(crate) xattrmap: Option<XattrMap>,
    /// POSIX access control lists (never, auto, always).
    #[arg(long, require_equals = true, default_value = "never", default_missing_value = "always", num_args = 0..=1)]
    pub(crate) posix_acl: NegotiationMode,
    /// Security labels (never, auto, always).
    #[arg(long, require_equals = true, default_value = "never", default_missing_value = "always", num_args = 0..=1)]
    pub(crate) security_label: NegotiationMode,
    /// Shared mappings of files that are not cached.
    #[arg(long)]
    pub(crate) allow_mmap: bool,
    /// Honour `O_DIRECT`.
    #[arg(long)]
    pub(crate) allow_direct_io: bool,
    /// Do not send attributes along with directories.
    #[arg(long)]
    no_readdirplus: bool,
    /// Let the guest keep what it writes for a while.
    #[arg(long)]
    pub(crate) writeback: bool,
    /// Clear set-user-id and set-group-id bits on behalf of the guest.
    #[arg(long)]
    pub(crate) killpriv_v2: bool,
    /// Keep `O_NOATIME`.
    #[arg(long)]
    pub(crate) preserve_noatime: bool,
    /// Users of the namespace that `--sandbox namespace` makes, as :inside:outside:count:.
    #[arg(long)]
    pub(crate) uid_map: Vec<UidMap>,
    /// Groups of the namespace that `--sandbox namespace` makes, as :inside:outside:count:.
    #[arg(long)]
    pub(crate) gid_map: Vec<GidMap>,
    /// How users are translated, as type:source:target:count.
    #[arg(long)]
    pub(crate) translate_uid: Vec<IdMap>,
    /// How groups are translated, as type:source:target:count.
    #[arg(long)]
    pub(crate) translate_gid: Vec<IdMap>,
    /// So many open files; 0 leaves the limit as it is.
    #[arg(long)]
    pub(crate) rlimit_nofile: Option<u64>,
    /// What is told on standard error (error, warn, info, debug, trace, off).
    #[arg(long, default_value = "info")]
    pub(crate) log_level: LevelFilter,
}

impl Options {
    /// Whether there are extended attributes: what needs them implies them.
    pub(crate) fn xattr(&self) -> bool {
        let wanted = |mode| mode != NegotiationMode::Never;
        self.xattr || self.xattrmap.is_some() || wanted(self.posix_acl) || wanted(self.security_label)
    }

    pub(crate) fn readdirplus(&self) -> bool {
        !matches!(self.cache, CachePolicy::Never) && !self.no_readdirplus
    }
}

fn file_handles(word: &str) -> Result<InodeFileHandlesMode, &'static str> {
    match word {
        "never" => Ok(InodeFileHandlesMode::Never),
        "prefer" | "fallback" => Ok(InodeFileHandlesMode::Prefer),
        "mandatory" => Ok(InodeFileHandlesMode::Mandatory),
        _ => Err("it is never, prefer or mandatory"),
    }
}
