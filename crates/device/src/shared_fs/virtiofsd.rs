//! virtio-fs, served by `vc-virtiofsd` (crates/virtiofs-device), or by a plain virtiofsd (the Rust one, version 1.14), whose
//! arguments are the same.
//!
//! It runs in mount, pid, network, ipc and uts namespaces of its own, with the exported tree as its root and its system
//! calls filtered; no argument takes that away. The namespaces are made here and the daemon changes its root: that is
//! one process, where the daemon's own way (`--sandbox namespace`) takes two, of which one only waits for the other. On a
//! host where this process may make no namespaces, the daemon does it in its own way. Its listening socket is made here and handed over, so that the VMM can
//! connect at any time without asking whether the daemon is up. It serves one VMM, and ends when that one disconnects.

use std::{
    ffi::OsString,
    os::{fd::AsFd as _, unix::net::UnixListener},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use virtcontainers_sys::{
    spawn::{Spawn, SpawnError},
    unix,
};
use virtcontainers_types::SandboxId;

use crate::{Daemon, DaemonRole, DeviceError, Program, Share};

/// The program. The virtiofsd in `/usr/lib/qemu` is QEMU's old daemon, with other arguments.
pub const PROGRAM: Program = Program {
    name: "vc-virtiofsd",
    otherwise: Some("virtiofsd"),
    places: &["/usr/libexec"],
    remedy: "put it beside the program of this process or on PATH (scripts/build-virtc makes it); or install virtiofsd with \
             `cargo install virtiofsd@1.14.0` (needs libseccomp-dev and libcap-ng-dev), or set the path of an installed one",
};

/// The socket's name in the sandbox's directory.
pub const SOCKET: &str = "virtiofs.sock";
/// The tag by which the guest mounts the tree (Kata's convention).
pub const TAG: &str = "kataShared";
/// The number of the listening socket in the daemon.
const SOCKET_FD: i32 = 3;

/// How long the guest may trust what it knows of a file (`--cache`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheMode {
    /// Not at all.
    Never,
    /// Metadata for a second, contents from open to close; with `vc-virtiofsd` contents for as long as an open finds the
    /// file unchanged.
    #[default]
    Auto,
    /// For ever: for trees that nobody else changes.
    Always,
    /// Metadata only.
    Metadata,
}

impl CacheMode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Metadata => "metadata",
        }
    }
}

/// How virtiofsd is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VirtiofsdConfig {
    /// The program's path; found by itself if none.
    pub program: Option<PathBuf>,
    /// The guest's cache.
    pub cache: CacheMode,
    /// Threads that serve requests beside the main one; with 0, the main one serves them.
    pub thread_pool_size: u32,
    /// More arguments (the reference document's `VirtioFSExtraArgs`). One that sets what is set here wins.
    pub extra_args: Vec<String>,
    /// The control groups that it starts in.
    pub cgroups: Vec<PathBuf>,
}

/// Arguments that are the library's own, and why no other may be given.
const RESERVED: [(&str, &str); 6] = [
    ("--fd", "the socket is made by this library"),
    ("--socket", "the socket is made by this library"),
    ("--socket-path", "the socket is made by this library"),
    ("--shared-dir", "the exported directory is made by this library"),
    ("--print-capabilities", "it would print and exit"),
    ("-o", "give the option in its own form"),
];

/// Arguments whose value `none` would leave the host open to the guest.
const CONFINING: [&str; 2] = ["--sandbox", "--seccomp"];

fn check(extra: &[String]) -> Result<(), DeviceError> {
    for (index, argument) in extra.iter().enumerate() {
        let refuse = |reason| Err(DeviceError::RefusedArgument { argument: argument.clone(), reason });
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), extra.get(index + 1).map(String::as_str)),
        };
        if let Some((_, reason)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
            return refuse(reason);
        }
        if name.starts_with("-o") && !name.starts_with("--") {
            return refuse("give the option in its own form");
        }
        if CONFINING.contains(&name) && !matches!(value, Some("namespace" | "chroot" | "kill" | "trap")) {
            return refuse("the daemon handles what a hostile guest sends: it stays confined");
        }
    }
    Ok(())
}

