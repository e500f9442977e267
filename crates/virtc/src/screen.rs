//! A table that is drawn anew every so often, on a screen of its own, until the user leaves.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, Stdin},
    signal::unix::{Signal, SignalKind},
    time::{Interval, MissedTickBehavior},
};

use crate::{
    error::CliError,
    signals::{Heard, hear},
    table::cut,
    terminal::{self, RawMode},
};

/// The alternate screen without a cursor, and back (the private modes 1049 and 25 of xterm, which every emulator has).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Whether there is a terminal to draw on and to read keys from.
pub(crate) fn is_possible() -> bool {
    terminal::is_on_stdin() && terminal::is_on_stdout()
}

/// The screen, until it is dropped.
#[derive(Debug)]
pub(crate) struct Screen {
    _raw: RawMode,
    keys: Stdin,
    ticks: Interval,
    window: Signal,
    ending: Heard,
}

/// Why the screen is to be drawn again, or no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Time for new figures.
    Look,
    /// The same figures: the terminal has another size.
    Draw,
    /// A key.
    Key(u8),
    /// The user leaves.
    Leave,
}

impl Screen {
    /// Opens the screen on standard output.
    pub(crate) fn open(interval: Duration) -> Result<Self, CliError> {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (window, ending) = (hear(SignalKind::window_change())?, Heard::ending()?);
        Ok(Self {
            _raw: RawMode::with_screen(ENTER, LEAVE)?,
            keys: tokio::io::stdin(),
            ticks,
            window,
            ending,
        })
    }

    /// Waits for the next turn. The first one comes at once.
    pub(crate) async fn turn(&mut self) -> Turn {
        let mut key = [0];
        tokio::select! {
            _ = self.ticks.tick() => Turn::Look,
            _ = self.window.recv() => Turn::Draw,
            _ = self.ending.next() => Turn::Leave,
            // One byte at a time: what is typed meanwhile waits in the handle.
            read = self.keys.read(&mut key) => match (read, key) {
                // q, ctrl-c, ctrl-d, or the terminal is gone.
                (Ok(0) | Err(_), _) | (Ok(_), [b'q' | b'Q' | 3 | 4]) => Turn::Leave,
                (Ok(_), [key]) => Turn::Key(key),
            },
        }
    }

    /// Draws a title and a table; what does not fit is cut off.
    pub(crate) fn draw(&self, title: &str, table: impl FnOnce(usize) -> Vec<String>) -> Result<(), CliError> {
        let (rows, columns) =
            terminal::size().map_or((24, 80), |size| (size.rows as usize, size.columns as usize));
        let mut lines = vec![cut(title, columns), String::new()];
        lines.extend(table(columns).iter().map(|line| cut(line, columns)));
        if lines.len() > rows {
            let more = lines.len() + 1 - rows;
            lines.truncate(rows.saturating_sub(1));
            lines.push(format!("… {more} more"));
        }
        // Each line is written over the old one and its rest cleared: nothing flickers.
        let text = format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n"));
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|source| CliError::Io { what: "cannot write to the terminal".to_owned(), source })
    }
}
