//! A virtio-serial port as an asynchronous stream.
//!
//! While the host side is closed such a port reports a hang-up, which tokio holds to be final; but a port comes back
//! when the host opens it again. So the port sits in an edge-triggered epoll of its own, and tokio watches that one.

use std::{
    io,
    os::fd::OwnedFd,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, epoll},
    fs::{Mode, OFlags},
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

use super::watch::watch;

/// An open port. Opening it tells the host so (QMP `VSERPORT_CHANGE`); so does dropping its last clone. Clones share
/// the stream: only one at a time may read or write.
#[derive(Debug, Clone)]
pub struct Port(Arc<Open>);

#[derive(Debug)]
struct Open {
    port: OwnedFd,
    changes: AsyncFd<OwnedFd>,
}

impl Port {
    /// Opens the device file `path`. Call it inside a runtime.
    ///
    /// # Errors
    /// As open(2): `EBUSY` when it is open already.
    pub fn open(path: &Path) -> io::Result<Self> {
        let port = rustix::fs::open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
        let changes = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&changes, &port, epoll::EventData::new_u64(0), interest)?;
        Ok(Self(Arc::new(Open { port, changes: watch(changes, Interest::READABLE)? })))
    }

    /// Waits until the host has its side open.
    ///
    /// # Errors
    /// When the kernel fails to tell.
    pub async fn connected(&self) -> io::Result<()> {
        loop {
            if self.is_connected()? {
                return Ok(());
            }
            std::future::poll_fn(|cx| self.poll_change(cx)).await?;
        }
    }

    fn is_connected(&self) -> io::Result<bool> {
        let mut polled = [PollFd::new(&self.0.port, PollFlags::IN | PollFlags::OUT)];
        rustix::event::poll(&mut polled, Some(&Timespec::default()))?;
        Ok(!polled[0].revents().contains(PollFlags::HUP))
    }

    /// Ready when the port's state may have changed since the last call.
    fn poll_change(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut guard = ready!(self.0.changes.poll_read_ready(cx))?;
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 1];
        epoll::wait(&self.0.changes, &mut events[..], Some(&Timespec::default()))?;
        guard.clear_ready();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Port {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match rustix::io::read(&self.0.port, buffer.initialize_unfilled()) {
                // The host closed its side and all it had sent is read: the end of this session.
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(rustix::io::Errno::AGAIN) => ready!(self.poll_change(cx))?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl AsyncWrite for Port {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match rustix::io::write(&self.0.port, bytes) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(rustix::io::Errno::AGAIN) => {
                    if !self.is_connected()? {
                        return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                    }
                    ready!(self.poll_change(cx))?;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
