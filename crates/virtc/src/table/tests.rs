use unicode_width::UnicodeWidthStr as _;

use super::{cut, lines};

fn row<const N: usize>(cells: [&str; N]) -> [String; N] {
    cells.map(str::to_owned)
}

#[test]
fn columns_are_aligned() {
    let rows = [row(["web", "sleep 1000"]), row(["a-long-name", "x"])];
    assert_eq!(
        lines(["NAME", "COMMAND"], &rows, None),
        ["NAME         COMMAND", "web          sleep 1000", "a-long-name  x"]
    );
    assert_eq!(lines(["NAME"], &[], None), ["NAME"]);
}

#[test]
fn no_wider_than_the_terminal() {
    let command = "word ".repeat(40);
    let rows = [row(["web", "running", &command]), row(["日本語日本語", "stopped", "短い"])];
    let shown = lines(["NAME", "STATE", "COMMAND"], &rows, Some(60));
    assert!(shown.iter().all(|line| line.width() <= 60), "{shown:#?}");
    assert!(shown[1].ends_with('…'), "{shown:#?}");
    assert!(
        shown[1].starts_with("web           running  word"),
        "the other columns keep their width: {shown:#?}"
    );
    // Narrower than the columns can become: lines are too long, and nothing is lost of the short ones.
    assert!(lines(["NAME", "STATE", "COMMAND"], &rows, Some(3))[1].contains("running"));
}

#[test]
fn guests_do_not_steer_the_terminal() {
    let shown = lines(["COMMAND"], &[row(["a\u{1b}[2Jb\nc\td\u{9b}1m\r"])], None);
    assert_eq!(shown.len(), 2);
    assert!(!shown[1].chars().any(char::is_control), "{shown:?}");
}

#[test]
fn cuts_by_width() {
    assert_eq!(cut("abcdef", 6), "abcdef");
    assert_eq!(cut("abcdef", 5), "abcd…");
    assert_eq!(cut("日本語", 4), "日…");
    assert_eq!(cut("abc", 0), "…");
}
