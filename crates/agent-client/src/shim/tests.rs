use std::time::{Duration, UNIX_EPOCH};

use super::{
    line::{Lines, MAX_LINE, parse},
    timestamp::{format_time, parse_time},
};
use crate::io::OutputStream;

#[test]
fn times_are_written_and_read() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (951_782_399, "2000-02-28T23:59:59.000000000Z"),
        (951_782_400, "2000-02-29T00:00:00.000000000Z"),
        (951_868_800, "2000-03-01T00:00:00.000000000Z"),
        (1_767_225_599, "2025-12-31T23:59:59.000000000Z"),
        (1_767_225_600, "2026-01-01T00:00:00.000000000Z"),
        (4_107_542_399, "2100-02-28T23:59:59.000000000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000000000Z"),
    ] {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(format_time(time), text);
        assert_eq!(parse_time(text), Some(time), "{text}");
    }
    let precise = UNIX_EPOCH + Duration::new(1_767_323_045, 123_456_789);
    assert_eq!(format_time(precise), "2026-01-02T03:04:05.123456789Z");
    assert_eq!(parse_time("2026-01-02T03:04:05.123456789Z"), Some(precise));
    for wrong in
        ["", "now", "2026-13-02T03:04:05.123456789Z", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05.1Z"]
    {
        assert_eq!(parse_time(wrong), None, "{wrong}");
    }
}

/// What the lines of a log say, each with whether it is a piece.
fn told(log: &[u8]) -> Vec<(bool, Vec<u8>)> {
    let lines = log.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n');
    lines
        .map(|line| {
            let line = parse(line);
            assert!(line.time.is_some() && line.stream == Some(OutputStream::Stderr), "{line:?}");
            (line.partial, line.text)
        })
        .collect()
}

#[test]
fn lines_are_put_together_from_pieces() {
    let mut lines = Lines::new(OutputStream::Stderr);
    let mut log = Vec::new();
    for piece in [&b"one\ntw"[..], b"o", b"\n\nthree"] {
        lines.push(piece, UNIX_EPOCH, &mut log);
    }
    assert_eq!(told(&log), [(false, b"one".to_vec()), (false, b"two".to_vec()), (false, Vec::new())]);
    assert!(lines.has_begun());
    log.clear();
    lines.flush(UNIX_EPOCH, &mut log);
    assert_eq!(told(&log), [(true, b"three".to_vec())]);
    assert!(!lines.has_begun());
}

#[test]
fn a_long_line_of_any_bytes_is_cut_into_pieces_and_whole_together() {
    let bytes: Vec<u8> =
        (0..3 * MAX_LINE + 5).map(|n| if n % 256 == 10 { 0 } else { (n % 256) as u8 }).collect();
    let mut lines = Lines::new(OutputStream::Stderr);
    let mut log = Vec::new();
    for piece in bytes.chunks(1000) {
        lines.push(piece, UNIX_EPOCH, &mut log);
    }
    lines.push(b"\n", UNIX_EPOCH, &mut log);
    let told = told(&log);
    assert_eq!(told.iter().map(|(partial, _)| *partial).collect::<Vec<_>>(), [true, true, true, false]);
    assert!(told.iter().all(|(_, text)| text.len() <= MAX_LINE));
    assert!(told.into_iter().flat_map(|(_, text)| text).eq(bytes));
}

#[test]
fn what_is_no_line_is_given_as_it_is() {
    for strange in [&b""[..], b"torn", b"2026-01-02T03:04:05.000000000Z stdin F x", b"x stdout F x"] {
        let line = parse(strange);
        assert_eq!((line.time, line.stream, line.text.as_slice()), (None, None, strange));
    }
}
