//! The proxy itself: connections in, yamux streams out.
//!
//! It is one future, so it needs no tasks of its own, and its memory is that of its open connections.

use std::{io, os::fd::AsFd as _, path::PathBuf};

use futures::{StreamExt as _, stream::FuturesUnordered};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    io::{AsyncWriteExt as _, copy, split},
    net::{UnixListener, UnixStream},
};
use tokio_util::sync::CancellationToken;
use virtcontainers_agent_protocol::transport::Mux;
use virtcontainers_sys::unix;

use super::{PROXY_SOCKET, ProxyError, SERIAL_SOCKET};
use crate::task::Tasks;

/// How many connections are served at once; further ones wait in the socket's backlog.
const MAX_CONNECTIONS: usize = 64;

/// Where a proxy works.
#[derive(Debug)]
pub struct ProxyOptions {
    /// The sandbox's directory.
    pub dir: PathBuf,
    /// The socket of the serial port in it.
    pub serial: String,
    /// Where clients come in.
    pub listen: ProxyListen,
}

/// Where a proxy's clients come in.
#[derive(Debug)]
pub enum ProxyListen {
    /// A socket of this name, to be made in the directory.
    Name(String),
    /// A socket that listens already.
    Socket(std::os::unix::net::UnixListener),
}

impl ProxyOptions {
    /// The usual names in a sandbox's directory.
    #[must_use]
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        let listen = ProxyListen::Name(PROXY_SOCKET.to_owned());
        Self { dir: dir.into(), serial: SERIAL_SOCKET.to_owned(), listen }
    }
}

/// A proxy in this process: it ends when it is dropped, or with the serial side.
#[derive(Debug)]
pub struct Proxy {
    ended: CancellationToken,
    _tasks: Tasks,
}

impl Proxy {
    /// Waits until the serial side has ended.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether it still serves.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        !self.ended.is_cancelled()
    }
}

/// Runs a proxy in this process. Within a tokio runtime; when it returns, clients can connect.
///
/// # Errors
/// [`ProxyError::Socket`] when the serial port cannot be reached or the socket not be made.
pub fn serve(options: ProxyOptions) -> Result<Proxy, ProxyError> {
    let ends = Ends::open(options)?;
    let (tasks, ended) = (Tasks::new(), CancellationToken::new());
    let finished = ended.clone().drop_guard();
    tasks.spawn(async move {
        if let Err(error) = ends.relay().await {
            tracing::warn!(%error, "the built-in proxy failed");
        }
        drop(finished);
    });
    Ok(Proxy { ended, _tasks: tasks })
}

/// Runs a proxy until the serial side ends: the whole of a proxy process, in a runtime of its own on this thread.
///
/// # Errors
/// [`ProxyError`] when it cannot begin, or its listening socket fails.
pub fn run(options: ProxyOptions) -> Result<(), ProxyError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ProxyError::Runtime)?;
    runtime.block_on(async { Ends::open(options)?.relay().await })
}

/// [`run`] as [`ProxyProcess`](super::ProxyProcess) starts it: in the sandbox's directory, with the listening socket as
/// standard input.
///
/// # Errors
/// As [`run`].
pub fn run_inherited() -> Result<(), ProxyError> {
    let socket = io::stdin().as_fd().try_clone_to_owned().map_err(ProxyError::Runtime)?;
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true).map_err(ProxyError::Runtime)?;
    run(ProxyOptions { listen: ProxyListen::Socket(listener), ..ProxyOptions::in_dir(".") })
}

/// Both sides of a proxy that is about to run.
struct Ends {
    listener: UnixListener,
    serial: UnixStream,
}

impl Ends {
    fn open(options: ProxyOptions) -> Result<Self, ProxyError> {
        let ProxyOptions { dir, serial, listen } = options;
        let connected = unix::connect_in(&dir, &serial).and_then(UnixStream::from_std);
        let serial = connected.map_err(|source| ProxyError::Socket {
            what: "connect to",
            path: dir.join(&serial),
            source,
        })?;
        let (path, listener) = match listen {
            ProxyListen::Name(name) => (dir.join(&name), unix::bind_in(&dir, &name)),
            ProxyListen::Socket(socket) => (dir.join(PROXY_SOCKET), Ok(socket)),
        };
        match listener.and_then(UnixListener::from_std) {
            Ok(listener) => Ok(Self { listener, serial }),
            Err(source) => Err(ProxyError::Socket { what: "listen on", path, source }),
        }
    }

    async fn relay(self) -> Result<(), ProxyError> {
        let mux = Mux::client(self.serial);
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                end = mux.closed() => {
                    tracing::debug!(?end, "the serial side has ended");
                    return Ok(());
                }
                Some(()) = connections.next(), if !connections.is_empty() => {}
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((client, _)) => connections.push(connection(&mux, client)),
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => return Err(ProxyError::Runtime(error)),
                },
            }
        }
    }
}

/// One client's connection. When either side breaks, dropping the other tells it so.
async fn connection(mux: &Mux, mut client: UnixStream) {
    let stream = match mux.open().await {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "no stream for a client"),
    };
    let (mut from_guest, mut to_guest) = split(stream);
    let (mut from_client, mut to_client) = client.split();
    let up = async {
        copy(&mut from_client, &mut to_guest).await?;
        if is_gone(from_client.as_ref())? {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        to_guest.shutdown().await
    };
    let down = async {
        copy(&mut from_guest, &mut to_client).await?;
        to_client.shutdown().await
    };
    if let Err(error) = tokio::try_join!(up, down) {
        tracing::debug!(%error, "a client's connection ended early");
    }
}

/// Whether a client that sends no more has gone altogether: nobody is left to read what the guest sends.
fn is_gone(client: &UnixStream) -> io::Result<bool> {
    let mut fds = [PollFd::new(client, PollFlags::empty())];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(fds[0].revents().contains(PollFlags::HUP))
}
