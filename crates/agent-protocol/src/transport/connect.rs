//! Connecting to an agent, whichever way it is reached.

use std::io;
use std::path::Path;

use tokio::net::UnixStream;
use tokio_vsock::{VsockAddr, VsockStream};

use super::{AgentAddress, BoxStream, TransportError, hybrid};
use crate::limits;

/// Connects to the agent at `address`, once. Cancel safe: dropping the future closes the connection.
///
/// Hybrid vsock: the answer to `CONNECT` has been read when this returns, and not one byte more.
///
/// # Errors
/// [`TransportError`]; [`TransportError::is_not_ready`] tells whether to try again.
pub async fn connect(address: &AgentAddress) -> Result<BoxStream, TransportError> {
    let cannot = |source| TransportError::Connect { address: address.clone(), source };
    match address {
        AgentAddress::Vsock { cid, port } => {
            let stream = VsockStream::connect(VsockAddr::new(*cid, *port)).await.map_err(cannot)?;
            Ok(Box::new(stream))
        }
        AgentAddress::HybridVsock { dir, name, port } => {
            let mut stream = unix(dir, name).map_err(cannot)?;
            hybrid::handshake(&mut stream, *port, limits::HYBRID_REPLY_TIME)
                .await
                .map_err(|source| TransportError::Handshake { address: address.clone(), source })?;
            Ok(Box::new(stream))
        }
        AgentAddress::Unix { dir, name } => Ok(Box::new(unix(dir, name).map_err(cannot)?)),
    }
}

fn unix(dir: &Path, name: &str) -> io::Result<UnixStream> {
    UnixStream::from_std(virtcontainers_sys::unix::connect_in(dir, name)?)
}
