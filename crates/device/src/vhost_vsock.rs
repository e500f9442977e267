//! vsock for guests on hosts without `/dev/vhost-vsock`: the daemon `vhost-device-vsock` (version 0.3.0).
//!
//! The VMM connects to [`VHOST_SOCKET`]. A host program connects to [`VSOCK_SOCKET`], writes `CONNECT <port>` and reads
//! `OK <port>` before it speaks to the guest; connections that the guest opens to the host's port `P` arrive at a
//! listener on `<VSOCK_SOCKET>_P`. The daemon makes its sockets itself, does not end with the VMM, and must not be
//! dialled before something listens in the guest: a dial while the guest's driver starts can hang it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use virtcontainers_sys::{process::ProcessRef, spawn::Spawn, unix};
use virtcontainers_types::SandboxId;

use crate::{Daemon, DaemonRole, DeviceError, Program};

/// The program.
pub const PROGRAM: Program = Program {
    name: "vhost-device-vsock",
    places: &["/usr/libexec"],
    remedy: "install it with `cargo install vhost-device-vsock@0.3.0`, or set the path of an installed one",
};

/// The socket for the VMM, in the sandbox's directory.
pub const VHOST_SOCKET: &str = "vhost-vsock.sock";
/// The socket for host programs, in the sandbox's directory.
pub const VSOCK_SOCKET: &str = "vsock.sock";
/// The guest's context id. Each guest has a daemon of its own, so all may have the same.
pub const GUEST_CID: u32 = 3;

/// The daemon's arguments, without its name: pure.
#[must_use]
pub fn argv() -> Vec<String> {
    // Relative paths: they are not limited by the length of the sandbox's directory.
    let vm = format!("guest-cid={GUEST_CID},socket={VHOST_SOCKET},uds-path={VSOCK_SOCKET}");
    vec!["--vm".to_owned(), vm]
}

/// [`start`], and [`ready`] after it.
///
/// # Errors
/// As those; the daemon is stopped then.
pub async fn launch(
    root: &Path,
    id: &SandboxId,
    sandbox_dir: &Path,
    program: Option<PathBuf>,
    timeout: Duration,
) -> Result<Daemon, DeviceError> {
    let daemon = start(root, id, sandbox_dir, program)?;
    if let Err(error) = ready(sandbox_dir, daemon.record().process, timeout).await {
        // The first error is the one to tell; the mark finds what could not be stopped.
        crate::stop(&daemon.record(), Duration::ZERO).await.ok();
        return Err(error);
    }
    Ok(daemon)
}

/// Starts the daemon of a sandbox. Nobody may connect to it before it is [`ready`].
///
/// # Errors
/// When the program is not there or cannot be started.
pub fn start(
    root: &Path,
    id: &SandboxId,
    sandbox_dir: &Path,
    program: Option<PathBuf>,
) -> Result<Daemon, DeviceError> {
    let program = PROGRAM.find(program.as_deref())?;
    let spawn = Spawn::new(program).args(argv().into_iter().map(OsString::from));
    let role = DaemonRole::VhostVsock;
    Daemon::start(role, spawn, sandbox_dir, &role.mark(root, id))
}

/// Waits until the VMM and host programs can connect to the daemon.
///
/// # Errors
/// [`DeviceError::NotReady`] when it does not listen in time or exits, with the end of its log.
pub async fn ready(sandbox_dir: &Path, daemon: ProcessRef, timeout: Duration) -> Result<(), DeviceError> {
    for socket in [VHOST_SOCKET, VSOCK_SOCKET] {
        let ready = unix::wait_for_socket(sandbox_dir, socket, Some(daemon), timeout).await;
        ready.map_err(|source| {
            let role = DaemonRole::VhostVsock.as_str();
            let log = crate::log_tail(&sandbox_dir.join(format!("{role}.log")));
            DeviceError::NotReady { role, log, source }
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
