//! The QEMU Machine Protocol over a Unix socket.
//!
//! Commands, replies and events are the types of the `qapi` crate. The transport is our own, because it must outlast
//! what that crate's does not: an event that a newer QEMU added, a reply whose caller has given up, and a peer that
//! sends a line without end. One task owns the socket; a command that times out leaves the stream in order.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{SinkExt as _, StreamExt as _};
use qapi::{Command, ErrorClass, Event as _, Execute, qmp};
use serde::Deserialize;
use tokio::{
    io::Interest,
    net::UnixStream,
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};
use virtcontainers_sys::{
    task::{self, Task},
    unix,
};

use crate::error::VmError;

/// The longest line that is read, in bytes; QEMU's longest replies have some ten thousands.
const LONGEST_LINE: usize = 1 << 20;
/// Commands that may wait to be sent.
const QUEUE: usize = 16;
/// How long a command may take.
pub(super) const COMMAND: Duration = Duration::from_secs(10);

/// What the guest did, as far as we listen to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GuestEvent {
    /// A virtio-serial port, by its device's id, was opened or closed (`VSERPORT_CHANGE`).
    Port { id: String, open: bool },
    /// The kernel panicked (`GUEST_PANICKED`).
    Panicked,
    /// The guest has ended, and QEMU will (`SHUTDOWN`).
    Shutdown { reason: &'static str },
    /// A device is gone (`DEVICE_DELETED`).
    Deleted,
    /// The guest keeps a device (`DEVICE_UNPLUG_GUEST_ERROR`); its id.
    Kept { id: Option<String> },
}

/// A connection to a monitor, ready for commands. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Qmp {
    socket: PathBuf,
    requests: mpsc::Sender<Request>,
    _connection: Task<()>,
}

#[derive(Debug)]
struct Request {
    /// The command and its arguments, without an id.
    command: serde_json::Value,
    /// A descriptor that goes with it.
    fd: Option<OwnedFd>,
    reply: oneshot::Sender<Result<serde_json::Value, Refusal>>,
}

/// A line from QEMU: a greeting, a reply or an event.
#[derive(Debug, Deserialize)]
struct Incoming {
    #[serde(rename = "QMP")]
    greeting: Option<serde_json::Value>,
    id: Option<u64>,
    #[serde(rename = "return")]
    value: Option<serde_json::Value>,
    error: Option<Refusal>,
    event: Option<String>,
    #[serde(default)]
    data: serde_json::Value,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    class: ErrorClass,
    desc: String,
}

impl Qmp {
    /// Connects to a monitor in a sandbox's directory, and negotiates. A monitor that has another client lets this one
    /// wait until that one has left.
    pub(super) async fn open(
        dir: &Path,
        socket: &str,
        bound: Duration,
        on_event: impl FnMut(GuestEvent) + Send + 'static,
    ) -> Result<Self, VmError> {
        let path = dir.join(socket);
        let stream = unix::connect_in(dir, socket).and_then(UnixStream::from_std);
        Self::over(stream.map_err(VmError::io("connect to", &path))?, path, bound, on_event).await
    }

    /// Negotiates on a connection to the monitor at `path`.
    pub(super) async fn over(
        stream: UnixStream,
        path: PathBuf,
        bound: Duration,
        on_event: impl FnMut(GuestEvent) + Send + 'static,
    ) -> Result<Self, VmError> {
        let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(LONGEST_LINE));
        let waiting_for = || format!("the greeting of the monitor at {}", path.display());
        match timeout(bound, lines.next()).await {
            Ok(first) => {
                greeting(first).map_err(|source| VmError::Control { waiting_for: waiting_for(), source })?
            }
            Err(_elapsed) => {
                let waiting_for =
                    format!("{} (it serves one client at a time, and may have another)", waiting_for());
                return Err(VmError::Timeout { waiting_for, after: bound, console: Vec::new() });
            }
        }
        let (requests, inbox) = mpsc::channel(QUEUE);
        let monitor = Self {
            socket: path,
            requests,
            _connection: task::spawn("qmp", async move {
                if let Err(error) = serve(lines, inbox, on_event).await {
                    tracing::debug!(%error, "the monitor's connection has ended");
                }
            }),
        };
        monitor.execute(qmp::qmp_capabilities { enable: None }, bound).await?;
        Ok(monitor)
    }

    /// Runs one command.
    pub(super) async fn execute<C: Command>(&self, command: C, bound: Duration) -> Result<C::Ok, VmError> {
        let answer = self.ask(command, None, bound).await?;
        answer.map_err(|Refusal { class, desc }| refused(C::NAME, &class, desc))
    }

    /// Runs one command on something that may be gone already: then there is no answer.
    pub(super) async fn execute_if_there<C: Command>(
        &self,
        command: C,
        bound: Duration,
    ) -> Result<Option<C::Ok>, VmError> {
        match self.ask(command, None, bound).await? {
            Ok(answer) => Ok(Some(answer)),
            Err(Refusal { class: ErrorClass::DeviceNotFound, .. }) => Ok(None),
            Err(Refusal { class, desc }) => Err(refused(C::NAME, &class, desc)),
        }
    }

    /// Gives QEMU a descriptor, to be known by this name to the commands of this connection. One of that name is closed.
    pub(super) async fn give(&self, name: String, fd: OwnedFd, bound: Duration) -> Result<(), VmError> {
        let answer = self.ask(qmp::getfd { fdname: name }, Some(fd), bound).await?;
        answer.map(drop).map_err(|Refusal { class, desc }| refused(qmp::getfd::NAME, &class, desc))
    }

    async fn ask<C: Command>(
        &self,
        command: C,
        fd: Option<OwnedFd>,
        bound: Duration,
    ) -> Result<Result<C::Ok, Refusal>, VmError> {
        let waiting_for = || format!("the answer to {} on {}", C::NAME, self.socket.display());
        let lost = |source| VmError::Control { waiting_for: waiting_for(), source };
        let answer = async move {
            let (reply, answer) = oneshot::channel();
            let command = serde_json::to_value(Execute::<C, u64>::with_command(command))?;
            let request = Request { command, fd, reply };
            self.requests
                .send(request)
                .await
                .map_err(|_closed| io::Error::from(io::ErrorKind::BrokenPipe))?;
            answer.await.map_err(|_closed| io::Error::from(io::ErrorKind::UnexpectedEof))
        };
        match timeout(bound, answer).await {
            Ok(Ok(Ok(value))) => serde_json::from_value(value).map(Ok).map_err(|error| lost(error.into())),
            Ok(Ok(Err(refusal))) => Ok(Err(refusal)),
            Ok(Err(source)) => Err(lost(source)),
            Err(_elapsed) => {
                Err(VmError::Timeout { waiting_for: waiting_for(), after: bound, console: Vec::new() })
            }
        }
    }

    /// Whether the connection still stands.
    pub(super) fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }
}

