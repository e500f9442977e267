//! Knows when a connection has ended, which ttrpc tells its callers in words only, and can end it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use virtcontainers_agent_protocol::transport::Stream;

/// A stream that cancels a token at its end: when the peer closes it, when it breaks, or when it is dropped. Whoever cancels
/// the token ends the stream: it then reads as closed and takes nothing more.
pub(super) struct Lifeline<S> {
    stream: S,
    ended: CancellationToken,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _at_drop: DropGuard,
}

impl<S: Stream> Lifeline<S> {
    pub(super) fn new(stream: S) -> (Self, CancellationToken) {
        let ended = CancellationToken::new();
        let cut = Box::pin(ended.clone().cancelled_owned());
        let line = Self { stream, ended: ended.clone(), cut, _at_drop: ended.clone().drop_guard() };
        (line, ended)
    }

    fn judge<T>(&self, result: io::Result<T>) -> Poll<io::Result<T>> {
        if result.is_err() {
            self.ended.cancel();
        }
        Poll::Ready(result)
    }
}

impl<S: Stream> AsyncRead for Lifeline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let room = buf.remaining() > 0;
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if room && buf.filled().len() == before {
            self.ended.cancel();
        }
        self.judge(result)
    }
}

impl<S: Stream> AsyncWrite for Lifeline<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.ended.is_cancelled() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, data));
        self.judge(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        self.judge(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
