//! Those who attach, as the shim serves them.

use std::{convert::Infallible, io, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::mpsc,
    time::timeout,
};

use super::{ShimOptions, frame::Request, hub::Tap, link::Link, record::Recorder};
use crate::error::AgentError;

/// How many clients are served at a time; further ones wait in the socket's backlog.
const MAX_CLIENTS: usize = 16;
/// How many pieces of input may wait for the process to read them; then the clients wait.
const MAX_INPUT: usize = 8;
/// How long the clients may take to hear of the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Input on its way to the process.
#[derive(Debug)]
pub(super) enum Input {
    Data(Vec<u8>),
    Close,
}

/// What a client may ask for.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub(super) options: &'a ShimOptions,
    pub(super) link: &'a Link,
    pub(super) recorder: &'a Recorder,
    pub(super) input: &'a mpsc::Sender<Input>,
}

/// The way of the input: several clients write, one after the other it is sent.
pub(super) fn input() -> (mpsc::Sender<Input>, mpsc::Receiver<Input>) {
    mpsc::channel(MAX_INPUT)
}

/// Serves clients until `ended` resolves, then lets them hear of the end.
pub(super) async fn serve<T>(desk: Desk<'_>, listener: &UnixListener, ended: impl Future<Output = T>) -> T {
    let mut clients = FuturesUnordered::new();
    let mut ended = std::pin::pin!(ended);
    let end = loop {
        tokio::select! {
            biased;
            end = &mut ended => break end,
            Some(()) = clients.next(), if !clients.is_empty() => {}
            accepted = listener.accept(), if clients.len() < MAX_CLIENTS => match accepted {
                Ok((stream, _)) => clients.push(client(desk, desk.recorder.hub.join(), stream)),
                Err(error) => tracing::debug!(%error, "a client did not come in"),
            },
        }
    };
    let farewell = async { while clients.next().await.is_some() {} };
    if timeout(FAREWELL, farewell).await.is_err() {
        tracing::debug!("a client did not hear of the end in time");
    }
    end
}

/// One client. It leaves by closing its side, and is left when it does not keep up.
async fn client(desk: Desk<'_>, mut tap: Tap, stream: UnixStream) {
    let (mut from, mut to) = stream.into_split();
    let dropped = tap.dropped.clone();
    let ended = tokio::select! {
        biased;
        () = dropped.cancelled() => Err(io::Error::other("it did not read the output in time")),
        ended = tell(&mut tap, &mut to) => ended,
        ended = hear(desk, &mut from) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client was let go");
    }
}

async fn tell(tap: &mut Tap, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    while let Some(frame) = tap.next().await {
        to.write_all(&frame).await?;
        tap.sent(&frame);
    }
    to.shutdown().await
}

async fn hear(desk: Desk<'_>, from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let Desk { options, link, input, .. } = desk;
    let (container, exec) = (&options.container, &options.exec);
    while let Some(request) = Request::read(from).await? {
        let answer = match request {
            Request::Stdin(data) => queue(input, Input::Data(data)).await,
            Request::CloseStdin => queue(input, Input::Close).await,
            Request::Resize(size) => {
                link.ask_once(|agent| async move { agent.resize_terminal(container, exec, size).await }).await
            }
            Request::Signal(signal) => {
                link.ask_once(
                    |agent| async move { agent.signal_process(container, Some(exec), signal).await },
                )
                .await
            }
        };
        if let Err(error) = answer {
            tracing::debug!(%error, "the process did not take what a client asked for");
        }
    }
    Ok(())
}

async fn queue(input: &mpsc::Sender<Input>, piece: Input) -> Result<(), AgentError> {
    // Whoever takes it lives as long as the clients do.
    input.send(piece).await.map_err(|_closed| AgentError::Disconnected { method: "WriteStdin" })
}

/// Passes input on to the process, piece by piece. What a process does not read is lost, as in a pipe; so is a piece
/// under which the connection breaks, for it may have arrived.
pub(super) async fn feed(options: &ShimOptions, link: &Link, mut input: mpsc::Receiver<Input>) -> Infallible {
    let (container, exec) = (&options.container, &options.exec);
    loop {
        let Some(piece) = input.recv().await else { return std::future::pending().await };
        let passed = match &piece {
            Input::Close => link.ask(|agent| async move { agent.close_stdin(container, exec).await }).await,
            Input::Data(data) => {
                link.ask_once(|agent| async move {
                    let mut rest = data.as_slice();
                    while !rest.is_empty() {
                        let taken = agent.write_stdin(container, exec, rest).await?;
                        rest = rest.get(taken.max(1)..).unwrap_or_default();
                    }
                    Ok(())
                })
                .await
            }
        };
        if let Err(error) = passed {
            tracing::debug!(%error, "the process did not take its input");
        }
    }
}
