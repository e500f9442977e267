//! Joins a process in the guest to this process: its streams, its signals, its terminal, its exit code.

use std::{future::pending, io};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    signal::unix::SignalKind,
};
use virtcontainers::{Process, Signal};

use crate::{
    cli::ProcessArgs,
    error::CliError,
    signals::hear,
    terminal::{self, RawMode},
};

/// One read of the guest's output: a message of the agent's protocol.
const CHUNK: usize = 32 * 1024;
/// What a shell reports of a command whose reader went away.
const BROKEN_PIPE: i32 = 128 + 13;

/// What of this process is joined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attach {
    /// Standard input is passed on.
    pub(crate) stdin: bool,
    /// The process has a terminal.
    pub(crate) tty: bool,
}

impl Attach {
    /// Output alone.
    pub(crate) const OUTPUT: Self = Self { stdin: false, tty: false };

    /// As the command line asks, where this process can do so.
    ///
    /// # Errors
    /// When a terminal is asked for and standard input, which is to be passed on, is none.
    pub(crate) fn new(args: &ProcessArgs) -> Result<Self, CliError> {
        if args.tty && args.interactive && !terminal::is_on_stdin() {
            return Err(CliError::Usage(
                "-t with -i needs a terminal on standard input: leave -t out".to_owned(),
            ));
        }
        Ok(Self { stdin: args.interactive, tty: args.tty })
    }
}

/// Runs the process's streams until it has ended; its exit code.
pub(crate) async fn attach(process: &Process, how: Attach) -> Result<i32, CliError> {
    let raw = if how.tty && how.stdin { Some(RawMode::enter()?) } else { None };
    let outcome = tokio::select! {
        code = run(process, how) => code,
        never = feed(process, how) => never,
        never = forward(process, how) => never,
    };
    drop(raw);
    outcome
}

async fn run(process: &Process, how: Attach) -> Result<i32, CliError> {
    let stdout = pump(process.stdout(), tokio::io::stdout(), "standard output");
    let stderr = async {
        // With a terminal, standard error is the terminal too.
        if how.tty { Ok(()) } else { pump(process.stderr(), tokio::io::stderr(), "standard error").await }
    };
    let wait = async { Ok(process.wait().await?) };
    match tokio::try_join!(stdout, stderr, wait) {
        Ok(((), (), code)) => Ok(code),
        Err(error) if error.is_closed_pipe() => {
            process.signal(Signal::KILL).await?;
            Ok(BROKEN_PIPE)
        }
        Err(error) => Err(error),
    }
}

/// Passes standard input on; never returns, since a process may go on after its input has ended.
async fn feed(process: &Process, how: Attach) -> Result<i32, CliError> {
    if how.stdin {
        let mut input = process.stdin();
        // A process that closed its input is no failure: what it does not read is lost, as in a pipe.
        copy(&mut tokio::io::stdin(), &mut input).await.ok();
        input.shutdown().await.ok();
    }
    pending().await
}

/// Passes signals and the terminal's size on; never returns but with an error.
async fn forward(process: &Process, how: Attach) -> Result<i32, CliError> {
    let (mut hangup, mut interrupt) = (hear(SignalKind::hangup())?, hear(SignalKind::interrupt())?);
    let (mut quit, mut terminate) = (hear(SignalKind::quit())?, hear(SignalKind::terminate())?);
    let mut window = hear(SignalKind::window_change())?;
    fit_terminal(process, how).await;
    loop {
        let heard = tokio::select! {
            _ = hangup.recv() => Signal::HUP,
            _ = interrupt.recv() => Signal::INT,
            _ = quit.recv() => Signal::QUIT,
            _ = terminate.recv() => Signal::TERM,
            _ = window.recv(), if how.tty => {
                resize(process).await;
                continue;
            }
        };
        if let Err(error) = process.signal(heard).await {
            tracing::debug!(%error, %heard, "the process did not take a signal");
        }
    }
}

/// Gives the process's terminal the size of this one, so that a command that is about to start finds it so.
pub(crate) async fn fit_terminal(process: &Process, how: Attach) {
    if how.tty {
        resize(process).await;
    }
}

async fn resize(process: &Process) {
    if let Some(size) = terminal::size()
        && let Err(error) = process.resize(size).await
    {
        tracing::debug!(%error, "the process did not take the terminal's size");
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    what: &str,
) -> Result<(), CliError> {
    copy(&mut from, &mut to)
        .await
        .map_err(|source| CliError::Io { what: format!("cannot pass on {what}"), source })
}

/// Copies until the end, each piece as soon as it is there.
async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut piece = vec![0; CHUNK];
    loop {
        let len = from.read(&mut piece).await?;
        if len == 0 {
            return to.flush().await;
        }
        to.write_all(&piece[..len]).await?;
        to.flush().await?;
    }
}
