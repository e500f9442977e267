//! Hybrid vsock: a Unix socket on the host, behind which a VMM (Firecracker, Cloud Hypervisor) or our
//! device beside QEMU connects to a port of the guest.
//!
//! The client writes `CONNECT <port>\n` and reads `OK <number>\n`; after that the stream is the guest's. A listener
//! that finds nobody on the port closes the connection without an answer.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error;
use crate::limits;

/// The `CONNECT` exchange failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The connection broke.
    #[error("the connection broke while asking for port {port}")]
    Io {
        /// The guest's port.
        port: u32,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The listener closed the connection without an answer: nobody listens on that port of the guest (yet).
    #[error(
        "the connection was closed before port {port} was granted: nothing listens there in the guest yet"
    )]
    ClosedBeforeOk {
        /// The guest's port.
        port: u32,
    },
    /// The answer is not `OK <number>` or is too long. Whatever listens there is no hybrid vsock.
    #[error(
        "asking for port {port} was answered {reply:?} instead of \"OK <number>\": is this a hybrid vsock socket?"
    )]
    BadReply {
        /// The guest's port.
        port: u32,
        /// What came, at most [`limits::HYBRID_REPLY`] bytes.
        reply: String,
    },
    /// No answer in time.
    #[error("no answer to CONNECT {port} within {waited:?}: restart the VMM's vsock device if it hangs")]
    Timeout {
        /// The guest's port.
        port: u32,
        /// How long we waited.
        waited: Duration,
    },
}

impl HandshakeError {
    /// Whether the agent may just not be listening yet.
    #[must_use]
    pub fn is_not_ready(&self) -> bool {
        match self {
            Self::Io { source, .. } => error::is_not_ready(source),
            Self::ClosedBeforeOk { .. } => true,
            Self::BadReply { .. } | Self::Timeout { .. } => false,
        }
    }
}

/// Asks a hybrid vsock listener for `port` of its guest, and waits for the answer at most as long as `patience`.
/// Afterwards `stream` is connected to whoever listens there: the answer is read byte by byte, so that none of the
/// guest's bytes is swallowed.
///
/// # Errors
/// [`HandshakeError`]; the stream is of no use then.
pub async fn handshake<S>(stream: &mut S, port: u32, patience: Duration) -> Result<(), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let broke = |source| HandshakeError::Io { port, source };
    let exchange = async {
        stream.write_all(format!("CONNECT {port}\n").as_bytes()).await.map_err(broke)?;
        stream.flush().await.map_err(broke)?;
        read_reply(stream, port).await
    };
    let reply = match tokio::time::timeout(patience, exchange).await {
        Ok(reply) => reply?,
        Err(_elapsed) => return Err(HandshakeError::Timeout { port, waited: patience }),
    };
    if is_ok(&reply) { Ok(()) } else { Err(bad_reply(port, &reply)) }
}

/// The first line without its newline.
async fn read_reply<S>(stream: &mut S, port: u32) -> Result<Vec<u8>, HandshakeError>
where
    S: AsyncRead + Unpin + ?Sized,
{
    let mut reply = Vec::with_capacity(limits::HYBRID_REPLY);
    while reply.len() < limits::HYBRID_REPLY {
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(0) => return Err(HandshakeError::ClosedBeforeOk { port }),
            Ok(_) if byte == *b"\n" => return Ok(reply),
            Ok(_) => reply.extend(byte),
            Err(source) => return Err(HandshakeError::Io { port, source }),
        }
    }
    Err(bad_reply(port, &reply))
}

fn is_ok(reply: &[u8]) -> bool {
    reply
        .strip_prefix(b"OK ")
        .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

fn bad_reply(port: u32, reply: &[u8]) -> HandshakeError {
    HandshakeError::BadReply { port, reply: String::from_utf8_lossy(reply).into_owned() }
}
