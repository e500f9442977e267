//! Joins a process in the guest to this process: its streams, its signals, its terminal, its exit code.

use std::{future::pending, io, pin::pin, time::Duration};

use futures::FutureExt as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    signal::unix::{Signal as Arrivals, SignalKind},
    time::timeout,
};
use virtcontainers::{AttachControl, Attachment, Container, Error, Process, Signal, TerminalSize};

use crate::{
    cli::ProcessArgs,
    detach::{DetachKeys, DetachWatch},
    error::{CliError, Left},
    exit::Exit,
    signals::{Heard, hear},
    terminal::{self, RawMode},
};

/// One read of the guest's output: a message of the agent's protocol.
const CHUNK: usize = 32 * 1024;
/// How long a broken stream may wait for a better reason than its own.
const EXPLANATION: Duration = Duration::from_secs(2);
/// What a shell reports of a command whose reader went away.
const BROKEN_PIPE: i32 = 128 + 13;

/// What of this process is joined.
#[derive(Debug, Clone)]
pub(crate) struct Attach {
    /// Standard input is passed on.
    pub(crate) stdin: bool,
    /// The process has a terminal.
    pub(crate) tty: bool,
    /// Signals that arrive here are passed on; otherwise they end the attachment, not the process.
    pub(crate) signals: bool,
    /// With a terminal and standard input: the keys that leave the process alone.
    pub(crate) keys: DetachKeys,
}

/// How an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The process ended, with this code.
    Code(i32),
    /// The user left it; it goes on.
    Detached,
}

impl From<Ended> for Exit {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Code(code) => Self::Code(code),
            Ended::Detached => Self::Done,
        }
    }
}

impl Attach {
    /// As the command line asks, where this process can do so.
    ///
    /// # Errors
    /// When a terminal is asked for and there is none to show it on.
    pub(crate) fn new(args: &ProcessArgs, keys: &DetachKeys) -> Result<Self, CliError> {
        if args.tty && !terminal::is_on_stdin() {
            return Err(CliError::Usage(
                "-t needs a terminal, and standard input is none: leave -t out (-i alone passes a pipe or file on)"
                    .to_owned(),
            ));
        }
        Ok(Self { stdin: args.interactive, tty: args.tty, signals: true, keys: keys.clone() })
    }
}

/// The other side: a process in a guest, whoever holds its streams.
pub(crate) struct Joined {
    stdin: Box<dyn AsyncWrite + Unpin>,
    stdout: Box<dyn AsyncRead + Unpin>,
    stderr: Box<dyn AsyncRead + Unpin>,
    control: Control,
}

/// How it is waited for and told things.
enum Control {
    /// It is ours: nobody else reads what it prints.
    Own(Process),
    /// A shim stands for the container's command, or somebody else does.
    Shared(AttachControl, Container),
}

impl Joined {
    /// A process whose streams are ours.
    pub(crate) fn own(process: &Process) -> Self {
        Self {
            stdin: Box::new(process.stdin()),
            stdout: Box::new(process.stdout()),
            stderr: Box::new(process.stderr()),
            control: Control::Own(process.clone()),
        }
    }

    /// A container's command that others may attend as well.
    pub(crate) fn shared(attachment: Attachment, container: Container) -> Self {
        let Attachment { stdin, stdout, stderr, control, .. } = attachment;
        Self {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            control: Control::Shared(control, container),
        }
    }
}

impl Control {
    async fn wait(&self) -> Result<i32, Error> {
        match self {
            Self::Own(process) => process.wait().await,
            Self::Shared(control, container) => match control.wait().await {
                Ok(code) => Ok(code),
                // The attachment broke. When it did so because the command has ended, its code is known.
                Err(error) => container.status().await?.exit_code.ok_or(error),
            },
        }
    }

    async fn signal(&self, signal: Signal) -> Result<(), Error> {
        match self {
            Self::Own(process) => process.signal(signal).await,
            Self::Shared(control, _) => control.signal(signal).await,
        }
    }

    async fn resize(&self, size: TerminalSize) -> Result<(), Error> {
        match self {
            Self::Own(process) => process.resize(size).await,
            Self::Shared(control, _) => control.resize(size).await,
        }
    }
}

/// Runs the process's streams until it has ended or the user has left it.
pub(crate) async fn attach(joined: Joined, how: &Attach) -> Result<Ended, CliError> {
    let Joined { stdin, stdout, stderr, control } = joined;
    let raw = if how.tty && how.stdin { Some(RawMode::enter()?) } else { None };
    tokio::select! {
        code = run(stdout, stderr, &control, how) => code,
        detached = feed(stdin, how) => detached,
        never = forward(&control, how) => never,
        never = attend_terminal(&control, how, raw.as_ref()) => never,
    }
}

