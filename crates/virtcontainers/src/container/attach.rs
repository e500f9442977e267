//! Attach: the streams of a process that runs, shared with its shim and whoever else is attached, or from the agent
//! where there is no shim.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use virtcontainers_agent_client::{
    TerminalSize,
    shim::{self as wire, Attached},
};

use super::shim;
use crate::{
    error::{Cause, Error},
    process::Process,
    signal::Signal,
};

/// The streams of a process, from now on: what it has written before is in its log. Through a shim both outputs come
/// over one connection, so read both, or drop the one that is not wanted; a reader that falls more than a mebibyte
/// behind is let go. To drop it all is to detach.
#[derive(Debug)]
pub struct Attachment {
    /// Its standard input, if its command asked for one; `shutdown` closes it.
    pub stdin: AttachStdin,
    /// Its standard output; with a terminal, all of its output.
    pub stdout: AttachOutput,
    /// Its standard error.
    pub stderr: AttachOutput,
    /// Its signals, its terminal's size and its end.
    pub control: AttachControl,
}

/// The standard input of an [`Attachment`].
pub struct AttachStdin(Pin<Box<dyn AsyncWrite + Send>>);

/// An output of an [`Attachment`].
pub struct AttachOutput(Pin<Box<dyn AsyncRead + Send>>);

/// What can be told to the process of an [`Attachment`], and its end. Clones serve the same process.
#[derive(Debug, Clone)]
pub struct AttachControl {
    process: Process,
    /// None where there is no shim.
    shim: Option<wire::AttachControl>,
}

/// Attaches to a process.
pub(crate) async fn attach(process: &Process) -> Result<Attachment, Error> {
    let container = process.container();
    let sandbox = container.sandbox();
    let dir = shim::dir(sandbox.runtime(), sandbox.id(), container.id());
    if shim::living(&dir, process.id()).is_some() {
        let attached = wire::attach(&dir, container.id(), process.id()).map_err(Cause::from)?;
        let Attached { stdin, stdout, stderr, control } = attached;
        return Ok(Attachment {
            stdin: AttachStdin(Box::pin(stdin)),
            stdout: AttachOutput(Box::pin(stdout)),
            stderr: AttachOutput(Box::pin(stderr)),
            control: AttachControl { process: process.clone(), shim: Some(control) },
        });
    }
    Ok(Attachment {
        stdin: AttachStdin(Box::pin(process.stdin())),
        stdout: AttachOutput(Box::pin(process.stdout())),
        stderr: AttachOutput(Box::pin(process.stderr())),
        control: AttachControl { process: process.clone(), shim: None },
    })
}

impl AttachControl {
    /// Tells the process's terminal its size.
    ///
    /// # Errors
    /// When the process or its shim has ended; a size that no terminal can have.
    pub async fn resize(&self, size: TerminalSize) -> Result<(), Error> {
        match &self.shim {
            Some(shim) => {
                crate::config::check_terminal_size(size)?;
                Ok(shim.resize(size).await.map_err(Cause::from)?)
            }
            None => self.process.resize(size).await,
        }
    }

    /// Signals the process.
    ///
    /// # Errors
    /// When the process or its shim has ended.
    pub async fn signal(&self, signal: Signal) -> Result<(), Error> {
        match &self.shim {
            Some(shim) => Ok(shim.signal(signal.number()).await.map_err(Cause::from)?),
            None => self.process.signal(signal).await,
        }
    }

    /// Waits for the process to end: its exit code, 128+n for a signal n. Not bounded in time, cancel safe. Through a shim
    /// it comes behind all of the output, so that is to be read meanwhile.
    ///
    /// # Errors
    /// When the connection ends before: [`Process::wait`] goes on without it.
    pub async fn wait(&self) -> Result<i32, Error> {
        match &self.shim {
            Some(shim) => Ok(shim.wait().await.map_err(Cause::from)?),
            None => self.process.wait().await,
        }
    }
}

impl AsyncWrite for AttachStdin {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

impl AsyncRead for AttachOutput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buf)
    }
}

impl fmt::Debug for AttachStdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachStdin").finish_non_exhaustive()
    }
}

impl fmt::Debug for AttachOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachOutput").finish_non_exhaustive()
    }
}
