//! Points in time as the CRI's log format writes them: RFC 3339 in UTC, with nine decimals.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 60 * 60;

/// `2026-01-02T03:04:05.000000000Z`. Times before 1970 are written as its beginning.
#[must_use]
pub fn format_time(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", since.subsec_nanos())
}

/// Reads what [`format_time`] wrote.
#[must_use]
pub fn parse_time(text: &str) -> Option<SystemTime> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<u64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (clock, nanos) = clock.split_once('.')?;
    let mut clock = clock.splitn(3, ':').map(str::parse::<u64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let sound = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !sound || hour > 23 || minute > 59 || second > 60 || nanos.len() != 9 {
        return None;
    }
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos.parse().ok()?))
}

/// Days of the year before each month, counted from March, so that a leap day is the last of its year.
const BEFORE_MONTH: [u64; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];
/// Days between the first of March of the year 0 and 1970.
const TO_EPOCH: u64 = 719_468;

/// Days since 1970 of a date of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    let before = BEFORE_MONTH.get(usize::try_from(month).unwrap_or(0)).copied().unwrap_or(0);
    year * 365 + leaps + before + (day - 1) - TO_EPOCH
}

/// The date so many days after 1970 began.
fn date(since_epoch: u64) -> (u64, u64, u64) {
    let days = since_epoch + TO_EPOCH;
    // A guess that is at most one year too late, for a year has at least 365 days.
    let mut year = days / 365;
    let begin = |year: u64| year * 365 + year / 4 - year / 100 + year / 400;
    while begin(year) > days {
        year -= 1;
    }
    let day = days - begin(year);
    let month = BEFORE_MONTH.iter().rposition(|before| *before <= day).unwrap_or(0);
    let of_month = day - BEFORE_MONTH[month] + 1;
    let month = month as u64;
    if month < 10 { (year, month + 3, of_month) } else { (year + 1, month - 9, of_month) }
}