/// Who makes the daemon's namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// Whoever starts it: it only changes its root.
    Made,
    /// The daemon, in a second process.
    Own,
}

impl Sandbox {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Made => "chroot",
            Self::Own => "namespace",
        }
    }
}

/// Whether the configuration leaves the daemon's sandbox to us.
fn is_ours(config: &VirtiofsdConfig) -> bool {
    !config.extra_args.iter().any(|argument| argument.split('=').next() == Some("--sandbox"))
}

/// The daemon's arguments, without its name: pure.
///
/// # Errors
/// [`DeviceError::RefusedArgument`].
pub fn argv(
    config: &VirtiofsdConfig,
    sandbox: Sandbox,
    socket_fd: i32,
    shared_dir: &str,
) -> Result<Vec<String>, DeviceError> {
    check(&config.extra_args)?;
    let mut argv = vec![format!("--fd={socket_fd}"), format!("--shared-dir={shared_dir}")];
    let defaults = [
        ("--sandbox", sandbox.as_str().to_owned()),
        ("--seccomp", "kill".to_owned()),
        ("--cache", config.cache.as_str().to_owned()),
        ("--thread-pool-size", config.thread_pool_size.to_string()),
        // Without them an open descriptor is kept for every file that the guest has looked up.
        ("--inode-file-handles", "prefer".to_owned()),
        ("--log-level", "warn".to_owned()),
    ];
    let given = |name: &str| config.extra_args.iter().any(|arg| arg.split('=').next() == Some(name));
    argv.extend(
        defaults.iter().filter(|(name, _)| !given(name)).map(|(name, value)| format!("{name}={value}")),
    );
    // Each mount in the tree gets a device number of its own in the guest, so that equal inode numbers of two file
    // systems are told apart.
    if !given("--no-announce-submounts") && !given("--announce-submounts") {
        argv.push("--announce-submounts".to_owned());
    }
    argv.extend(config.extra_args.iter().cloned());
    Ok(argv)
}

/// Starts the daemon for the tree of a sandbox. The VMM may connect to [`SOCKET`] from now on.
///
/// # Errors
/// When the program is not there, an argument is refused, or the socket cannot be made.
pub fn launch(
    root: &Path,
    id: &SandboxId,
    sandbox_dir: &Path,
    config: &VirtiofsdConfig,
) -> Result<Daemon, DeviceError> {
    let program = PROGRAM.find(config.program.as_deref(), None)?;
    let share = Share::new(sandbox_dir).exported();
    let name = share.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let start = |sandbox, listener: &UnixListener| {
        let argv = argv(config, sandbox, SOCKET_FD, &name)?;
        let fd = listener.as_fd().try_clone_to_owned().map_err(DeviceError::io("hand over", SOCKET))?;
        let spawn = Spawn::new(&program).args(argv.into_iter().map(OsString::from)).fd(fd, SOCKET_FD);
        let spawn = if sandbox == Sandbox::Made { spawn.confined() } else { spawn };
        let mark = DaemonRole::Virtiofsd.mark(root, id).within(config.cgroups.clone());
        Daemon::start(DaemonRole::Virtiofsd, spawn, sandbox_dir, &mark)
    };
    let failed = || DeviceError::io("listen on", sandbox_dir.join(SOCKET));
    let listener = unix::bind_in(sandbox_dir, SOCKET).map_err(failed())?;
    // The daemon takes a listener that has nobody waiting for a failure.
    listener.set_nonblocking(false).map_err(failed())?;
    if !is_ours(config) {
        return start(Sandbox::Own, &listener);
    }
    match start(Sandbox::Made, &listener) {
        Err(DeviceError::Spawn(error @ SpawnError::NotConfined { .. })) => {
            tracing::debug!(%error, "virtiofsd makes its namespaces itself");
            start(Sandbox::Own, &listener)
        }
        started => started,
    }
}

#[cfg(test)]
mod tests;
