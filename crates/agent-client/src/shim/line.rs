//! Lines of a process's log in the CRI's format: `<time> <stdout|stderr> <F|P> <text>`, where P marks a piece of a line
//! that goes on in the next.

use std::time::SystemTime;

use super::timestamp::{format_time, parse_time};
use crate::io::OutputStream;

/// The longest text of one line, in bytes: longer ones are written in pieces, as the CRI's runtimes do.
pub const MAX_LINE: usize = 16 << 10;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read from the process, where the log tells.
    pub time: Option<SystemTime>,
    /// Which output it came from, where the log tells.
    pub stream: Option<OutputStream>,
    /// A piece: no newline belongs behind it.
    pub partial: bool,
    /// The text, without a newline. It may hold any bytes.
    pub text: Vec<u8>,
}

const fn name(stream: OutputStream) -> &'static str {
    match stream {
        OutputStream::Stdout => "stdout",
        OutputStream::Stderr => "stderr",
    }
}

/// Reads one line, without its newline. What is no line of this format is given as it is.
#[must_use]
pub fn parse(line: &[u8]) -> LogLine {
    let known = || {
        let mut parts = line.splitn(4, |&byte| byte == b' ');
        let time = parse_time(std::str::from_utf8(parts.next()?).ok()?)?;
        let stream = match parts.next()? {
            b"stdout" => OutputStream::Stdout,
            b"stderr" => OutputStream::Stderr,
            _ => return None,
        };
        let partial = match parts.next()? {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        let text = parts.next()?.to_vec();
        Some(LogLine { time: Some(time), stream: Some(stream), partial, text })
    };
    known().unwrap_or_else(|| LogLine { time: None, stream: None, partial: false, text: line.to_vec() })
}

/// Makes lines of what comes in from one output.
#[derive(Debug)]
pub(super) struct Lines {
    stream: OutputStream,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
}

impl Lines {
    pub(super) const fn new(stream: OutputStream) -> Self {
        Self { stream, begun: Vec::new() }
    }

    /// Writes the lines that `data` completes to `log`.
    pub(super) fn push(&mut self, data: &[u8], now: SystemTime, log: &mut Vec<u8>) {
        let head = Head::new(self.stream, now);
        for piece in data.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            self.begun.extend_from_slice(text);
            self.cut(&head, log);
            if ends {
                head.line(false, &self.begun, log);
                self.begun.clear();
            }
        }
        self.begun.shrink_to(MAX_LINE);
    }

    /// Whether a line has begun.
    pub(super) fn has_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Writes the line that has begun as a piece: there is nothing more for now.
    pub(super) fn flush(&mut self, now: SystemTime, log: &mut Vec<u8>) {
        if self.has_begun() {
            Head::new(self.stream, now).line(true, &self.begun, log);
            self.begun = Vec::new();
        }
    }

    /// Writes out what is too long for one line.
    fn cut(&mut self, head: &Head, log: &mut Vec<u8>) {
        let mut from = 0;
        while self.begun.len() - from > MAX_LINE {
            head.line(true, &self.begun[from..from + MAX_LINE], log);
            from += MAX_LINE;
        }
        self.begun.drain(..from);
    }
}

/// What all lines of one moment begin with.
struct Head(String);

impl Head {
    fn new(stream: OutputStream, now: SystemTime) -> Self {
        Self(format!("{} {} ", format_time(now), name(stream)))
    }

    fn line(&self, partial: bool, text: &[u8], log: &mut Vec<u8>) {
        log.extend_from_slice(self.0.as_bytes());
        log.extend_from_slice(if partial { b"P " } else { b"F " });
        log.extend_from_slice(text);
        log.push(b'\n');
    }
}
