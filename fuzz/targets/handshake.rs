//! The answer to `CONNECT` on a hybrid vsock socket: it is believed when it says `OK <port>`, and nothing of what
//! follows it is swallowed.
#![no_main]

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::{Builder, Runtime},
};
use virtcontainers_agent_protocol::{limits, transport::hybrid};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

/// A listener that says this and hangs up.
struct Listener<'a> {
    rest: &'a [u8],
}

impl AsyncRead for Listener<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = into.remaining().min(self.rest.len());
        let (now, later) = self.rest.split_at(count);
        into.put_slice(now);
        self.rest = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Listener<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fuzz_target!(|answer: &[u8]| {
    let mut listener = Listener { rest: answer };
    let shaken = RUNTIME
        .with(|runtime| runtime.block_on(hybrid::handshake(&mut listener, 1024, Duration::from_secs(10))));
    let read = &answer[..answer.len() - listener.rest.len()];
    assert!(read.len() <= limits::HYBRID_REPLY);
    if shaken.is_ok() {
        assert!(read.starts_with(b"OK ") && read.ends_with(b"\n"), "{read:?}");
        assert_eq!(read.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
});
