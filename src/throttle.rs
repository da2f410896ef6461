//! Keeps the log readable while something fails again and again.
//!
//! What happens with every request is worth a line or two, and then a number. Whoever logs asks a
//! [`Throttle`] first; what is said stays with them. Metrics count everything all the same.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets so many lines through in a time, and counts the others.
#[derive(Debug)]
pub struct Throttle {
    lines: u32,
    period: Duration,
    window: Mutex<Window>,
}

/// Leave to write one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// How many were held back since the line before.
    pub held_back: u64,
    /// Whether no other will pass for a while.
    pub is_last: bool,
}

#[derive(Debug)]
struct Window {
    began: Option<Instant>,
    passed: u32,
    held_back: u64,
}

impl Throttle {
    /// Lets `lines` pass in each `period`.
    #[must_use]
    pub const fn new(lines: u32, period: Duration) -> Self {
        Self { lines, period, window: Mutex::new(Window { began: None, passed: 0, held_back: 0 }) }
    }

    /// Leave for a line at this time, or none.
    pub fn pass(&self, now: Instant) -> Option<Pass> {
        let mut window = self.window.lock();
        if window.began.is_none_or(|began| now.saturating_duration_since(began) >= self.period) {
            window.began = Some(now);
            window.passed = 0;
        }
        if window.passed >= self.lines {
            window.held_back += 1;
            return None;
        }
        window.passed += 1;
        let held_back = std::mem::take(&mut window.held_back);
        Some(Pass { held_back, is_last: window.passed == self.lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::clock;

    #[test]
    fn so_many_lines_pass_in_a_time_and_the_next_one_tells_of_the_others() {
        let (throttle, start) = (Throttle::new(2, Duration::from_secs(10)), clock::instant());
        let at = |seconds: u64| throttle.pass(start + Duration::from_secs(seconds));
        assert_eq!(at(0), Some(Pass { held_back: 0, is_last: false }));
        assert_eq!(at(1), Some(Pass { held_back: 0, is_last: true }));
        assert_eq!((at(2), at(9)), (None, None));
        assert_eq!(at(10), Some(Pass { held_back: 2, is_last: false }));
        assert_eq!(at(11), Some(Pass { held_back: 0, is_last: true }));
        assert_eq!(at(19), None);
    }
}
