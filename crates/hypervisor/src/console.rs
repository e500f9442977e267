//! The end of a guest's console, kept for error reports.
//!
//! What the guest writes is hostile: it is bounded in size, and what could drive a terminal is taken out of the lines
//! that are shown.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// The most that is kept, in bytes.
const KEPT: usize = 64 << 10;

/// The longest line that is shown, in characters.
const LINE: usize = 1024;

/// The last 64 KiB of a console; clones share them.
#[derive(Debug, Clone, Default)]
pub struct ConsoleTail(Arc<Mutex<VecDeque<u8>>>);

impl ConsoleTail {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends what the guest wrote; the oldest bytes make room for it.
    pub fn push(&self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let surplus = (kept.len() + bytes.len()).saturating_sub(KEPT);
        kept.drain(..surplus);
        kept.extend(bytes);
    }

    /// At most the last `count` lines that are not blank, the newest last, with control characters and terminal
    /// sequences taken out.
    #[must_use]
    pub fn lines(&self, count: usize) -> Vec<String> {
        let bytes: Vec<u8> = self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let mut lines: Vec<String> = text
            .rsplit(['\n', '\r'])
            .map(plain_line)
            .filter(|line| !line.trim().is_empty())
            .take(count)
            .collect();
        lines.reverse();
        lines
    }
}

/// A line without control characters and without the escape sequences of ECMA-48, cut at 1024 bytes.
#[must_use]
pub fn plain_line(line: &str) -> String {
    let mut shown = String::new();
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' {
            // ESC and one byte, or with `[` parameters and intermediates, then one final byte.
            if chars.next() == Some('[') {
                while chars.next_if(|char| (' '..='?').contains(char)).is_some() {}
                chars.next();
            }
        } else if char == '\t' || !char.is_control() {
            shown.push(char);
        }
        if shown.len() >= LINE {
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests;
