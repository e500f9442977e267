use super::{ConsoleTail, KEPT};

#[test]
fn keeps_the_last_lines_and_skips_blank_ones() {
    let tail = ConsoleTail::new();
    tail.push(b"one\r\ntwo\r\n\r\n");
    tail.push(b"thr");
    tail.push(b"ee");
    assert_eq!(tail.lines(2), ["two", "three"]);
    assert_eq!(tail.lines(9), ["one", "two", "three"]);
    assert!(tail.lines(0).is_empty());
}

#[test]
fn is_bounded_whatever_the_guest_writes() {
    let tail = ConsoleTail::new();
    for _ in 0..10 {
        tail.push(&vec![b'x'; KEPT / 2 + 7]);
    }
    tail.push(&vec![b'y'; 3 * KEPT]);
    tail.push(b"\nend");
    assert_eq!(tail.0.lock().expect("not poisoned").len(), KEPT);
    let lines = tail.lines(9);
    assert_eq!(lines.last().map(String::as_str), Some("end"));
    assert!(lines.iter().all(|line| line.len() <= 1024 + 4));
}

#[test]
fn nothing_shown_can_drive_a_terminal() {
    let tail = ConsoleTail::new();
    tail.push(b"\x1b[2J\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07 \xff\x9b\tend");
    let lines = tail.lines(1);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].chars().all(|char| char == '\t' || !char.is_control()), "{lines:?}");
    assert!(lines[0].starts_with("red") && lines[0].ends_with("\tend"), "{lines:?}");
}
