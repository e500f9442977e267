//! The debug console: a shell of the guest, outside of all containers, for each connection.
//!
//! Bytes go both ways as they are. The shell's session ends with the connection: everything in it is hung up, and the
//! shell itself killed.

use std::{io, path::Path, process::Command, sync::Arc};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest, unix::AsyncFd};

use crate::{
    reaper::{Exit, Reaper},
    sys,
};

/// What is tried, in this order.
pub const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

/// Bytes on their way at a time, in each direction.
const BUFFER: usize = 8192;

const SIGHUP: u32 = 1;
const SIGKILL: u32 = 9;

/// Serves `stream` with a shell until either ends.
///
/// # Errors
/// `NotFound` when the guest has no shell; those of the stream and of the terminal.
pub async fn serve(reaper: &Arc<Reaper>, stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let Some(shell) = SHELLS.into_iter().find(|shell| Path::new(shell).exists()) else {
        return refuse(stream).await;
    };
    let mut command = Command::new(shell);
    command.arg("-i").current_dir("/").env_clear();
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("HOME", "/").env("TERM", "vt100");
    let expectation = reaper.expect();
    let (terminal, pid) = sys::terminal::spawn(command)?;
    let shell = Shell { exit: expectation.claim(pid), pid, reaper };
    drop(expectation);
    let terminal = sys::watch::watch(terminal, Interest::READABLE | Interest::WRITABLE)?;
    let outcome = relay(&terminal, stream, &shell.exit).await;
    drop(terminal);
    shell.end().await;
    outcome
}

async fn refuse(mut stream: impl AsyncWrite + Unpin) -> io::Result<()> {
    let reason = "this guest has no shell: build its image with `virtc guest build --shell FILE`";
    stream.write_all(format!("{reason}\r\n").as_bytes()).await?;
    stream.shutdown().await?;
    Err(io::Error::new(io::ErrorKind::NotFound, reason))
}

/// A running shell.
struct Shell<'a> {
    exit: Exit,
    pid: u32,
    reaper: &'a Arc<Reaper>,
}

impl Shell<'_> {
    async fn end(&self) {
        // One that has ended is not there any more, and has no signal coming.
        for signal in [SIGHUP, SIGKILL] {
            self.reaper.signal(self.pid, signal).ok();
        }
        self.exit.wait().await;
    }
}

impl Drop for Shell<'_> {
    /// Also when the agent gives the connection up.
    fn drop(&mut self) {
        self.reaper.signal(self.pid, SIGKILL).ok();
    }
}

/// Carries bytes both ways until one side is at its end.
async fn relay(
    terminal: &AsyncFd<std::os::fd::OwnedFd>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    exit: &Exit,
) -> io::Result<()> {
    let (mut from_host, mut to_host) = tokio::io::split(stream);
    let input = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = from_host.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            write_all(terminal, &buffer[..count]).await?;
        }
    };
    let output = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            match read(terminal, &mut buffer).await? {
                0 => return to_host.shutdown().await,
                count => to_host.write_all(&buffer[..count]).await?,
            }
        }
    };
    tokio::select! {
        ended = input => ended,
        ended = output => ended,
        // What else holds the terminal open does not keep a console without a shell.
        _code = async { exit.wait().await; tokio::time::sleep(LAST_OUTPUT).await } => Ok(()),
    }
}

/// How long output may still come once the shell has ended, while others hold the terminal open.
const LAST_OUTPUT: std::time::Duration = std::time::Duration::from_millis(500);

/// 0 at the end: a terminal that nobody holds open any more gives `EIO`.
async fn read(terminal: &AsyncFd<std::os::fd::OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
    let read = terminal.async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut *buffer)?)).await;
    match read {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(0),
        read => read,
    }
}

async fn write_all(terminal: &AsyncFd<std::os::fd::OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = terminal.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, bytes)?)).await?;
        bytes = &bytes[count..];
    }
    Ok(())
}
