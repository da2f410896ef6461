//! How many requests a network gets in a time, whatever their number at a time.
//!
//! Pure: time is an argument.

use std::time::{Duration, Instant};

/// Requests in a time: `50/s`, `100/m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    requests: u32,
    per: Duration,
}

/// Why a text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidRate {
    /// Not `NUMBER/s`, `NUMBER/m` or `NUMBER/h`.
    Malformed,
    /// Beside 1 to 10,000.
    OutOfRange,
}

/// A token bucket: it holds what a second brings, and at least one request.
///
/// Kept as the time at which it is full again (the generic cell rate algorithm of ITU-T I.371), so that
/// nothing has to be filled and no fraction is ever lost.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    full_at: Option<Instant>,
}

impl Rate {
    /// Reads `50/s`, `100/m` or `500/h`.
    ///
    /// # Errors
    /// See [`InvalidRate`].
    pub fn parse(text: &str) -> Result<Self, InvalidRate> {
        let (requests, unit) = text.split_once('/').ok_or(InvalidRate::Malformed)?;
        let per = match unit {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(InvalidRate::Malformed),
        };
        if requests.is_empty() || !requests.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidRate::Malformed);
        }
        match requests.parse() {
            Ok(requests @ 1..=MOST) => Ok(Self { requests, per }),
            Ok(_) | Err(_) => Err(InvalidRate::OutOfRange),
        }
    }

    /// The time that one request takes up.
    fn interval(self) -> Duration {
        self.per / self.requests
    }

    /// What a full bucket holds, in time: a second's worth, less the request that is always there.
    fn slack(self) -> Duration {
        BURST.saturating_sub(self.interval())
    }
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub const fn new(rate: Rate) -> Self {
        Self { rate, full_at: None }
    }

    /// Whether a request may begin.
    #[must_use]
    pub fn has_one(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|full_at| full_at <= now + self.rate.slack())
    }

    /// Takes one request out, even if that leaves less than nothing.
    pub fn take(&mut self, now: Instant) {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now));
        self.full_at = Some(full_at + self.rate.interval());
    }
}

const MOST: u32 = 10_000;
const BURST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::clock;

    fn taken(bucket: &mut Bucket, now: Instant) -> usize {
        let mut count = 0;
        while bucket.has_one(now) {
            bucket.take(now);
            count += 1;
        }
        count
    }

    #[test]
    fn a_rate_is_a_number_and_a_time() {
        for (text, interval) in [("50/s", 20), ("1/s", 1000), ("100/m", 600), ("10000/s", 0), ("1/h", 3_600_000)] {
            assert_eq!(Rate::parse(text).unwrap().interval().as_millis(), interval, "{text}");
        }
        for text in ["", "50", "/s", "50/d", "50/ s", "-1/s", "1.5/s", "+1/s", "50/s/s", "１/s"] {
            assert_eq!(Rate::parse(text), Err(InvalidRate::Malformed), "{text}");
        }
        for text in ["0/s", "10001/s", "99999999999999999999/s"] {
            assert_eq!(Rate::parse(text), Err(InvalidRate::OutOfRange), "{text}");
        }
    }

    #[test]
    fn a_second_may_come_at_once_and_then_one_by_one() {
        let (mut bucket, mut now) = (Bucket::new(Rate::parse("10/s").unwrap()), clock::instant());
        assert_eq!(taken(&mut bucket, now), 10);
        for _ in 0..5 {
            now += Duration::from_millis(100);
            assert_eq!(taken(&mut bucket, now), 1);
        }
        assert_eq!(taken(&mut bucket, now + Duration::from_hours(1)), 10, "no more is saved up");
    }

    #[test]
    fn a_slow_rate_lets_one_through_at_a_time() {
        let (mut bucket, now) = (Bucket::new(Rate::parse("2/m").unwrap()), clock::instant());
        assert_eq!(taken(&mut bucket, now), 1);
        assert_eq!(taken(&mut bucket, now + Duration::from_secs(29)), 0);
        assert_eq!(taken(&mut bucket, now + Duration::from_secs(30)), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_time_sees_more_than_its_share_and_a_second(
            requests in 1..200_u32, steps in proptest::collection::vec(0..700_u64, 1..50),
        ) {
            let rate = Rate { requests, per: Duration::from_secs(1) };
            let began = clock::instant();
            let (mut bucket, mut now, mut count) = (Bucket::new(rate), began, 0);
            for step in steps {
                now += Duration::from_millis(step);
                count += taken(&mut bucket, now);
            }
            let share = (now - began).as_secs_f64() * f64::from(requests);
            prop_assert!(f64::from(u32::try_from(count).unwrap()) <= share + f64::from(requests) + 1.0);
        }
    }
}
