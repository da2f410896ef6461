//! What a closed breaker has heard in the last minute, and when that is too much.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Sign, Trouble};

/// What a closed breaker has heard lately.
#[derive(Debug)]
pub(super) struct Recent {
    /// Oldest first; none older than the window.
    slices: VecDeque<Slice>,
    /// In a row.
    failures: u32,
    /// In a row.
    refusals: u32,
}

impl Recent {
    pub(super) const fn new() -> Self {
        Self { slices: VecDeque::new(), failures: 0, refusals: 0 }
    }

    /// Notes a sign, and says whether it was one too many.
    pub(super) fn learn(&mut self, sign: Sign, now: Instant) -> Option<Trouble> {
        match sign {
            Sign::None => None,
            Sign::Good => {
                self.failures = 0;
                self.refusals = 0;
                self.note(0, now);
                None
            }
            Sign::Failed => {
                self.failures += 1;
                self.note(1, now);
                (self.failures >= FAILURES || self.is_bad()).then_some(Trouble::Failing)
            }
            // One refusal may be about one conversion; several in a row are about the account.
            Sign::Refused => {
                self.failures = 0;
                self.refusals += 1;
                (self.refusals >= REFUSALS).then_some(Trouble::Credentials)
            }
        }
    }

    fn note(&mut self, failed: u32, now: Instant) {
        let age = |slice: &Slice| now.saturating_duration_since(slice.began);
        while self.slices.front().is_some_and(|slice| age(slice) >= WINDOW) {
            self.slices.pop_front();
        }
        match self.slices.back_mut() {
            Some(slice) if age(slice) < SLICE => {
                slice.ended += 1;
                slice.failed += failed;
            }
            Some(_) | None => self.slices.push_back(Slice { began: now, ended: 1, failed }),
        }
    }

    fn is_bad(&self) -> bool {
        let sum = |count: fn(&Slice) -> u32| self.slices.iter().map(count).fold(0, u32::saturating_add);
        let (ended, failed) = (sum(|slice| slice.ended), sum(|slice| slice.failed));
        ended >= ENOUGH && failed.saturating_mul(2) >= ended
    }
}

#[derive(Debug)]
struct Slice {
    began: Instant,
    ended: u32,
    failed: u32,
}

/// Failures in a row that open it.
pub(super) const FAILURES: u32 = 10;
/// Answers in the window from which half may be judged.
const ENOUGH: u32 = 20;
const WINDOW: Duration = Duration::from_mins(1);
const SLICE: Duration = Duration::from_secs(5);
const REFUSALS: u32 = 3;
