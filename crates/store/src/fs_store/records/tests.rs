use super::last_line;

#[test]
fn the_last_whole_line_counts() {
    for (bytes, expected) in [
        ("", ""),
        ("whole", "whole"),
        ("one\n", "one"),
        ("one\n\ntwo\n", "two"),
        ("one\n\ntwo\n\nthr", "two"),
        ("one\ntw\nthree\n", "three"),
        ("one\n\n", "one"),
        ("\n", ""),
        ("\nbegun", ""),
    ] {
        assert_eq!(last_line(bytes.as_bytes()), expected.as_bytes(), "{bytes:?}");
    }
}
