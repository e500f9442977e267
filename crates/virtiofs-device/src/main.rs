//! `vc-virtiofsd`: virtiofsd with a better cache. It serves a sandbox's shared directory to its guest, over a socket that it
//! is started with, and ends with the VMM.
//!
//! All that touches files is the crate `virtiofsd`. What is here puts it together, takes from the process what it does not
//! need ([`confine`]), and decides when a guest may keep a file's pages over an open ([`close_to_open`], [`history`]).

mod close_to_open;
mod confine;
mod history;
mod options;
mod stderr;

use std::{
    io,
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use clap::Parser as _;
use vhost::vhost_user::{Error as VhostUserError, Listener};
use vhost_user_backend::{Error as BackendError, VhostUserDaemon};
use virtiofsd::{
    filesystem::{FileSystem, SerializableFileSystem},
    limits,
    passthrough::{CachePolicy, Config, PassthroughFs, read_only::PassthroughFsRo},
    sandbox::Sandbox,
    vhost_user::VhostUserFsBackendBuilder,
};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

use crate::{close_to_open::CloseToOpen, options::Options};

/// Descriptors that are not the guest's to use up: one for each piece of the guest's memory, of which the VMM may send 509, and
/// some for the daemon itself.
const OWN_FDS: u64 = 509 + 100;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0} is no directory that can be shared: give --shared-dir another one")]
    NoDirectory(String),
    #[error("--fd={fd} is no listening socket: it is inherited from the program that starts this one")]
    Listener { fd: i32, source: io::Error },
    #[error(
        "--posix-acl cannot be had together with --translate-uid or --translate-gid: leave one of them out"
    )]
    TranslatedAcl,
    #[error("cannot catch signals")]
    Signals(#[source] io::Error),
    #[error(
        "cannot have {OWN_FDS} open files and more: raise the limit (ulimit -n), or lower --rlimit-nofile: {0}"
    )]
    Files(String),
    #[error("cannot enter the sandbox: {0}")]
    Sandbox(String),
    #[error("cannot filter system calls: {0}")]
    Seccomp(String),
    #[error("cannot drop capabilities")]
    Capabilities(#[source] io::Error),
    #[error("cannot open the shared directory")]
    Open(#[source] io::Error),
    #[error("cannot serve the VMM: {0}")]
    Serve(String),
}

fn main() -> ExitCode {
    let options = Options::parse();
    stderr::tell(options.log_level);
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let source = std::error::Error::source(&failure).map(|source| format!(": {source}"));
            log::error!("{failure}{}", source.unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Failure> {
    end_on_signals().map_err(Failure::Signals)?;
    if !Path::new(&options.shared_dir).is_dir() {
        return Err(Failure::NoDirectory(options.shared_dir));
    }
    let listener = virtcontainers_sys::unix::inherited_listener(options.fd)
        .map_err(|source| Failure::Listener { fd: options.fd, source })?;
    let threads = options.thread_pool_size;
    // Each thread has made a descriptor before it is counted.
    let own = OWN_FDS + u64::try_from(threads.max(1)).unwrap_or(u64::MAX - OWN_FDS);
    let limit = limits::setup_rlimit_nofile(options.rlimit_nofile).map_err(Failure::Files)?;
    let guest_fds = limit.checked_sub(own).ok_or_else(|| Failure::Files(format!("the limit is {limit}")))?;

    let maps = (options.uid_map.clone(), options.gid_map.clone());
    let mut sandbox = Sandbox::new(options.shared_dir.clone(), options.sandbox, maps.0, maps.1);
    let prefix = sandbox.get_mountinfo_prefix().map_err(Failure::Open)?;
    let listener =
        sandbox.enter(Listener::from(listener)).map_err(|error| Failure::Sandbox(error.to_string()))?;
    let (seccomp, modcaps, readonly) = (options.seccomp, options.modcaps, options.readonly);
    let close_to_open = matches!(options.cache, CachePolicy::Auto);
    let config = config(options, &mut sandbox, prefix, guest_fds)?;

    // Both hold for the threads that are started from here on.
    confine::filter(seccomp).map_err(|error| Failure::Seccomp(format!("{error:?}")))?;
    if rustix::process::geteuid().is_root() {
        confine::drop_capabilities(modcaps, config.inode_file_handles).map_err(Failure::Capabilities)?;
    }
    match (readonly, close_to_open) {
        (true, true) => serve(CloseToOpen::new(read_only(config)?), listener, threads),
        (true, false) => serve(read_only(config)?, listener, threads),
        (false, true) => serve(CloseToOpen::new(whole(config)?), listener, threads),
        (false, false) => serve(whole(config)?, listener, threads),
    }
}

fn whole(config: Config) -> Result<PassthroughFs, Failure> {
    PassthroughFs::new(config).map_err(Failure::Open)
}

fn read_only(config: Config) -> Result<PassthroughFsRo, Failure> {
    PassthroughFsRo::new(config).map_err(Failure::Open)
}

/// The first process of a pid namespace gets no signal that it does not handle.
fn end_on_signals() -> io::Result<()> {
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::new(AtomicBool::new(true)))?;
    }
    Ok(())
}

fn config(
    options: Options,
    sandbox: &mut Sandbox,
    mountinfo_prefix: Option<String>,
    guest_fd_limit: u64,
) -> Result<Config, Failure> {
    let timeout = match options.cache {
        CachePolicy::Never => Duration::ZERO,
        CachePolicy::Auto => Duration::from_secs(1),
        CachePolicy::Metadata | CachePolicy::Always => Duration::from_secs(86_400),
    };
    let translated = !options.translate_uid.is_empty() || !options.translate_gid.is_empty();
    if translated && options.posix_acl != virtiofsd::passthrough::NegotiationMode::Never {
        return Err(Failure::TranslatedAcl);
    }
    Ok(Config {
        entry_timeout: timeout,
        attr_timeout: timeout,
        root_dir: sandbox.get_root_dir(),
        mountinfo_prefix,
        xattr: options.xattr(),
        readdirplus: options.readdirplus(),
        cache_policy: options.cache,
        xattrmap: options.xattrmap,
        proc_sfd_rawfd: sandbox.get_proc_self_fd(),
        proc_mountinfo_rawfd: sandbox.get_mountinfo_fd(),
        announce_submounts: !options.no_announce_submounts,
        inode_file_handles: options.inode_file_handles,
        writeback: options.writeback,
        allow_direct_io: options.allow_direct_io,
        killpriv_v2: options.killpriv_v2,
        security_label: options.security_label,
        posix_acl: options.posix_acl,
        clean_noatime: !options.preserve_noatime,
        allow_mmap: options.allow_mmap,
        uid_map: Some(options.translate_uid),
        gid_map: Some(options.translate_gid),
        guest_fd_limit,
        ..Config::default()
    })
}

/// Serves one VMM, until it disconnects.
fn serve<F>(files: F, mut listener: Listener, threads: usize) -> Result<(), Failure>
where
    F: FileSystem + SerializableFileSystem + Send + Sync + 'static,
{
    let failed = |error: &dyn std::fmt::Display| Failure::Serve(error.to_string());
    let backend = VhostUserFsBackendBuilder::default()
        .set_thread_pool_size(threads)
        .build(files)
        .map_err(|error| failed(&error))?;
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let mut daemon = VhostUserDaemon::new("vc-virtiofsd".to_owned(), Arc::new(backend), memory)
        .map_err(|error| failed(&error))?;
    daemon.start(&mut listener).map_err(|error| failed(&error))?;
    match daemon.wait() {
        Ok(()) | Err(BackendError::HandleRequest(VhostUserError::Disconnected)) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}
