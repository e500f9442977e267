//! Why a stream to an agent did not come about.

use std::io;

use thiserror::Error;

use super::AgentAddress;
use super::hybrid::HandshakeError;

/// A connection to an agent failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The socket itself could not be connected.
    #[error("cannot connect to the agent at {address}: is its VM, or the daemon before it, running?")]
    Connect {
        /// Whom we called.
        address: AgentAddress,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The socket was connected, but the listener behind it did not lead us to the agent.
    #[error("the listener at {address} did not connect us to the agent")]
    Handshake {
        /// Whom we called.
        address: AgentAddress,
        /// What went wrong.
        #[source]
        source: HandshakeError,
    },
}

impl TransportError {
    /// Whether the agent may just not be listening yet, so that another attempt makes sense: refused, reset, broken
    /// pipe, no room in the backlog, the kernel's own connect timeout, or a connection closed before it was granted.
    #[must_use]
    pub fn is_not_ready(&self) -> bool {
        match self {
            Self::Connect { source, .. } => is_not_ready(source),
            Self::Handshake { source, .. } => source.is_not_ready(),
        }
    }
}

pub(super) fn is_not_ready(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let kind = error.kind();
    matches!(
        kind,
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::BrokenPipe
            | Kind::WouldBlock
            | Kind::TimedOut
    )
}
