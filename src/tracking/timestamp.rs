//! Points in time as the core sees them.
//!
//! The core has no clock: whoever calls it says what time it is. Everything that is stored or
//! compared uses milliseconds since the Unix epoch in UTC.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use time::{
    Date, OffsetDateTime,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time so many milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time plus a duration, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was, or zero when it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads a time as people write it: RFC 3339, or a day, which begins at midnight UTC.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let time = match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(time) => time,
            Err(_) => Date::parse(text, DAY).ok()?.midnight().assume_utc(),
        };
        i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    /// RFC 3339 in UTC with milliseconds, as in `2026-11-21T09:30:00.000Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.format(FULL)
    }

    /// The UTC day, as in `2026-11-21`.
    #[must_use]
    pub fn day(self) -> String {
        self.format(DAY)
    }

    fn format(self, format: &[BorrowedFormatItem<'_>]) -> String {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|time| time.format(format).ok())
            .unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

const FULL: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_rfc_3339_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_795_253_400_007).rfc3339(), "2026-11-21T09:30:00.007Z");
        assert_eq!(Timestamp::from_millis(1_795_253_400_007).day(), "2026-11-21");
    }

    #[test]
    fn a_time_is_read_as_people_write_it() {
        let read = |text| Timestamp::parse(text).map(Timestamp::rfc3339);
        for (text, expected) in [
            ("2026-11-21", "2026-11-21T00:00:00.000Z"),
            ("2026-11-21T09:30:00Z", "2026-11-21T09:30:00.000Z"),
            ("2026-11-21T10:30:00.007+01:00", "2026-11-21T09:30:00.007Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "2026-11", "2026-13-01", "2026-11-21 09:30", "21.11.2026", "2026-11-21T25:00:00Z"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_in_the_future_is_no_time_ago() {
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
    }
}
