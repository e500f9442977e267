//! Points in time on the command line and in output: `10m` ago, or RFC 3339.

use std::{
    str::FromStr,
    time::{Duration, SystemTime},
};

use thiserror::Error;
use virtcontainers::Timestamp;

/// A point in time that the user has named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) SystemTime);

/// A text that names no point in time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no time: write 2026-01-02T15:04:05Z (RFC 3339), or an age such as 90s, 10m, 1h30m")]
pub(crate) struct NoMoment(String);

impl FromStr for Moment {
    type Err = NoMoment;
    fn from_str(text: &str) -> Result<Self, NoMoment> {
        let aged = || SystemTime::now().checked_sub(duration(text)?);
        rfc3339(text).or_else(aged).map(Self).ok_or_else(|| NoMoment(text.to_owned()))
    }
}

impl From<Moment> for Timestamp {
    fn from(moment: Moment) -> Self {
        let since = moment.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A span of time: numbers with units, none of them missing.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// A point in time in UTC, with nanoseconds, as logs have it.
pub(crate) fn in_utc(time: SystemTime) -> String {
    humantime::format_rfc3339_nanos(time).to_string()
}

/// RFC 3339, with `Z` or an offset from UTC.
fn rfc3339(text: &str) -> Option<SystemTime> {
    let text = text.to_ascii_uppercase();
    if text.ends_with('Z') {
        return humantime::parse_rfc3339(&text).ok();
    }
    let at = text.len().checked_sub(6).filter(|at| *at >= 19 && text.is_char_boundary(*at))?;
    let (local, offset) = text.split_at(at);
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let off = Duration::from_secs(hours * 3_600 + minutes * 60);
    match (offset.as_bytes().first()?, hours < 24 && minutes < 60) {
        (b'+', true) => local.checked_sub(off),
        (b'-', true) => local.checked_add(off),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
