//! Where an agent is reached.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The address of an agent as seen from the host. Part of a sandbox's record, hence serializable.
///
/// Unix sockets are named by directory and file name, so that their paths may be of any length.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "transport", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AgentAddress {
    /// A vsock of the host kernel.
    Vsock {
        /// The guest's context id.
        cid: u32,
        /// The guest's port.
        port: u32,
    },
    /// A Unix socket of the VMM or of a daemon that forwards to the guest's vsock ports.
    HybridVsock {
        /// The directory of the socket.
        dir: PathBuf,
        /// The name of the socket in its directory.
        name: String,
        /// The guest's port.
        port: u32,
    },
    /// A Unix socket that leads straight to the agent: a proxy's, or that of an agent outside of a VM.
    Unix {
        /// The directory of the socket.
        dir: PathBuf,
        /// The name of the socket in its directory.
        name: String,
    },
}

impl fmt::Display for AgentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vsock { cid, port } => write!(f, "vsock://{cid}:{port}"),
            Self::HybridVsock { dir, name, port } => {
                write!(f, "hvsock://{}:{port}", dir.join(name).display())
            }
            Self::Unix { dir, name } => write!(f, "unix://{}", dir.join(name).display()),
        }
    }
}