async fn run(
    stdout: Box<dyn AsyncRead + Unpin>,
    stderr: Box<dyn AsyncRead + Unpin>,
    control: &Control,
    how: &Attach,
) -> Result<Ended, CliError> {
    let stdout = pump(stdout, tokio::io::stdout(), "standard output");
    let stderr = async {
        // With a terminal, standard error is the terminal too.
        if how.tty { Ok(()) } else { pump(stderr, tokio::io::stderr(), "standard error").await }
    };
    let mut wait = pin!(control.wait().fuse());
    let code = async { Ok((&mut wait).await?) };
    let joined = async { tokio::try_join!(stdout, stderr, code) };
    match joined.await {
        Ok(((), (), code)) => Ok(Ended::Code(code)),
        Err(error) if error.is_closed_pipe() => match control {
            Control::Own(process) => {
                process.signal(Signal::KILL).await?;
                Ok(Ended::Code(BROKEN_PIPE))
            }
            Control::Shared(..) => Ok(Ended::Detached),
        },
        // A stream that breaks may be the first to tell of the guest's end; whoever waits for the process learns why.
        Err(error @ CliError::Io { .. }) => match timeout(EXPLANATION, wait).await {
            Ok(Err(reason)) => Err(reason.into()),
            Ok(Ok(_)) | Err(_) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Passes standard input on. Returns only when the user leaves: a process may go on after its input has ended.
async fn feed(mut to: Box<dyn AsyncWrite + Unpin>, how: &Attach) -> Result<Ended, CliError> {
    if how.stdin {
        let mut from = tokio::io::stdin();
        // A process that closed its input is no failure: what it does not read is lost, as in a pipe.
        let left = if how.tty {
            copy_until(&mut from, &mut to, DetachWatch::new(&how.keys)).await.unwrap_or(false)
        } else {
            copy(&mut from, &mut to).await.ok();
            false
        };
        if left {
            return Ok(Ended::Detached);
        }
        to.shutdown().await.ok();
    }
    pending().await
}

/// Passes signals on; never returns but with an error.
async fn forward(control: &Control, how: &Attach) -> Result<Ended, CliError> {
    if !how.signals {
        let signal = Heard::ending()?.next().await;
        return Err(CliError::Interrupted { signal, left: Left::Running });
    }
    let mut heard = Heard::for_the_command()?;
    loop {
        let number = heard.next().await;
        let Some(signal) = u32::try_from(number).ok().and_then(Signal::from_number) else { continue };
        if let Err(error) = control.signal(signal).await {
            tracing::debug!(%error, %signal, "the process did not take a signal");
        }
    }
}

/// Passes the terminal's size on, and hands the terminal back while this process is stopped; never returns but with an
/// error.
async fn attend_terminal(control: &Control, how: &Attach, raw: Option<&RawMode>) -> Result<Ended, CliError> {
    if !how.tty {
        return pending().await;
    }
    if let (Control::Shared(control, _), Some(TerminalSize { rows, columns })) = (control, terminal::size()) {
        // Programs draw themselves anew when the size changes, and nothing else tells them that somebody has come.
        control.resize(TerminalSize { rows: rows + 1, columns }).await.ok();
    }
    let mut window = hear(SignalKind::window_change())?;
    let (mut stop, mut proceed) = match raw {
        Some(_) => (
            Some(hear(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?),
            Some(hear(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?),
        ),
        None => (None, None),
    };
    loop {
        if let Some(size) = terminal::size()
            && let Err(error) = control.resize(size).await
        {
            tracing::debug!(%error, "the process did not take the terminal's size");
        }
        tokio::select! {
            _ = window.recv() => {}
            () = arrival(stop.as_mut()) => raw.into_iter().for_each(RawMode::stop_here),
            () = arrival(proceed.as_mut()) => raw.into_iter().for_each(RawMode::again),
        }
    }
}

async fn arrival(of: Option<&mut Arrivals>) {
    match of {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
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
pub(crate) async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
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

/// Copies what is typed until its end, or until the keys that leave: whether they came.
pub(crate) async fn copy_until(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut watch: DetachWatch,
) -> io::Result<bool> {
    let mut piece = vec![0; CHUNK];
    loop {
        let len = from.read(&mut piece).await?;
        let (on, leave) = if len == 0 { (watch.rest(), false) } else { watch.take(&piece[..len]) };
        to.write_all(&on).await?;
        to.flush().await?;
        if leave || len == 0 {
            return Ok(leave);
        }
    }
}
