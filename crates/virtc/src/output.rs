//! What goes to standard output: tables for people, JSON for programs.

use std::{
    io::{self, Write},
    time::SystemTime,
};

use serde::Serialize;
use virtcontainers::Timestamp;

use crate::error::CliError;

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

/// Writes rows under headings, each column as wide as its widest cell.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> Result<(), CliError> {
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = io::stdout().lock();
    let mut write = |cells: [&str; N]| {
        let padded: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", padded.join("  ").trim_end())
    };
    write(headings).map_err(closed)?;
    for row in rows {
        write(row.each_ref().map(String::as_str)).map_err(closed)?;
    }
    Ok(())
}

/// How long ago something happened, in one unit.
pub(crate) fn ago(then: Timestamp) -> String {
    let seconds = SystemTime::from(then).elapsed().unwrap_or_default().as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7_200 => (seconds / 60, "m"),
        7_200..172_800 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{count}{unit} ago")
}

fn closed(source: io::Error) -> CliError {
    CliError::Io { what: "cannot write to standard output".to_owned(), source }
}