/// The one owner of the socket: sends requests, hands out replies, reports events. Ends when the client or QEMU does.
async fn serve(
    mut lines: Framed<UnixStream, LinesCodec>,
    mut inbox: mpsc::Receiver<Request>,
    mut on_event: impl FnMut(GuestEvent) + Send,
) -> io::Result<()> {
    let mut waiting = HashMap::new();
    let mut last_id = 0u64;
    loop {
        tokio::select! {
            request = inbox.recv() => {
                let Some(Request { mut command, fd, reply }) = request else { return Ok(()) };
                last_id += 1;
                command["id"] = last_id.into();
                waiting.insert(last_id, reply);
                match fd {
                    None => lines.send(command.to_string()).await.map_err(io_error)?,
                    Some(fd) => send_with(lines.get_ref(), format!("{command}\n").as_bytes(), fd).await?,
                }
            }
            line = lines.next() => {
                let Some(line) = line.transpose().map_err(io_error)? else { return Ok(()) };
                let incoming: Incoming = serde_json::from_str(&line)?;
                if let Some(name) = incoming.event {
                    if let Some(event) = guest_event(&name, incoming.data) {
                        on_event(event);
                    }
                } else if let Some(reply) = incoming.id.and_then(|id| waiting.remove(&id)) {
                    // Whoever asked may have given up by now.
                    reply.send(incoming.error.map_or_else(|| Ok(incoming.value.unwrap_or_default()), Err)).ok();
                }
            }
        }
    }
}

/// Sends a line with a descriptor. Nothing else waits to be sent: every line goes out whole before the next.
async fn send_with(stream: &UnixStream, mut line: &[u8], fd: OwnedFd) -> io::Result<()> {
    let send = |line: &[u8]| unix::send_with_fd(stream, line, fd.as_fd());
    let sent = stream.async_io(Interest::WRITABLE, || send(line)).await?;
    line = &line[sent..];
    while !line.is_empty() {
        stream.writable().await?;
        match stream.try_write(line) {
            Ok(sent) => line = &line[sent..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn refused(command: &'static str, class: &ErrorClass, desc: String) -> VmError {
    VmError::Qmp { command, class: format!("{class:?}"), desc }
}

/// The events that we listen to; QEMU has many more, and new versions have new ones.
fn guest_event(name: &str, data: serde_json::Value) -> Option<GuestEvent> {
    let event = match name {
        qmp::VSERPORT_CHANGE::NAME => serde_json::from_value(data)
            .map(|qmp::VSERPORT_CHANGE { id, open }| GuestEvent::Port { id, open }),
        qmp::GUEST_PANICKED::NAME => Ok(GuestEvent::Panicked),
        qmp::DEVICE_DELETED::NAME => Ok(GuestEvent::Deleted),
        qmp::DEVICE_UNPLUG_GUEST_ERROR::NAME => serde_json::from_value(data)
            .map(|qmp::DEVICE_UNPLUG_GUEST_ERROR { device, .. }| GuestEvent::Kept { id: device }),
        qmp::SHUTDOWN::NAME => serde_json::from_value(data)
            .map(|qmp::SHUTDOWN { reason, .. }| GuestEvent::Shutdown { reason: qapi::Enum::name(&reason) }),
        _ => return None,
    };
    event.inspect_err(|error| tracing::warn!(name, %error, "an event is not in the form of its schema")).ok()
}

fn greeting(line: Option<Result<String, LinesCodecError>>) -> io::Result<()> {
    let Some(line) = line.transpose().map_err(io_error)? else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    match serde_json::from_str(&line)? {
        Incoming { greeting: Some(_), .. } => Ok(()),
        Incoming { .. } => Err(io::Error::new(io::ErrorKind::InvalidData, "this is no QMP server")),
    }
}

fn io_error(error: LinesCodecError) -> io::Error {
    match error {
        LinesCodecError::MaxLineLengthExceeded => {
            io::Error::new(io::ErrorKind::InvalidData, "a line without end")
        }
        LinesCodecError::Io(error) => error,
    }
}

#[cfg(test)]
mod tests;
