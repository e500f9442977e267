//! The standard streams of a process in the guest as tokio streams (the reference document's `IOStream`).
//!
//! No byte is lost: what the guest has handed over waits in the stream until it is read, so a `read` that is dropped
//! half-way (in a `select!`, by a time-out) can simply be asked again; and what [`ProcessStdin`] has accepted is sent
//! once and in order, though it has certainly arrived only after `flush` or `shutdown`. As with files of tokio, an
//! error of a write may show at the next write, flush or shutdown.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, MaybeDone, maybe_done},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use virtcontainers_types::{ContainerId, ExecId};

use crate::{
    agent::Agent,
    error::{AgentError, AgentErrorKind},
};

/// The most that one call reads or writes, in bytes. A call costs the guest milliseconds under emulation, so a stream
/// is the faster the fewer there are; and a message holds up those behind it on the shared connection, so it must not
/// be as long as the protocol bears.
pub const CHUNK: usize = 512 << 10;

/// A reply of at least so many bytes is part of a longer output: the next call is made before its bytes are read.
const BULK: usize = 16 << 10;

/// The two outputs of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputStream {
    /// Standard output; of a process with a terminal, all of its output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Which process a stream belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    container: ContainerId,
    exec: ExecId,
}

/// One output of a process: ends when the process has closed it.
///
/// There is one call at a time, so bytes keep their order with any agent. Of a long output, up to two times [`CHUNK`]
/// bytes are on this side and unread; then the process waits.
pub struct ProcessOutput {
    agent: Arc<dyn Agent>,
    target: Target,
    stream: OutputStream,
    /// What came and was not yet read, from an offset on.
    held: (Vec<u8>, usize),
    next: Next,
}

/// What comes after what is held.
enum Next {
    Unasked,
    Asked(MaybeDone<BoxFuture<'static, Result<Vec<u8>, AgentError>>>),
    End,
}

impl ProcessOutput {
    /// One output of a process. At most one stream may read it: two would tear the bytes apart.
    #[must_use]
    pub fn new(agent: Arc<dyn Agent>, container: ContainerId, exec: ExecId, stream: OutputStream) -> Self {
        let target = Target { container, exec };
        Self { agent, target, stream, held: (Vec::new(), 0), next: Next::Unasked }
    }

    fn ask(&self) -> BoxFuture<'static, Result<Vec<u8>, AgentError>> {
        let (agent, Target { container, exec }) = (Arc::clone(&self.agent), self.target.clone());
        let stream = self.stream;
        Box::pin(async move {
            match stream {
                OutputStream::Stdout => agent.read_stdout(&container, &exec, CHUNK as u32).await,
                OutputStream::Stderr => agent.read_stderr(&container, &exec, CHUNK as u32).await,
            }
        })
    }

    /// Keeps what came; while it is read, the guest may fetch what follows.
    fn hold(&mut self, data: Vec<u8>, cx: &mut Context<'_>) {
        if data.len() >= BULK {
            let mut call = maybe_done(self.ask());
            // One poll sends it on its way. If it is done already, its answer waits in it.
            match call.poll_unpin(cx) {
                Poll::Ready(()) | Poll::Pending => self.next = Next::Asked(call),
            }
        }
        self.held = (data, 0);
    }
}

impl AsyncRead for ProcessOutput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let (data, from) = &mut this.held;
            if *from < data.len() {
                let rest = &data[*from..];
                let taken = rest.len().min(buf.remaining());
                buf.put_slice(&rest[..taken]);
                *from += taken;
                return Poll::Ready(Ok(()));
            }
            let call = match &mut this.next {
                Next::End => return Poll::Ready(Ok(())),
                Next::Asked(call) => call,
                Next::Unasked => {
                    this.next = Next::Asked(maybe_done(this.ask()));
                    continue;
                }
            };
            ready!(call.poll_unpin(cx));
            let reply = Pin::new(call).take_output();
            this.next = Next::Unasked;
            match reply {
                None => {} // never: it is taken only here
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                Some(Ok(data)) if data.is_empty() => this.next = Next::End,
                Some(Ok(data)) => this.hold(data, cx),
            }
        }
    }
}

