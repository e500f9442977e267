//! Knows when a connection has ended, which ttrpc tells its callers in words only.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard};
use virtcontainers_agent_protocol::transport::Stream;

/// A stream that cancels a token at its end: when the peer closes it, when it breaks, or when it is dropped.
pub(super) struct Lifeline<S> {
    stream: S,
    ended: CancellationToken,
    _at_drop: DropGuard,
}

impl<S: Stream> Lifeline<S> {
    pub(super) fn new(stream: S) -> (Self, CancellationToken) {
        let ended = CancellationToken::new();
        let line = Self { stream, ended: ended.clone(), _at_drop: ended.clone().drop_guard() };
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
