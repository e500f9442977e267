use std::time::{Duration, SystemTime};

use super::{Moment, duration, in_utc};

fn at(text: &str) -> Option<SystemTime> {
    text.parse::<Moment>().ok().map(|moment| moment.0)
}

#[test]
fn times_with_and_without_an_offset() {
    // `date -u -d 2026-01-02T15:04:05Z +%s`
    let known = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_366_245);
    for text in [
        "2026-01-02T15:04:05Z",
        "2026-01-02t15:04:05z",
        "2026-01-02T15:04:05.000Z",
        "2026-01-02T17:34:05+02:30",
        "2026-01-02T10:04:05.0-05:00",
    ] {
        assert_eq!(at(text), Some(known), "{text}");
    }
    assert_eq!(in_utc(known), "2026-01-02T15:04:05.000000000Z");
}

#[test]
fn ages() {
    let begin = SystemTime::now();
    let then = at("1h30m").unwrap();
    let age = begin.duration_since(then).unwrap();
    assert!((5_399..=5_400).contains(&age.as_secs()), "{age:?}");
    assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
}

#[test]
fn what_is_no_time() {
    for text in [
        "",
        "10",
        "m",
        "yesterday",
        "2026-01-02",
        "2026-01-02T15:04:05",
        "2026-01-02T15:04:05+25:00",
        "2026-13-02T15:04:05Z",
        "2026-01-02T15:04:05+0200",
        "-10m",
        "ä026-01-02T15:04:05+02:00",
        "99999999999999y",
    ] {
        assert_eq!(at(text), None, "{text}");
    }
}
