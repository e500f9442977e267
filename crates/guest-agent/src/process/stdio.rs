//! The standard streams of a process: three pipes or one terminal.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::pipe::PipeFlags;
use tokio::io::Interest;

use super::stream::{self, End, InputStream, OutputStream};

/// Bytes that the kernel holds of each output stream: what one read over a slow transport may bring.
const OUTPUT_PIPE: usize = 512 * 1024;

/// The process's ends: standard input, output and error, to be closed here once the process has them.
#[derive(Debug)]
pub struct ChildStdio(pub [OwnedFd; 3]);

/// The agent's ends.
#[derive(Debug)]
pub struct Stdio {
    stdin: InputStream,
    stdout: OutputStream,
    stderr: OutputStream,
    terminal: Mutex<Option<End>>,
}

impl Stdio {
    /// Three new pipes, of `size` bytes each where one is asked for.
    ///
    /// # Errors
    /// When there are no descriptors left, or the kernel refuses the size.
    pub fn pipes(size: Option<usize>) -> io::Result<(ChildStdio, Self)> {
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
        let (stdin, to_stdin) = pipe()?;
        let (from_stdout, stdout) = pipe()?;
        let (from_stderr, stderr) = pipe()?;
        match size {
            Some(size) => {
                for pipe in [&stdin, &from_stdout, &from_stderr] {
                    rustix::pipe::fcntl_setpipe_size(pipe, size)?;
                }
            }
            None => {
                for output in [&from_stdout, &from_stderr] {
                    // A smaller pipe is slower and nothing else.
                    rustix::pipe::fcntl_setpipe_size(output, OUTPUT_PIPE).ok();
                }
            }
        }
        let stdio = Self {
            stdin: InputStream::new(Some(stream::watch(to_stdin, Interest::WRITABLE)?)),
            stdout: OutputStream::new(Some(stream::watch(from_stdout, Interest::READABLE)?)),
            stderr: OutputStream::new(Some(stream::watch(from_stderr, Interest::READABLE)?)),
            terminal: Mutex::new(None),
        };
        Ok((ChildStdio([stdin, stdout, stderr]), stdio))
    }

    /// The terminal of which `master` is the controlling side, with `size` in rows and columns.
    ///
    /// # Errors
    /// When `master` is no terminal.
    pub fn terminal(master: OwnedFd, size: Option<(u16, u16)>) -> io::Result<Self> {
        let end = stream::watch(master, Interest::READABLE | Interest::WRITABLE)?;
        if let Some((rows, columns)) = size {
            stream::resize(&end, rows, columns)?;
        }
        Ok(Self {
            stdin: InputStream::new(Some(Arc::clone(&end))),
            stdout: OutputStream::new(Some(Arc::clone(&end))),
            stderr: OutputStream::new(None),
            terminal: Mutex::new(Some(end)),
        })
    }

    /// Standard input.
    #[must_use]
    pub fn stdin(&self) -> &InputStream {
        &self.stdin
    }

    /// Standard output; a terminal's only stream.
    #[must_use]
    pub fn stdout(&self) -> &OutputStream {
        &self.stdout
    }

    /// Standard error; of a terminal, at its end from the start.
    #[must_use]
    pub fn stderr(&self) -> &OutputStream {
        &self.stderr
    }

    /// Sets the terminal's size; `false` when there is no terminal.
    ///
    /// # Errors
    /// As the ioctl `TIOCSWINSZ`.
    pub fn resize(&self, rows: u16, columns: u16) -> io::Result<bool> {
        match self.terminal.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(end) => stream::resize(end, rows, columns).map(|()| true),
            None => Ok(false),
        }
    }
}
