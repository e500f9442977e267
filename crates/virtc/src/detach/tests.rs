use super::{DetachKeys, DetachWatch};

fn watch(keys: &str) -> DetachWatch {
    DetachWatch::new(&keys.parse().unwrap())
}

#[test]
fn keys_by_name() {
    for (text, bytes) in [
        ("ctrl-p,ctrl-q", &[0x10, 0x11][..]),
        ("ctrl-P", &[0x10]),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", &[0, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f]),
        ("a,~,.", b"a~."),
        ("", &[]),
    ] {
        assert_eq!(text.parse::<DetachKeys>().unwrap().0, bytes, "{text}");
    }
    for text in ["ctrl-", "ctrl-1", "ctrl-pq", "alt-p", "ab", "a,", ",", " ", "ä"] {
        assert!(text.parse::<DetachKeys>().is_err(), "{text}");
    }
    assert_eq!("ctrl-p,Q,ctrl-]".parse::<DetachKeys>().unwrap().to_string(), "ctrl-p,Q,ctrl-]");
}

#[test]
fn found_wherever_the_pieces_break() {
    assert_eq!(watch("ctrl-p,ctrl-q").take(b"ls\x10\x11more"), (b"ls".to_vec(), true));
    let mut apart = watch("ctrl-p,ctrl-q");
    assert_eq!(apart.take(b"ls\x10"), (b"ls".to_vec(), false));
    assert_eq!(apart.take(b"\x11"), (Vec::new(), true));
}

#[test]
fn a_beginning_that_goes_on_otherwise_is_passed_on() {
    let mut watch = watch("ctrl-p,ctrl-q");
    assert_eq!(watch.take(b"\x10"), (Vec::new(), false));
    assert_eq!(watch.take(b"x"), (b"\x10x".to_vec(), false));
    assert_eq!(watch.take(b"\x10\x10"), (b"\x10".to_vec(), false), "the second may begin the keys anew");
    assert_eq!(watch.take(b"\x11"), (Vec::new(), true));
    watch.take(b"\x10");
    assert_eq!(watch.rest(), b"\x10");
    assert_eq!(watch.rest(), b"");
}

#[test]
fn overlapping_keys() {
    let mut watch = watch("a,a,b");
    assert_eq!(watch.take(b"aaab"), (b"a".to_vec(), true));
    assert_eq!(watch.take(b"aac"), (b"aac".to_vec(), false));
}

#[test]
fn no_keys_hold_nothing_back() {
    assert_eq!(watch("").take(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
}
