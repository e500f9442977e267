use crate::sys::signal::is_disposed_of;

const TERM: u32 = 15;

fn status(blocked: &str, ignored: &str, caught: &str) -> String {
    format!(
        "Name:\tinit\nShdPnd:\t0000000000004000\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\nSigCgt:\t{caught}\n"
    )
}

#[test]
fn a_signal_is_disposed_of_when_it_is_blocked_ignored_or_handled() {
    let (other, term) = ("0000000180012000", "0000000000004000");
    assert!(!is_disposed_of(&status(other, other, other), TERM));
    assert!(is_disposed_of(&status(term, other, other), TERM), "as tini and systemd do");
    assert!(is_disposed_of(&status(other, term, other), TERM));
    assert!(is_disposed_of(&status(other, other, term), TERM));
    assert!(is_disposed_of(&status(other, other, "8000000000000000"), 64));
}

#[test]
fn a_status_that_does_not_tell_is_no_reason_to_kill() {
    assert!(is_disposed_of("", TERM));
    assert!(is_disposed_of(&status("0", "0", "no number"), TERM));
}