impl fmt::Debug for ProcessOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, stream, .. } = self;
        f.debug_struct("ProcessOutput")
            .field("target", target)
            .field("stream", stream)
            .finish_non_exhaustive()
    }
}

/// The standard input of a process. `shutdown` closes it: the process reads its end.
pub struct ProcessStdin {
    agent: Arc<dyn Agent>,
    target: Target,
    call: Option<BoxFuture<'static, Result<(), AgentError>>>,
    closing: Closing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    Open,
    Asked,
    Closed,
}

impl ProcessStdin {
    /// The standard input of a process that was created with `stdin: true`.
    #[must_use]
    pub fn new(agent: Arc<dyn Agent>, container: ContainerId, exec: ExecId) -> Self {
        Self { agent, target: Target { container, exec }, call: None, closing: Closing::Open }
    }

    fn send(&self, data: Vec<u8>) -> BoxFuture<'static, Result<(), AgentError>> {
        let (agent, Target { container, exec }) = (Arc::clone(&self.agent), self.target.clone());
        Box::pin(async move {
            let mut rest = data.as_slice();
            while !rest.is_empty() {
                let taken = agent.write_stdin(&container, &exec, rest).await?;
                rest = match rest.get(taken..) {
                    Some(rest) if taken > 0 => rest,
                    Some(_) | None => {
                        return Err(AgentError::Protocol {
                            method: "WriteStdin",
                            reason: format!("{taken} of {} bytes were taken", rest.len()),
                        });
                    }
                };
            }
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'static, Result<(), AgentError>> {
        let (agent, Target { container, exec }) = (Arc::clone(&self.agent), self.target.clone());
        Box::pin(async move {
            match agent.close_stdin(&container, &exec).await {
                Err(error) if error.kind() == AgentErrorKind::NotFound => Ok(()),
                result => result,
            }
        })
    }

    /// Finishes the call under way.
    fn settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(call) = &mut self.call else { return Poll::Ready(Ok(())) };
        let result = ready!(call.as_mut().poll(cx));
        self.call = None;
        Poll::Ready(result.map_err(no_reader))
    }
}

/// A write to a process that is gone meets a broken pipe, as it would on the host.
fn no_reader(error: AgentError) -> io::Error {
    match error.kind() {
        AgentErrorKind::NotFound | AgentErrorKind::FailedPrecondition => {
            io::Error::new(io::ErrorKind::BrokenPipe, error)
        }
        AgentErrorKind::NotReady
        | AgentErrorKind::Transport
        | AgentErrorKind::Timeout
        | AgentErrorKind::Disconnected
        | AgentErrorKind::Unimplemented
        | AgentErrorKind::AlreadyExists
        | AgentErrorKind::InvalidArgument
        | AgentErrorKind::PermissionDenied
        | AgentErrorKind::Protocol
        | AgentErrorKind::Failed => error.into(),
    }
}

impl AsyncWrite for ProcessStdin {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.settle(cx))?;
        if self.closing != Closing::Open {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let taken = data.len().min(CHUNK);
        let mut call = self.send(data[..taken].to_vec());
        // One poll sends it on its way; the answer is awaited by the next operation.
        match call.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.map(|()| taken).map_err(no_reader)),
            Poll::Pending => {
                self.call = Some(call);
                Poll::Ready(Ok(taken))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.settle(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.closing {
                Closing::Closed => return Poll::Ready(Ok(())),
                Closing::Open => {
                    ready!(self.settle(cx))?;
                    self.call = Some(self.close());
                    self.closing = Closing::Asked;
                }
                Closing::Asked => {
                    let result = ready!(self.settle(cx));
                    self.closing = Closing::Closed;
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl fmt::Debug for ProcessStdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, closing, .. } = self;
        f.debug_struct("ProcessStdin")
            .field("target", target)
            .field("closing", closing)
            .finish_non_exhaustive()
    }
}
