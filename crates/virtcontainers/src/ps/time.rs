//! Times as ps(1) writes them, in UTC: a guest's time zone is not known.

const DAY: u64 = 86_400;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// When a process started: the time of day if that was within a day, else the date, else the year. Both in
/// milliseconds since the epoch.
pub(super) fn started(start: u64, now: u64) -> String {
    let (start, now) = (start / 1000, now / 1000);
    if now.saturating_sub(start) < DAY {
        let minute = start % DAY / 60;
        return format!("{:02}:{:02}", minute / 60, minute % 60);
    }
    let (year, month, day) = date(start / DAY);
    match date(now / DAY).0 == year {
        true => format!("{}{day:02}", MONTHS.get(month).copied().unwrap_or("?")),
        false => year.to_string(),
    }
}

/// Processor time: `[days-]hours:minutes:seconds`.
pub(super) fn cpu(seconds: u64) -> String {
    let (days, rest) = (seconds / DAY, seconds % DAY);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days > 0 { format!("{days}-{clock}") } else { clock }
}

/// Time since the start: `[[days-]hours:]minutes:seconds`.
pub(super) fn elapsed(seconds: u64) -> String {
    match seconds {
        0..3600 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        _ => cpu(seconds),
    }
}

/// Year, month (from 0) and day of a day since the epoch, by counting: a listing has few dates, and the calendar is
/// easily seen to be right.
fn date(day: u64) -> (u64, usize, u64) {
    /// No clock that counts milliseconds in 64 bits is meant to go beyond.
    const LAST_YEAR: u64 = 9999;
    let (mut year, mut left) = (1970, day);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while year < LAST_YEAR && left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in lengths.into_iter().enumerate() {
        if left < length {
            return (year, month, left + 1);
        }
        left -= length;
    }
    (year, 11, 31)
}
