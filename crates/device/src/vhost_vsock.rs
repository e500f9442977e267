//! vsock for guests on hosts without `/dev/vhost-vsock`: the starting of the device's process, `vc-helper vsock`.
//!
//! The VMM connects to [`VHOST_SOCKET`]. A host program connects to [`VSOCK_SOCKET`], writes `CONNECT <port>` and reads
//! `OK <port>` before it speaks to the guest; connections that the guest opens to the host's port `P` arrive at a
//! listener on `<VSOCK_SOCKET>_P`. Both sockets listen when [`start`] returns, so nobody waits for them; the process ends
//! with the VMM.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use virtcontainers_sys::{log::HELPER_LIMIT, spawn::Spawn, unix};
use virtcontainers_types::SandboxId;

use crate::{Daemon, DaemonRole, DeviceError};

/// The socket for the VMM, in the sandbox's directory.
pub const VHOST_SOCKET: &str = "vhost-vsock.sock";
/// The socket for host programs, in the sandbox's directory.
pub const VSOCK_SOCKET: &str = "vsock.sock";
/// The guest's context id. Each guest has a device of its own, so all may have the same.
pub const GUEST_CID: u32 = 3;

/// The arguments of the device's process, without its name: pure.
#[must_use]
pub fn argv() -> Vec<String> {
    // A relative path: it is not limited by the length of the sandbox's directory.
    vec!["vsock".to_owned(), GUEST_CID.to_string(), VSOCK_SOCKET.to_owned()]
}

/// Starts the device of a sandbox, in these control groups. `program` is `vc-helper`, or one that knows its subcommand
/// `vsock`.
///
/// # Errors
/// When a socket cannot be made or the program cannot be started.
pub fn start(
    root: &Path,
    id: &SandboxId,
    sandbox_dir: &Path,
    program: &Path,
    cgroups: Vec<PathBuf>,
) -> Result<Daemon, DeviceError> {
    let listen = |name: &'static str| {
        let failed = || DeviceError::io("listen on", sandbox_dir.join(name));
        let listener = unix::bind_in(sandbox_dir, name).map_err(failed())?;
        listener.set_nonblocking(false).map_err(failed())?;
        Ok::<_, DeviceError>(listener.into())
    };
    let spawn = Spawn::new(program)
        .args(argv().into_iter().map(OsString::from))
        .fd(listen(VHOST_SOCKET)?, 0)
        .fd(listen(VSOCK_SOCKET)?, 1)
        .largest_file(HELPER_LIMIT);
    let role = DaemonRole::VhostVsock;
    Daemon::start(role, spawn, sandbox_dir, &role.mark(root, id).within(cgroups))
}

#[cfg(test)]
mod tests;
