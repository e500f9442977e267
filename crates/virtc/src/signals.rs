//! Hearing the signals that are sent to this process.

use std::{future::poll_fn, task::Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;

/// What ends a process by default, can be caught, and may be meant for the command: the signals of signal(7) without
/// those that tell a process of its own faults (SIGBUS, SIGABRT and the like) and those of terminals and children.
const MEANT_FOR_THE_COMMAND: [i32; 12] = [1, 2, 3, 10, 12, 14, 15, 16, 26, 27, 29, 30];

/// Hears one kind of signal from now on, in place of what it does by default.
pub(crate) fn hear(kind: SignalKind) -> Result<Signal, CliError> {
    signal(kind).map_err(|source| CliError::Io { what: "cannot hear signals".to_owned(), source })
}

/// Several signals at a time.
#[derive(Debug)]
pub(crate) struct Heard(Vec<(SignalKind, Signal)>);

impl Heard {
    /// Those that ask this process to end.
    pub(crate) fn ending() -> Result<Self, CliError> {
        Self::new([
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
        ])
    }

    /// All that may be meant for the command that this process stands for.
    pub(crate) fn for_the_command() -> Result<Self, CliError> {
        Self::new(MEANT_FOR_THE_COMMAND.map(SignalKind::from_raw))
    }

    fn new(kinds: impl IntoIterator<Item = SignalKind>) -> Result<Self, CliError> {
        kinds.into_iter().map(|kind| Ok((kind, hear(kind)?))).collect::<Result<_, _>>().map(Self)
    }

    /// The number of the next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> i32 {
        poll_fn(|context| {
            for (kind, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(kind.as_raw_value());
                }
            }
            Poll::Pending
        })
        .await
    }
}
