//! Hearing the signals that are sent to this process.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;

/// Hears one kind of signal from now on, in place of what it does by default.
pub(crate) fn hear(kind: SignalKind) -> Result<Signal, CliError> {
    signal(kind).map_err(|source| CliError::Io { what: "cannot hear signals".to_owned(), source })
}
