//! The user's terminal: raw while a container's terminal is attached, restored whatever happens.

use std::io;

use rustix::termios::{self, OptionalActions, Termios};
use virtcontainers::TerminalSize;

use crate::error::CliError;

/// Standard input in raw mode until dropped.
#[derive(Debug)]
pub(crate) struct RawMode(Termios);

impl RawMode {
    /// Makes the terminal on standard input raw.
    ///
    /// # Errors
    /// When standard input is no terminal.
    pub(crate) fn enter() -> Result<Self, CliError> {
        let broken = |what: &str, errno: rustix::io::Errno| CliError::Io {
            what: what.to_owned(),
            source: errno.into(),
        };
        let before = termios::tcgetattr(io::stdin())
            .map_err(|errno| broken("cannot read the terminal's mode", errno))?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Drain, &raw)
            .map_err(|errno| broken("cannot make the terminal raw", errno))?;
        Ok(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Nothing is left to tell when even this fails: the terminal is gone.
        termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.0).ok();
    }
}

/// Whether standard input is a terminal.
pub(crate) fn is_on_stdin() -> bool {
    termios::isatty(io::stdin())
}

/// The size of the terminal on standard output.
pub(crate) fn size() -> Option<TerminalSize> {
    let size = termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0).then(|| TerminalSize { rows: size.ws_row.into(), columns: size.ws_col.into() })
}
