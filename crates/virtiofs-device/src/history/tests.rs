use super::*;

const FILE: u64 = 7;

/// A moment, in milliseconds.
fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000 + millis)
}

/// A file that was changed then, and has this size.
fn changed(millis: u64, size: u64) -> Version {
    let since = at(millis).duration_since(SystemTime::UNIX_EPOCH).unwrap();
    // No file system with fine times hits a whole second.
    let time = (i64::try_from(since.as_secs()).unwrap(), since.subsec_nanos() + 1);
    Version { changed: time, modified: time, size }
}

impl History {
    /// An open after which the file is read.
    fn read(&self, handle: u64, version: Version, now: SystemTime) -> bool {
        let keep = self.opened(FILE, handle, version, now);
        self.used(FILE, handle);
        keep
    }
}

#[test]
fn what_is_unchanged_is_kept_from_the_second_open_on() {
    let history = History::default();
    assert!(!history.read(1, changed(0, 5), at(1000)));
    for handle in 2..10 {
        assert!(history.read(handle, changed(0, 5), at(1000 + handle)));
    }
}

#[test]
fn any_difference_drops_once() {
    let first = changed(0, 5);
    let same_size = changed(3000, 5);
    let times_set_back = Version { modified: first.modified, ..same_size };
    let truncated = Version { size: 2, ..first };
    for other in [same_size, times_set_back, truncated] {
        let history = History::default();
        history.read(1, first, at(1000));
        assert!(history.read(2, first, at(1001)));
        assert!(!history.read(3, other, at(5000)), "{other:?}");
        assert!(history.read(4, other, at(5001)), "{other:?}");
    }
}

#[test]
fn what_changed_a_moment_ago_may_change_again_unseen() {
    let history = History::default();
    assert!(!history.read(1, changed(1000, 5), at(1001)));
    assert!(!history.read(2, changed(1000, 5), at(1500)), "the first one saw it within the tick");
    assert!(history.read(3, changed(1000, 5), at(1501)));
}

#[test]
fn a_change_in_the_future_settles_nothing() {
    let history = History::default();
    for handle in 1..5 {
        assert!(!history.read(handle, changed(9000, 5), at(handle)));
    }
}

#[test]
fn whole_seconds_take_longer_to_settle() {
    let coarse = Version { changed: (1000, 0), modified: (1000, 0), size: 5 };
    let history = History::default();
    assert!(!history.read(1, coarse, at(1500)));
    assert!(!history.read(2, coarse, at(2200)), "within two seconds");
    assert!(history.read(3, coarse, at(2201)));
}

#[test]
fn nothing_is_kept_before_the_one_who_drops_has_dropped() {
    let history = History::default();
    history.read(1, changed(0, 5), at(1000));
    assert!(!history.opened(FILE, 2, changed(2000, 5), at(4000)));
    history.used(FILE, 1);
    assert!(!history.opened(FILE, 3, changed(2000, 5), at(4001)), "the second may not have dropped them yet");
    history.used(FILE, 3);
    assert!(history.opened(FILE, 4, changed(2000, 5), at(4002)));
    assert!(history.opened(FILE, 5, changed(2000, 5), at(4003)), "who keeps need not be waited for");
}

#[test]
fn what_the_guest_forgot_is_forgotten() {
    let history = History::default();
    history.read(1, changed(0, 5), at(1000));
    history.forgotten(FILE);
    assert!(!history.read(2, changed(0, 5), at(1001)));
}

#[test]
fn a_guest_with_many_files_takes_no_more_memory_and_keeps_those_in_use() {
    let history = History::default();
    let many = u64::try_from(LIMIT).unwrap() * 5;
    history.read(1, changed(0, 5), at(1000));
    for other in 0..many {
        history.opened(1000 + other, 2 + other, changed(0, 5), at(1000));
        if other % 100 == 0 {
            assert!(history.read(1_000_000 + other, changed(0, 5), at(1001)), "{other}");
        }
        let generations = history.lock();
        assert!(generations.young.len() <= LIMIT && generations.old.len() <= LIMIT);
    }
    history.opened(1000, 9, changed(0, 5), at(1002));
    history.used(1000, 9);
    assert!(history.opened(1000, 10, changed(0, 5), at(1002)), "one that was forgotten is learnt again");
}
