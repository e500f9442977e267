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

use virtcontainers_sys::{spawn::Spawn, unix};
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

/// Starts the daemon of a sandbox, and waits until the VMM and host programs can connect to it.
///
/// # Errors
/// [`DeviceError::NotReady`] when it does not listen in time or exits, with the end of its log; it is stopped then.
pub async fn launch(
    root: &Path,
    id: &SandboxId,
    sandbox_dir: &Path,
    program: Option<PathBuf>,
    timeout: Duration,
) -> Result<Daemon, DeviceError> {
    let program = PROGRAM.find(program.as_deref())?;
    let spawn = Spawn::new(program).args(argv().into_iter().map(OsString::from));
    let role = DaemonRole::VhostVsock;
    let daemon = Daemon::start(role, spawn, sandbox_dir, &role.mark(root, id))?;
    let process = daemon.record().process;
    for socket in [VHOST_SOCKET, VSOCK_SOCKET] {
        if let Err(source) = unix::wait_for_socket(sandbox_dir, socket, Some(process), timeout).await {
            // The first error is the one to tell; the mark finds what could not be stopped.
            crate::stop(&daemon.record(), Duration::ZERO).await.ok();
            return Err(DeviceError::NotReady { role: role.as_str(), log: daemon.log_tail(), source });
        }
    }
    Ok(daemon)
}

#[cfg(test)]
mod tests;
