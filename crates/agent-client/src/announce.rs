//! Hears a guest become ready, so that nobody has to ask again and again.
//!
//! An agent that listens connects to the host port that its kernel parameter `vc.announce` names, writes one line and
//! keeps the connection open. [`Announcement`] is the host's side of it: it listens, takes the first connection that
//! says the line, refuses all others, and keeps the one open for as long as it lives. Connections are hostile: their
//! number, their time and what is read of them are bounded.
//!
//! With virtio-serial, the opening of the port is the announcement, and the hypervisor reports it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::UnixListener,
    time::timeout,
};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};
use virtcontainers_agent_protocol::ports;
use virtcontainers_sys::unix;

use crate::error::AgentError;

/// The port to announce on with hybrid vsock, where each sandbox has its ports to itself.
pub const HYBRID_PORT: u32 = 1025;

/// The longest line that is read of a connection, in bytes.
const MAX_LINE: usize = 64;
/// How long a connection may take to say it.
const LINE_TIME: Duration = Duration::from_secs(10);
/// How many connections may be at it at once; further ones wait in the socket's backlog.
const MAX_PENDING: usize = 8;
/// After how many refused connections it is no use to go on.
const MAX_REFUSED: usize = 64;

/// Any port that is free (`VMADDR_PORT_ANY`).
const ANY_PORT: u32 = u32::MAX;

trait Peer: AsyncRead + Send + Unpin {}
impl<T: AsyncRead + Send + Unpin> Peer for T {}

/// Listens for a guest's announcement, then holds the connection on which it came.
pub struct Announcement {
    port: u32,
    at: String,
    listener: Option<Listener>,
    pending: FuturesUnordered<BoxFuture<'static, Option<Box<dyn Peer>>>>,
    refused: usize,
    kept: Option<Box<dyn Peer>>,
}

enum Listener {
    Hybrid(HybridListener),
    Vsock { listener: VsockListener, guest: u32 },
}

/// Removes its socket when it is done.
struct HybridListener {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for HybridListener {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok(); // gone with its directory, at the latest
    }
}

impl Announcement {
    /// Listens where a hybrid vsock device with the socket `uds` in `dir` brings what the guest sends to `port`:
    /// at `<uds>_<port>`. Within a tokio runtime.
    ///
    /// # Errors
    /// [`AgentError::Listen`].
    pub fn hybrid(dir: &Path, uds: &str, port: u32) -> Result<Self, AgentError> {
        let name = format!("{uds}_{port}");
        let path = dir.join(&name);
        let at = path.display().to_string();
        match unix::bind_in(dir, &name).and_then(UnixListener::from_std) {
            Ok(listener) => Ok(Self::new(port, at, Listener::Hybrid(HybridListener { listener, path }))),
            Err(source) => Err(AgentError::Listen { at, source }),
        }
    }

    /// Listens on a free port of the kernel's vsock, for the guest with this CID only. Within a tokio runtime.
    ///
    /// # Errors
    /// [`AgentError::Listen`], for example where the kernel has no vsock.
    pub fn vsock(guest: u32) -> Result<Self, AgentError> {
        let bound = VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, ANY_PORT))
            .and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        match bound {
            Ok((port, listener)) => {
                Ok(Self::new(port, format!("vsock port {port}"), Listener::Vsock { listener, guest }))
            }
            Err(source) => Err(AgentError::Listen { at: "a free vsock port".to_owned(), source }),
        }
    }

    fn new(port: u32, at: String, listener: Listener) -> Self {
        let (listener, pending) = (Some(listener), FuturesUnordered::new());
        Self { port, at, listener, pending, refused: 0, kept: None }
    }

    /// The port for the kernel parameter `vc.announce`.
    #[must_use]
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Waits for the announcement; not bounded in time. Cancel safe, and done at once when it was heard before.
    ///
    /// # Errors
    /// [`AgentError::NotAnnounced`] when too many connections were none, [`AgentError::Listen`] when the socket fails.
    pub async fn heard(&mut self) -> Result<(), AgentError> {
        while self.kept.is_none() {
            if self.refused >= MAX_REFUSED {
                return Err(AgentError::NotAnnounced { at: self.at.clone(), refused: self.refused });
            }
            tokio::select! {
                accepted = accept(self.listener.as_ref()), if self.pending.len() < MAX_PENDING => match accepted {
                    Ok(Some(peer)) => self.pending.push(Box::pin(announced(peer))),
                    Ok(None) => self.refused += 1,
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => self.refused += 1,
                    Err(source) => return Err(AgentError::Listen { at: self.at.clone(), source }),
                },
                Some(said) = self.pending.next(), if !self.pending.is_empty() => match said {
                    Some(peer) => self.kept = Some(peer),
                    None => self.refused += 1,
                },
            }
        }
        // Whoever connects from now on is refused by the kernel.
        self.listener = None;
        self.pending = FuturesUnordered::new();
        Ok(())
    }
}

/// The next connection; `None` for one of a stranger.
async fn accept(listener: Option<&Listener>) -> io::Result<Option<Box<dyn Peer>>> {
    match listener {
        Some(Listener::Hybrid(hybrid)) => {
            let (stream, _) = hybrid.listener.accept().await?;
            Ok(Some(Box::new(stream)))
        }
        Some(Listener::Vsock { listener, guest }) => {
            let (stream, from) = listener.accept().await?;
            Ok(if from.cid() == *guest { Some(Box::new(stream)) } else { None })
        }
        None => std::future::pending().await,
    }
}

/// The connection, if it says the line in time.
async fn announced(mut peer: Box<dyn Peer>) -> Option<Box<dyn Peer>> {
    let mut line = Vec::with_capacity(MAX_LINE);
    let read = async {
        while line.len() < MAX_LINE && !line.ends_with(b"\n") {
            line.push(peer.read_u8().await?);
        }
        io::Result::Ok(())
    };
    match timeout(LINE_TIME, read).await {
        Ok(Ok(())) if line == ports::ANNOUNCEMENT => Some(peer),
        Ok(_) | Err(_) => None,
    }
}

impl fmt::Debug for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, refused, kept, .. } = self;
        f.debug_struct("Announcement")
            .field("at", at)
            .field("refused", refused)
            .field("heard", &kept.is_some())
            .finish_non_exhaustive()
    }
}
