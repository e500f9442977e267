//! What goes to standard output: tables for people, JSON for programs.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use serde::Serialize;
use virtcontainers::Timestamp;

use crate::{error::CliError, table, terminal};

/// Writes an error to standard error: nothing can be done when that is closed too.
pub(crate) fn complain(error: &CliError) {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        let said = source.to_string();
        // Some errors say their cause themselves.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = source.source();
    }
    if let Some(remedy) = error.remedy() {
        text = format!("{text}; {remedy}");
    }
    remark(&text);
}

/// Writes a remark to standard error: as with errors.
pub(crate) fn remark(text: &str) {
    writeln!(io::stderr().lock(), "virtc: {text}").ok();
}

/// Writes a line to standard output.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), CliError> {
    writeln!(io::stdout().lock(), "{text}").map_err(closed)
}

/// Writes one fact of something that is shown alone.
pub(crate) fn fact(name: &str, value: impl std::fmt::Display) -> Result<(), CliError> {
    line(format_args!("{name:12} {value}"))
}

/// Writes a value as indented JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|source| CliError::Io { what: "cannot write JSON".to_owned(), source: source.into() })?;
    line(text)
}

/// Writes a value as JSON on one line, for those who read line by line.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value)
        .map_err(|source| CliError::Io { what: "cannot write JSON".to_owned(), source: source.into() })?;
    line(text)
}

/// Writes rows under headings; on a terminal no line is wider than it.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> Result<(), CliError> {
    let width =
        if terminal::is_on_stdout() { terminal::size().map(|size| size.columns as usize) } else { None };
    table::lines(headings, rows, width).into_iter().try_for_each(line)
}

/// Writes bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(closed)
}

/// A text of the guest's without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() && char != '\n' && char != '\t' { '\u{fffd}' } else { char })
        .collect()
}

/// How long ago something happened, in one unit.
pub(crate) fn ago(then: Timestamp) -> String {
    format!("{} ago", span(SystemTime::from(then).elapsed().unwrap_or_default()))
}

/// A span of time, in one unit.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7_200 => (seconds / 60, "m"),
        7_200..172_800 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{count}{unit}")
}

/// A number of bytes with three digits or so, and a binary unit.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut unit_bytes = 1024_u64;
    while bytes / unit_bytes >= 1024 && unit + 1 < UNITS.len() {
        unit_bytes *= 1024;
        unit += 1;
    }
    // In tenths, rounded down: whole numbers, so nothing is lost on the way.
    let tenths = u128::from(bytes) * 10 / u128::from(unit_bytes);
    if tenths < 1000 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", tenths / 10, UNITS[unit])
    }
}

fn closed(source: io::Error) -> CliError {
    CliError::Io { what: "cannot write to standard output".to_owned(), source }
}
