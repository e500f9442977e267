//! A command that runs in the container for a copy.

use std::{io, os::unix::net::UnixStream as Blocking};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use virtcontainers::{Cmd, Container, ErrorKind, Process, Signal};

use super::CopyError;
use crate::{
    error::{CliError, Left},
    output,
    signals::Heard,
    streams::copy,
};

/// How much of what a tool complains is shown.
const SAID: usize = 2 * 1024;

/// A command in the container.
#[derive(Debug)]
pub(super) struct Tool {
    process: Process,
    program: &'static str,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct End {
    code: i32,
    said: Vec<u8>,
}

impl Tool {
    /// Starts it as root of the container.
    pub(super) async fn start(
        container: &Container,
        program: &'static str,
        args: &[&str],
        stdin: bool,
    ) -> Result<Self, CliError> {
        let args = std::iter::once(program).chain(args.iter().copied());
        let cmd = Cmd { user: "0".to_owned(), stdin, ..Cmd::new(args) };
        match container.exec(cmd).await {
            Ok(process) => Ok(Self { process, program }),
            Err(error) if error.kind() == ErrorKind::CommandNotFound => {
                Err(CopyError::NoTool { container: name(container), tool: program }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads its output while `work` has it, on a thread of its own, as a plain stream. When the work fails, the command
    /// is killed.
    pub(super) async fn read_by<T: Send + 'static, E: Send + 'static>(
        &self,
        work: impl FnOnce(Blocking) -> Result<T, E> + Send + 'static,
    ) -> Result<(Result<T, E>, End), CliError> {
        let (theirs, mut ours) = pair()?;
        let pump = async {
            // An end of either side shows in the work and in the command's exit code.
            copy(&mut self.process.stdout(), &mut ours).await.ok();
            drop(ours);
        };
        let (done, (), end) = self
            .uninterrupted(async { Ok(tokio::join!(self.work(move || work(theirs)), pump, self.end())) })
            .await?;
        Ok((done?, end?))
    }

    /// Writes its input while `work` makes it, on a thread of its own, as a plain stream.
    pub(super) async fn written_by<T: Send + 'static, E: Send + 'static>(
        &self,
        work: impl FnOnce(Blocking) -> Result<T, E> + Send + 'static,
    ) -> Result<(Result<T, E>, End), CliError> {
        let (theirs, mut ours) = pair()?;
        let pump = async {
            let mut stdin = self.process.stdin();
            // As above.
            copy(&mut ours, &mut stdin).await.ok();
            stdin.shutdown().await.ok();
            drop(ours);
        };
        let (done, (), end, _) = self
            .uninterrupted(async {
                Ok(tokio::join!(
                    self.work(move || work(theirs)),
                    pump,
                    self.end(),
                    collect(self.process.stdout())
                ))
            })
            .await?;
        Ok((done?, end?))
    }

    /// Joins its output to standard output.
    pub(super) async fn read_to_stdout(&self) -> Result<End, CliError> {
        let pump = async {
            let piped = copy(&mut self.process.stdout(), &mut tokio::io::stdout()).await;
            if piped.is_err() {
                self.kill().await;
            }
            piped
        };
        let (piped, end) = self.uninterrupted(async { Ok(tokio::join!(pump, self.end())) }).await?;
        let end = end?;
        piped.map_err(|source| CliError::Io { what: "cannot pass the archive on".to_owned(), source })?;
        Ok(end)
    }

    /// Joins standard input to its input.
    pub(super) async fn fed_from_stdin(&self) -> Result<End, CliError> {
        let pump = async {
            let mut stdin = self.process.stdin();
            // A command that ended early says so by its exit code.
            copy(&mut tokio::io::stdin(), &mut stdin).await.ok();
            stdin.shutdown().await.ok();
        };
        let end = async {
            tokio::pin!(pump);
            let end = self.end();
            tokio::pin!(end);
            tokio::select! {
                end = &mut end => end,
                () = &mut pump => end.await,
            }
        };
        let (end, _) =
            self.uninterrupted(async { Ok(tokio::join!(end, collect(self.process.stdout()))) }).await?;
        end
    }

    /// Runs it to its end: the beginning of its output.
    pub(super) async fn output(&self) -> Result<(Vec<u8>, End), CliError> {
        let (output, end) = self
            .uninterrupted(async { Ok(tokio::join!(collect(self.process.stdout()), self.end())) })
            .await?;
        Ok((output, end?))
    }

    /// Refuses an end with a code other than 0.
    pub(super) fn done(&self, end: End) -> Result<(), CopyError> {
        match end.code {
            0 => Ok(()),
            code => Err(CopyError::Tool {
                container: name(self.process.container()),
                tool: self.program,
                code,
                said: output::printable(String::from_utf8_lossy(&end.said).trim()),
            }),
        }
    }

    async fn work<T: Send + 'static, E: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, CliError> {
        let done = tokio::task::spawn_blocking(work).await.map_err(|error| CliError::Io {
            what: "a thread of this program was lost".to_owned(),
            source: io::Error::other(error),
        });
        if !matches!(done, Ok(Ok(_))) {
            self.kill().await;
        }
        done
    }

    async fn end(&self) -> Result<End, CliError> {
        let (said, code) = tokio::join!(collect(self.process.stderr()), self.process.wait());
        Ok(End { code: code?, said })
    }

    /// Does something that a signal ends, and the command with it.
    async fn uninterrupted<T>(&self, work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
        let mut heard = Heard::ending()?;
        tokio::select! {
            done = work => done,
            signal = heard.next() => {
                self.kill().await;
                Err(CliError::Interrupted { signal, left: Left::Partial })
            }
        }
    }

    /// Ends it: without its other end it would wait for ever.
    async fn kill(&self) {
        if let Err(error) = self.process.signal(Signal::KILL).await {
            tracing::debug!(%error, "the command in the container was not killed");
        }
    }
}

pub(super) fn name(container: &Container) -> String {
    format!("{}/{}", container.sandbox().id(), container.id())
}

/// Two ends of a stream: a plain one, and one of tokio.
fn pair() -> Result<(Blocking, UnixStream), CliError> {
    let made = || {
        let (plain, ours) = Blocking::pair()?;
        ours.set_nonblocking(true)?;
        Ok((plain, UnixStream::from_std(ours)?))
    };
    made().map_err(|source| CliError::Io { what: "cannot make a stream".to_owned(), source })
}

/// Reads a stream to its end and keeps its beginning.
async fn collect(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut piece = vec![0; 4 * 1024];
    // A stream that breaks is over: the exit code tells the rest.
    while let Ok(len @ 1..) = from.read(&mut piece).await {
        let room = SAID.saturating_sub(kept.len()).min(len);
        kept.extend_from_slice(&piece[..room]);
    }
    kept
}
