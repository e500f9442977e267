//! Many streams over one: a yamux session, for transports that offer a single byte stream (virtio-serial).
//!
//! A session has one driver task, owned by its [`Mux`]: dropping the [`Mux`] ends the session and with it every
//! stream. The peer is not trusted: streams, backlog and buffers are bounded by [`crate::limits`].

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use virtcontainers_sys::task::{self, Task};
use yamux::{Config, Connection, ConnectionError, Mode};

use crate::limits;

/// A yamux session failed.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum MuxError {
    /// The session has ended.
    #[error("the multiplexed connection is closed: connect anew")]
    Closed,
    /// The connection below broke, or the peer broke the protocol.
    #[error("the multiplexed connection was lost: connect anew")]
    Lost {
        /// What yamux saw.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// We hold too many streams already.
    #[error("{limit} streams are open on this connection: close one first")]
    TooManyStreams {
        /// [`limits::MUX_STREAMS`].
        limit: usize,
    },
}

type End = Result<(), MuxError>;

#[derive(Debug)]
enum Command {
    Open(oneshot::Sender<Result<yamux::Stream, MuxError>>),
    Close,
}

/// One side of a yamux session: opens streams, and owns the session's task.
#[derive(Debug)]
pub struct Mux {
    commands: mpsc::Sender<Command>,
    permits: Arc<Semaphore>,
    ended: watch::Receiver<Option<End>>,
    _driver: Task<()>,
}

impl Mux {
    /// The side that opens streams; streams opened by the peer are reset.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn client(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self::start(io, Mode::Client).0
    }

    /// The side that accepts streams.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn server(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> (Self, Incoming) {
        Self::start(io, Mode::Server)
    }

    fn start(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, mode: Mode) -> (Self, Incoming) {
        let mut config = Config::default();
        config.set_max_num_streams(limits::MUX_ALL_STREAMS);
        config.set_max_connection_receive_window(Some(limits::MUX_WINDOW));
        let connection = Connection::new(io.compat(), config, mode);
        let (commands, receiver) = mpsc::channel(1);
        let (accepted, incoming) = mpsc::channel(limits::MUX_BACKLOG);
        let (end, ended) = watch::channel(None);
        let mut driver = Driver { connection, commands: receiver, accepted, opening: None, closing: false };
        let driver = task::spawn("yamux", async move {
            let outcome = poll_fn(|cx| driver.poll(cx)).await;
            drop(driver);
            end.send_replace(Some(outcome));
        });
        let permits = Arc::new(Semaphore::new(limits::MUX_STREAMS));
        (Self { commands, permits, ended, _driver: driver }, Incoming { streams: incoming })
    }

    /// Opens a stream. The peer hears of it with the first bytes written.
    ///
    /// # Errors
    /// [`MuxError`].
    pub async fn open(&self) -> Result<MuxStream, MuxError> {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_none_left) => return Err(MuxError::TooManyStreams { limit: limits::MUX_STREAMS }),
        };
        let (reply, opened) = oneshot::channel();
        if self.commands.send(Command::Open(reply)).await.is_err() {
            return Err(self.reason());
        }
        match opened.await {
            Ok(opened) => opened.map(|stream| MuxStream { io: stream.compat(), _permit: Some(permit) }),
            Err(_driver_gone) => Err(self.reason()),
        }
    }

    /// Waits until the session has ended.
    ///
    /// # Errors
    /// [`MuxError::Lost`] if it did not end orderly.
    pub async fn closed(&self) -> Result<(), MuxError> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Ok(())),
            Err(_driver_gone) => Ok(()),
        }
    }

    /// Ends the session: what the streams have written goes out first, then the peer is told.
    ///
    /// # Errors
    /// [`MuxError::Lost`] if the connection broke before.
    pub async fn close(self) -> Result<(), MuxError> {
        // A driver that is gone has ended already: `closed` tells how.
        self.commands.send(Command::Close).await.ok();
        self.closed().await
    }

    fn reason(&self) -> MuxError {
        match &*self.ended.borrow() {
            Some(Err(error)) => error.clone(),
            Some(Ok(())) | None => MuxError::Closed,
        }
    }
}

/// The streams that the peer opens: a [`futures::Stream`] that ends with the session. Dropping it refuses further
/// streams.
#[derive(Debug)]
pub struct Incoming {
    streams: mpsc::Receiver<yamux::Stream>,
}

impl Incoming {
    /// The next stream that the peer opened; `None` when the session has ended.
    pub async fn accept(&mut self) -> Option<MuxStream> {
        self.streams.recv().await.map(MuxStream::accepted)
    }
}

impl futures::Stream for Incoming {
    type Item = io::Result<MuxStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.streams.poll_recv(cx).map(|stream| stream.map(|stream| Ok(MuxStream::accepted(stream))))
    }
}

/// One stream of a session. Shutting it down ends our direction only; dropping it ends both. After the session has
/// ended, reading gives the end of the stream or `ConnectionReset`, and writing `BrokenPipe`.
#[derive(Debug)]
pub struct MuxStream {
    io: Compat<yamux::Stream>,
    /// Counts the streams that we opened.
    _permit: Option<OwnedSemaphorePermit>,
}

impl MuxStream {
    fn accepted(stream: yamux::Stream) -> Self {
        Self { io: stream.compat(), _permit: None }
    }
}

impl AsyncRead for MuxStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io)
            .poll_read(cx, buf)
            .map_err(|error| ended_as(io::ErrorKind::ConnectionReset, error))
    }
}

impl AsyncWrite for MuxStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf).map_err(|error| ended_as(io::ErrorKind::BrokenPipe, error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx).map_err(|error| ended_as(io::ErrorKind::BrokenPipe, error))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx).map_err(|error| ended_as(io::ErrorKind::BrokenPipe, error))
    }
}

/// yamux reports a stream that has ended as `WriteZero`, to readers also; callers know other names for that.
fn ended_as(kind: io::ErrorKind, error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WriteZero { io::Error::new(kind, error) } else { error }
}

/// What the session's task works on. yamux makes progress only while it is polled here.
struct Driver<T> {
    connection: Connection<Compat<T>>,
    commands: mpsc::Receiver<Command>,
    accepted: mpsc::Sender<yamux::Stream>,
    opening: Option<oneshot::Sender<Result<yamux::Stream, MuxError>>>,
    closing: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.closing {
                return self.connection.poll_close(cx).map_err(lost);
            }
            // Inbound first: it also forgets dropped streams, which makes room for new ones.
            match self.connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    if let Err(refused) = self.accepted.try_send(stream) {
                        tracing::debug!("yamux: stream refused, nobody accepts it");
                        drop(refused);
                    }
                    continue;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(lost(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {}
            }
            if let Some(reply) = self.opening.take() {
                match self.connection.poll_new_outbound(cx) {
                    Poll::Ready(opened) => {
                        // A caller that has gone away drops the stream, which closes it.
                        drop(reply.send(opened.map_err(lost)));
                        continue;
                    }
                    Poll::Pending => self.opening = Some(reply),
                }
                return Poll::Pending;
            }
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(Command::Open(reply))) => self.opening = Some(reply),
                Poll::Ready(Some(Command::Close)) | Poll::Ready(None) => self.closing = true,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn lost(error: ConnectionError) -> MuxError {
    if matches!(error, ConnectionError::Closed) {
        MuxError::Closed
    } else {
        MuxError::Lost { source: Arc::new(error) }
    }
}
