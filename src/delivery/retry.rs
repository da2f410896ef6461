//! When a failed attempt is repeated, and when it is given up.
//!
//! Pure: time and randomness are arguments.

use std::time::Duration;

use time::{Date, Month, PrimitiveDateTime, Time};

use crate::{
    store::uptime::{GRACE, LONGEST_WAIT},
    tracking::{
        timestamp::Timestamp,
        verdict::{RetryReason, Verdict},
    },
};

/// An attempt that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// How many there may be while its network takes others.
    pub max_attempts: u32,
    /// What went wrong.
    pub reason: RetryReason,
    /// What the network asked for.
    pub retry_after: Option<Duration>,
    /// How its network fares.
    pub network: Condition,
    /// How old the conversion is.
    pub age: Duration,
    /// How old it may become.
    pub max_age: Duration,
}

/// How a network fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It takes other conversions: a row that fails again and again fails by itself.
    Up,
    /// It takes nothing: only age ends the wait, or a lost weekend would be lost conversions.
    Down,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, after this time.
    After(Duration),
    /// Nothing: too old, or tried too often.
    GivenUp(Verdict),
}

impl Condition {
    /// What a row's failure is put down to: an attempt at a network that takes nothing is none of the
    /// row's own, and is not counted.
    #[must_use]
    pub const fn blamed(self, reason: RetryReason) -> RetryReason {
        match (self, reason) {
            (Self::Down, RetryReason::Status | RetryReason::Connect | RetryReason::Timeout | RetryReason::Reset) => {
                RetryReason::Down
            }
            (Self::Up | Self::Down, reason) => reason,
        }
    }
}

impl Failed {
    /// Decides what follows; `random` lies in 0..1.
    ///
    /// Full jitter, because conversions that failed together must not come back together. The first
    /// wait keeps at least half its length: most failures are short, but none is that short.
    #[must_use]
    pub fn next(&self, random: f64) -> Next {
        let left = self.max_age.saturating_sub(self.age);
        let is_limited = self.network.blamed(self.reason).is_counted();
        if left.is_zero() || (is_limited && self.attempts >= self.max_attempts) {
            return Next::GivenUp(match self.reason {
                // It was perhaps taken every time: that is for a person to find out.
                RetryReason::Unclear => Verdict::Unclear,
                RetryReason::Status
                | RetryReason::Unauthorized
                | RetryReason::Connect
                | RetryReason::Timeout
                | RetryReason::Reset
                | RetryReason::Batch
                | RetryReason::RefusedAddress
                | RetryReason::Down => Verdict::Expired,
            });
        }
        let random = random.clamp(0.0, 1.0);
        let step = step(self.attempts);
        let computed = match (self.reason != RetryReason::Unauthorized, self.attempts) {
            (false, _) => UNAUTHORIZED + UNAUTHORIZED.mul_f64(random),
            (true, 0 | 1) => step / 2 + (step / 2).mul_f64(random),
            (true, _) => step.mul_f64(random),
        };
        let asked = self.retry_after.unwrap_or(Duration::ZERO).min(LONGEST_WAIT);
        // The last attempt falls on the last moment.
        Next::After(computed.max(asked).min(left).max(SHORTEST))
    }
}

/// Whether a row is so old that it is given up without an attempt.
///
/// The grace lets an attempt happen that was set on the last moment, or was held up by a network that
/// asked for patience, and covers a clock set by an hour.
#[must_use]
pub fn is_overdue(age: Duration, max_age: Duration) -> bool {
    age > max_age.saturating_add(GRACE)
}

