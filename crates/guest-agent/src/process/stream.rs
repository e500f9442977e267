//! The agent's ends of a process's standard streams, with the kernel's buffers as the only ones.
//!
//! Reading hands out what is there and never reads ahead, so that a workload that nobody reads blocks in the kernel.
//! Both ends are non-blocking here only: a pipe's two ends, and a terminal's two, have separate file descriptions.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::{buffer::spare_capacity, fs::OFlags, io::Errno, termios::Winsize};
use tokio::io::{Interest, unix::AsyncFd};
use virtcontainers_agent_protocol::limits;

use crate::{reaper::Exit, sys};

/// An end as both directions of a terminal may share it.
pub(super) type End = Arc<AsyncFd<OwnedFd>>;

/// Makes `fd` non-blocking and watched by the runtime.
pub(super) fn watch(fd: OwnedFd, interest: Interest) -> io::Result<End> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
    Ok(Arc::new(sys::watch::watch(fd, interest)?))
}

/// What a process writes to one of its streams.
#[derive(Debug)]
pub struct OutputStream {
    end: Mutex<Option<End>>,
    /// Bytes read so far.
    carried: AtomicUsize,
}

/// A stream that has carried as many bytes has left memory to give back.
const MUCH: usize = 1 << 20;

impl OutputStream {
    pub(super) fn new(end: Option<End>) -> Self {
        Self { end: Mutex::new(end), carried: AtomicUsize::default() }
    }

    /// The next bytes, at most `len` of them and at most [`limits::MESSAGE_DATA`]; waits until there are some. Empty: the
    /// end of the stream. It ends when the process's side is closed everywhere, or when the process has ended and all
    /// that was written until then is read. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// As read(2).
    pub async fn read(&self, len: usize, exit: &Exit) -> io::Result<Vec<u8>> {
        let Some(end) = self.end.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
            return Ok(Vec::new());
        };
        let len = len.clamp(1, limits::MESSAGE_DATA);
        loop {
            let data = tokio::select! {
                biased;
                ready = end.readable() => match ready?.try_io(|fd| read_once(fd.get_ref(), len)) {
                    Ok(data) => data?,
                    Err(_would_block) => continue,
                },
                _ = exit.wait() => match read_once(end.get_ref(), len) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Vec::new(),
                    data => data?,
                },
            };
            self.carried.fetch_add(data.len(), Ordering::Relaxed);
            if data.is_empty() {
                self.close();
            }
            return Ok(data);
        }
    }

    /// Lets go of the stream: the process gets `EPIPE` or `SIGPIPE` when it writes on, readers the end.
    pub fn close(&self) {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        if end.is_some() && self.carried.load(Ordering::Relaxed) >= MUCH {
            sys::memory::give_back();
        }
    }
}

fn read_once(fd: &OwnedFd, len: usize) -> io::Result<Vec<u8>> {
    let mut data = Vec::with_capacity(len);
    match rustix::io::retry_on_intr(|| rustix::io::read(fd, spare_capacity(&mut data))) {
        // A terminal's other side is closed: that is its end of file.
        Ok(_) | Err(Errno::IO) => {
            data.shrink_to_fit();
            Ok(data)
        }
        Err(error) => Err(error.into()),
    }
}

/// What a process reads from its standard input.
#[derive(Debug)]
pub struct InputStream {
    end: tokio::sync::Mutex<Option<End>>,
}

impl InputStream {
    pub(super) fn new(end: Option<End>) -> Self {
        Self { end: tokio::sync::Mutex::new(end) }
    }

    /// Writes all of `bytes`, waiting for room; `false` when the process takes no input any more.
    ///
    /// # Errors
    /// As write(2).
    pub async fn write(&self, bytes: &[u8], exit: &Exit) -> io::Result<bool> {
        let mut slot = self.end.lock().await;
        let Some(end) = slot.as_ref() else { return Ok(false) };
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = tokio::select! {
                biased;
                _ = exit.wait() => Err(Errno::PIPE.into()),
                ready = end.writable() => match ready?.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), rest)?)) {
                    Ok(written) => written,
                    Err(_would_block) => continue,
                },
            };
            match written {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::PIPE | Errno::IO)) => {
                    *slot = None;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Closes the stream once what is being written is written; the process then reads the end of file. A terminal
    /// has no end of file to give: it only takes nothing more.
    pub async fn close(&self) {
        self.end.lock().await.take();
    }
}

/// Sets a terminal's size in characters.
pub(super) fn resize(end: &End, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(end.get_ref(), size)?)
}
