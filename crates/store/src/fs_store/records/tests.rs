use super::{Said, last_line};

#[test]
fn the_last_whole_line_counts() {
    for (bytes, expected) in [
        ("whole", Said::Line(b"whole")),
        ("one\n", Said::Line(b"one")),
        ("one\n\ntwo\n", Said::Line(b"two")),
        ("one\n\n{\"two\":2}\n\n{\"thr", Said::Line(b"{\"two\":2}")),
        ("one\n\n{\"two\":2}\n\n{\"three\":3}", Said::Line(b"{\"two\":2}")),
        ("one\ntw\nthree\n", Said::Line(b"three")),
        ("one\n\n", Said::Line(b"one")),
        ("", Said::Nothing),
        ("\n", Said::Nothing),
        ("\n{\"begun\":", Said::Nothing),
        ("\n{\"ended\":1}\u{b}", Said::Damaged(b"{\"ended\":1}\x0b")),
        ("one\n\n{\"ended\":1}*", Said::Damaged(b"{\"ended\":1}*")),
    ] {
        assert_eq!(last_line(bytes.as_bytes()), expected, "{bytes:?}");
    }
}