/// Reads `Retry-After` (RFC 9110, 10.2.3): seconds, or an IMF-fixdate.
#[must_use]
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean a very long time.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    imf_fixdate(value).map(|at| at.since(now))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`; the two obsolete forms are not read.
fn imf_fixdate(value: &str) -> Option<Timestamp> {
    let mut words = value.strip_suffix(" GMT")?.split_once(", ")?.1.split(' ');
    let (day, month, year, clock) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month).and_then(|index| u8::try_from(index + 1).ok())?;
    let date = Date::from_calendar_date(year.parse().ok()?, Month::try_from(month).ok()?, day.parse().ok()?).ok()?;
    let mut parts = clock.split(':').map(str::parse);
    let (hour, minute, second) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let time = Time::from_hms(hour, minute, second).ok()?;
    let seconds = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp();
    Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

/// 5 s, 15 s, 60 s, then three times as long each, up to an hour.
fn step(attempts: u32) -> Duration {
    match attempts {
        0 | 1 => Duration::from_secs(5),
        2 => Duration::from_secs(15),
        _ => Duration::from_mins(1).saturating_mul(3_u32.saturating_pow(attempts - 3)).min(LONGEST_WAIT),
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SHORTEST: Duration = Duration::from_secs(1);
/// Between two looks at whether someone has corrected the credentials.
const UNAUTHORIZED: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const EXPIRED: Next = Next::GivenUp(Verdict::Expired);

    fn failed(attempts: u32) -> Failed {
        let network = Condition::Up;
        Failed {
            attempts,
            max_attempts: 20,
            reason: RetryReason::Status,
            retry_after: None,
            network,
            age: Duration::ZERO,
            max_age: 7 * DAY,
        }
    }

    fn seconds(next: Next) -> f64 {
        match next {
            Next::After(delay) => delay.as_secs_f64(),
            Next::GivenUp(_) => panic!("given up"),
        }
    }

    #[test]
    fn waits_grow_from_five_seconds_to_an_hour() {
        let longest: Vec<_> = (1..=8).map(|attempts| seconds(failed(attempts).next(1.0))).collect();
        assert_eq!(longest, [5.0, 15.0, 60.0, 180.0, 540.0, 1620.0, 3600.0, 3600.0]);
        let shortest: Vec<_> = (1..=3).map(|attempts| seconds(failed(attempts).next(0.0))).collect();
        assert_eq!(shortest, [2.5, 1.0, 1.0]);
    }

    #[test]
    fn twenty_attempts_are_enough_unless_the_credentials_are_wrong() {
        assert_eq!(failed(20).next(0.5), EXPIRED);
        assert_eq!(Failed { max_attempts: 3, ..failed(3) }.next(0.5), EXPIRED);
        assert!(matches!(Failed { max_attempts: 3, ..failed(2) }.next(0.5), Next::After(_)));
        let unauthorized = Failed { reason: RetryReason::Unauthorized, ..failed(20) };
        assert!(seconds(unauthorized.next(0.0)) >= 300.0);
    }

    #[test]
    fn an_outage_uses_up_no_attempts() {
        let down = Failed { network: Condition::Down, ..failed(40) };
        assert!(matches!(down.next(0.5), Next::After(_)));
        assert_eq!(Failed { age: 7 * DAY, ..down }.next(0.5), EXPIRED);
    }

    #[test]
    fn an_answer_that_stays_unclear_is_for_a_person_to_look_at() {
        let unclear = |attempts| Failed { reason: RetryReason::Unclear, ..failed(attempts) };
        assert!(matches!(unclear(19).next(0.5), Next::After(_)));
        assert_eq!(unclear(20).next(0.5), Next::GivenUp(Verdict::Unclear));
    }

    #[test]
    fn what_fails_with_its_network_is_put_down_to_the_network() {
        for reason in [RetryReason::Status, RetryReason::Connect, RetryReason::Timeout, RetryReason::Reset] {
            assert_eq!(Condition::Down.blamed(reason), RetryReason::Down);
            assert_eq!(Condition::Up.blamed(reason), reason);
        }
        assert_eq!(Condition::Down.blamed(RetryReason::Unclear), RetryReason::Unclear);
    }

    #[test]
    fn the_last_attempt_falls_on_the_last_moment() {
        let old = Failed { age: Duration::from_secs(7 * 86_400 - 10), ..failed(10) };
        assert_eq!(old.next(1.0), Next::After(Duration::from_secs(10)));
        assert_eq!(Failed { age: 7 * DAY, ..failed(1) }.next(0.5), EXPIRED);
        assert!(!is_overdue(7 * DAY, 7 * DAY) && is_overdue(8 * DAY, 7 * DAY));
    }

    #[test]
    fn a_network_may_ask_for_more_time_but_not_more_than_an_hour() {
        let asked = |secs| Failed { retry_after: Some(Duration::from_secs(secs)), ..failed(1) }.next(1.0);
        assert_eq!(asked(1), Next::After(Duration::from_secs(5)));
        assert_eq!(asked(120), Next::After(Duration::from_mins(2)));
        assert_eq!(asked(86_400), Next::After(LONGEST_WAIT));
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = Timestamp::from_millis(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_mins(2)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_mins(1)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO), "the past");
        assert!(retry_after("99999999999999999999", now) > Some(LONGEST_WAIT));
        for nonsense in ["", "-1", "1.5", "soon", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT"] {
            assert_eq!(retry_after(nonsense, now), None, "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn every_wait_lies_between_a_second_and_an_hour(
            attempts in 0..20_u32, random in 0.0..1.0_f64, asked in proptest::option::of(any::<u64>()),
            age in 0..700_000_u64,
        ) {
            let retry_after = asked.map(Duration::from_secs);
            let failed = Failed { retry_after, age: Duration::from_secs(age), ..failed(attempts) };
            match failed.next(random) {
                Next::GivenUp(_) => prop_assert!(failed.age >= failed.max_age),
                Next::After(delay) => {
                    prop_assert!((SHORTEST..=LONGEST_WAIT).contains(&delay));
                    prop_assert!(failed.age + delay <= failed.max_age.max(failed.age + SHORTEST));
                }
            }
        }

        #[test]
        fn no_retry_after_panics(value in ".*") {
            drop(retry_after(&value, Timestamp::default()).map(|delay| delay.as_secs().to_string()));
        }
    }
}
