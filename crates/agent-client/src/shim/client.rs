//! Attaching to a process whose shim is another process.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
};
use tokio_util::sync::PollSender;
use virtcontainers_types::{ContainerId, ExecId};

use super::{
    ShimError,
    frame::{Event, Request},
    socket, socket_name,
};
use crate::{
    agent::TerminalSize,
    io::{CHUNK, OutputStream},
    task::Tasks,
};

/// How much of each output may wait here to be read, in bytes.
const AHEAD: usize = CHUNK;
/// How many requests may wait to be sent.
const QUEUE: usize = 8;

/// The ends of a process that was attached to. To drop them all is to leave.
#[derive(Debug)]
pub struct Attached {
    /// Standard input.
    pub stdin: AttachStdin,
    /// Standard output.
    pub stdout: AttachOutput,
    /// Standard error.
    pub stderr: AttachOutput,
    /// Signals, the terminal's size, the end.
    pub control: AttachControl,
}

/// The standard input of a process that was attached to. `shutdown` closes it for everybody.
#[derive(Debug)]
pub struct AttachStdin {
    requests: PollSender<Request>,
    closed: bool,
}

/// An output of a process that was attached to, from that moment on. Both come over one connection: to drop the one that
/// is not wanted keeps the other going.
#[derive(Debug)]
pub struct AttachOutput {
    stream: DuplexStream,
    _connection: Arc<Tasks>,
}

/// What can be told to a process that was attached to, and its end. Clones serve the same process.
#[derive(Debug, Clone)]
pub struct AttachControl {
    exec: ExecId,
    requests: mpsc::Sender<Request>,
    exit: watch::Receiver<Option<i32>>,
    _connection: Arc<Tasks>,
}

/// Attaches to a process by its shim's socket in `dir`. Within a tokio runtime.
///
/// # Errors
/// [`ShimError::NoShim`].
pub fn attach(dir: &Path, container: &ContainerId, exec: &ExecId) -> Result<Attached, ShimError> {
    let connected = socket::connect(dir, &socket_name(exec)).and_then(UnixStream::from_std);
    let stream = connected.map_err(|source| ShimError::NoShim {
        container: container.clone(),
        exec: exec.clone(),
        source,
    })?;
    let (from, to) = stream.into_split();
    let connection = Arc::new(Tasks::new());
    let (requests, queue) = mpsc::channel(QUEUE);
    // Not one of the connection's tasks: what was accepted is sent, whoever leaves.
    virtcontainers_sys::task::spawn("attach", send(queue, to)).detach();
    let ((stdout, out), (stderr, err)) = (duplex(AHEAD), duplex(AHEAD));
    let (tell, exit) = watch::channel(None);
    connection.spawn(receive(from, out, err, tell));
    let output = |stream| AttachOutput { stream, _connection: Arc::clone(&connection) };
    Ok(Attached {
        stdin: AttachStdin { requests: PollSender::new(requests.clone()), closed: false },
        stdout: output(stdout),
        stderr: output(stderr),
        control: AttachControl { exec: exec.clone(), requests, exit, _connection: connection },
    })
}

/// Sends requests until nobody makes any more, or the shim is gone.
async fn send(mut queue: mpsc::Receiver<Request>, mut to: OwnedWriteHalf) {
    while let Some(request) = queue.recv().await {
        if let Err(error) = to.write_all(&request.encode()).await {
            return tracing::debug!(%error, "the shim hears no more");
        }
    }
}

/// Hands out what comes in. An output that nobody wants is passed over.
async fn receive(
    mut from: OwnedReadHalf,
    mut stdout: DuplexStream,
    mut stderr: DuplexStream,
    exit: watch::Sender<Option<i32>>,
) {
    loop {
        match Event::read(&mut from).await {
            Ok(Some(Event::Output(stream, data))) => {
                let to = match stream {
                    OutputStream::Stdout => &mut stdout,
                    OutputStream::Stderr => &mut stderr,
                };
                to.write_all(&data).await.ok(); // its reader is gone
            }
            Ok(Some(Event::Exit(code))) => {
                exit.send_replace(Some(code));
                return;
            }
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "the shim ended the connection"),
        }
    }
}

impl AttachControl {
    /// Tells the process's terminal its size.
    ///
    /// # Errors
    /// [`ShimError::Detached`].
    pub async fn resize(&self, size: TerminalSize) -> Result<(), ShimError> {
        self.ask(Request::Resize(size)).await
    }

    /// Signals the process.
    ///
    /// # Errors
    /// [`ShimError::Detached`].
    pub async fn signal(&self, signal: u32) -> Result<(), ShimError> {
        self.ask(Request::Signal(signal)).await
    }

    /// Waits for the process's end: its exit code. Comes after all of its output was taken. Cancel safe.
    ///
    /// # Errors
    /// [`ShimError::Detached`] when the connection ends first.
    pub async fn wait(&self) -> Result<i32, ShimError> {
        let mut exit = self.exit.clone();
        let code = exit.wait_for(Option::is_some).await.ok().and_then(|code| *code);
        code.ok_or_else(|| self.detached())
    }

    async fn ask(&self, request: Request) -> Result<(), ShimError> {
        self.requests.send(request).await.map_err(|_closed| self.detached())
    }

    fn detached(&self) -> ShimError {
        ShimError::Detached { exec: self.exec.clone() }
    }
}

impl AttachStdin {
    fn poll_send(&mut self, cx: &mut Context<'_>, request: impl FnOnce() -> Request) -> Poll<io::Result<()>> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        if ready!(self.requests.poll_reserve(cx)).is_err() {
            return Poll::Ready(Err(gone()));
        }
        Poll::Ready(self.requests.send_item(request()).map_err(|_closed| gone()))
    }
}

impl AsyncWrite for AttachStdin {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = data.len().min(CHUNK);
        if taken == 0 {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_send(cx, || Request::Stdin(data[..taken].to_vec())))?;
        Poll::Ready(Ok(taken))
    }

    /// What was taken is sent without further doing.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            ready!(self.poll_send(cx, || Request::CloseStdin))?;
            self.closed = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for AttachOutput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}
