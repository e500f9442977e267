//! The user's terminal: raw while a container's terminal is attached, restored whatever happens.
//!
//! What it was like before is kept in one place of the process, so that a panic can restore it as well as the end of
//! a verb. There is at most one [`RawMode`] at a time.

use std::{
    io::{self, Write as _},
    sync::{Mutex, PoisonError},
};

use rustix::{
    process::{Signal, getpid, kill_process},
    termios::{self, OptionalActions, Termios},
};
use virtcontainers::TerminalSize;

use crate::error::CliError;

/// The terminal as it was before it was made raw.
static BEFORE: Mutex<Option<Before>> = Mutex::new(None);

struct Before {
    modes: Termios,
    /// What undoes what was written to change the screen.
    leave: &'static str,
}

/// Standard input in raw mode until dropped.
#[derive(Debug)]
pub(crate) struct RawMode(());

impl RawMode {
    /// Makes the terminal on standard input raw.
    ///
    /// # Errors
    /// When standard input is no terminal.
    pub(crate) fn enter() -> Result<Self, CliError> {
        Self::with_screen("", "")
    }

    /// Makes the terminal raw and writes `enter` to standard output; `leave` is written when it is restored.
    ///
    /// # Errors
    /// When standard input is no terminal.
    pub(crate) fn with_screen(enter: &'static str, leave: &'static str) -> Result<Self, CliError> {
        let modes = termios::tcgetattr(io::stdin())
            .map_err(|errno| broken("cannot read the terminal's mode", errno))?;
        make_raw(&modes).map_err(|errno| broken("cannot make the terminal raw", errno))?;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Before { modes, leave });
        let entered = Self(());
        write(enter)?;
        Ok(entered)
    }

    /// Stops this process as ctrl-z does, with the terminal as it was; goes on raw when it is continued.
    pub(crate) fn stop_here(&self) {
        if let Some(before) = &*BEFORE.lock().unwrap_or_else(PoisonError::into_inner) {
            before.restore();
        }
        // Without the permission to signal itself, the process goes on: nothing is lost.
        kill_process(getpid(), Signal::STOP).ok();
        self.again();
    }

    /// Makes the terminal raw again, after somebody else may have had it.
    pub(crate) fn again(&self) {
        if let Some(before) = &*BEFORE.lock().unwrap_or_else(PoisonError::into_inner) {
            // Nothing is left to tell when even this fails: the terminal is gone.
            make_raw(&before.modes).ok();
        }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

impl Before {
    fn restore(&self) {
        // Nothing is left to tell when even this fails: the terminal is gone.
        write(self.leave).ok();
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.modes).ok();
    }
}

/// Restores the terminal where it is raw.
fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        before.restore();
    }
}

/// From now on a panic restores the terminal before it says anything.
pub(crate) fn restore_on_panic() {
    let otherwise = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        otherwise(panic);
    }));
}

fn make_raw(modes: &Termios) -> rustix::io::Result<()> {
    let mut raw = modes.clone();
    raw.make_raw();
    termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)
}

fn write(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|source| CliError::Io { what: "cannot write to the terminal".to_owned(), source })
}

fn broken(what: &str, errno: rustix::io::Errno) -> CliError {
    CliError::Io { what: what.to_owned(), source: errno.into() }
}

/// Whether standard input is a terminal.
pub(crate) fn is_on_stdin() -> bool {
    termios::isatty(io::stdin())
}

/// Whether standard output is a terminal.
pub(crate) fn is_on_stdout() -> bool {
    termios::isatty(io::stdout())
}

/// The size of the terminal: of the one on standard output, else of the one on standard input.
pub(crate) fn size() -> Option<TerminalSize> {
    let known = |size: termios::Winsize| (size.ws_row > 0 && size.ws_col > 0).then_some(size);
    let size = termios::tcgetwinsize(io::stdout())
        .ok()
        .and_then(known)
        .or_else(|| termios::tcgetwinsize(io::stdin()).ok().and_then(known))?;
    Some(TerminalSize { rows: size.ws_row.into(), columns: size.ws_col.into() })
}
