//! Whether the wall clock can be believed, seen against the monotonic one.
//!
//! Ages are counted by the wall clock, because they outlive the process. That clock can be set. A step
//! shows when both clocks are compared again and again; one that happened before the start of this
//! process does not, so nothing is too old in the first hour unless this process has seen it age.
//!
//! Pure: both times are arguments.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::tracking::timestamp::Timestamp;

/// Both clocks as they were seen together.
#[derive(Clone, Debug)]
pub struct Uptime {
    started: Instant,
    last: (Timestamp, Instant),
    /// Steps forward, oldest first; those that are old are believed.
    jumps: VecDeque<Forward>,
    /// How long a doubt lasts.
    grace: Duration,
}

/// A step of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// It was set forward, or the machine slept.
    Forward(Duration),
    /// It was set back.
    Back(Duration),
}

/// How old something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Both clocks agree, or the wall clock has been steady for long enough.
    Certain(Duration),
    /// The wall clock alone says so.
    Doubtful {
        /// What it says.
        age: Duration,
        /// How old it is at least: this long it has been seen.
        observed: Duration,
        /// When it will be believed.
        certain_in: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
struct Forward {
    /// The wall clock before the step: what is older did not age by it.
    before: Timestamp,
    by: Duration,
    at: Instant,
}

impl Uptime {
    /// Begins to compare; a doubt lasts for `grace`.
    #[must_use]
    pub const fn new(wall: Timestamp, now: Instant, grace: Duration) -> Self {
        Self { started: now, last: (wall, now), jumps: VecDeque::new(), grace }
    }

    /// Compares the clocks again and says whether the wall clock was set since the last time.
    pub fn observe(&mut self, wall: Timestamp, now: Instant) -> Option<Jump> {
        let (last_wall, last) = self.last;
        self.last = (wall, now);
        self.jumps.retain(|jump| now.saturating_duration_since(jump.at) < self.grace);
        let expected = last_wall.plus(now.saturating_duration_since(last));
        let (forward, back) = (wall.since(expected), expected.since(wall));
        if forward > FORWARD {
            if self.jumps.len() >= JUMPS {
                self.jumps.pop_front();
            }
            // The step was somewhere in between; no time after it can be so early.
            self.jumps.push_back(Forward { before: expected, by: forward, at: now });
            return Some(Jump::Forward(forward));
        }
        if back > BACK {
            // Whatever it was before, nothing is too old by it now.
            self.jumps.clear();
            return Some(Jump::Back(back));
        }
        None
    }

    /// How old something of this time is.
    ///
    /// For as long as a step forward is doubtful, what is older than it did not age by it. Afterwards
    /// the wall clock is believed: the machine may have slept, which the monotonic clock does not see.
    #[must_use]
    pub fn age(&self, time: Timestamp, wall: Timestamp, now: Instant) -> Age {
        let is_recent = |jump: &&Forward| now.saturating_duration_since(jump.at) < self.grace;
        let recent = self.jumps.iter().filter(is_recent).filter(|jump| time <= jump.before);
        let jumped = recent.fold(Duration::ZERO, |sum, jump| sum.saturating_add(jump.by));
        let age = wall.since(time).saturating_sub(jumped);
        let observed = now.saturating_duration_since(self.started);
        if age <= observed || observed >= self.grace {
            Age::Certain(age)
        } else {
            Age::Doubtful { age, observed, certain_in: self.grace.saturating_sub(observed) }
        }
    }

    /// Whether the wall clock was set forward so lately that nothing should be thrown away by it.
    #[must_use]
    pub fn is_doubtful(&self, now: Instant) -> bool {
        self.jumps.iter().any(|jump| now.saturating_duration_since(jump.at) < self.grace)
    }
}

impl Age {
    /// How old it surely is.
    #[must_use]
    pub const fn at_least(self) -> Duration {
        match self {
            Self::Certain(age) => age,
            Self::Doubtful { observed, .. } => observed,
        }
    }
}

/// How long a doubt about the wall clock lasts.
pub const GRACE: Duration = Duration::from_hours(1);
/// No conversion waits longer than this for its next attempt.
pub const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// Less is corrected every day by clock synchronisation, and no age is so short.
const FORWARD: Duration = Duration::from_hours(1);
/// What waits would wait that much longer.
const BACK: Duration = Duration::from_mins(1);
/// Steps that are remembered; a clock that is set more often in an hour is believed.
const JUMPS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::clock;

    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);
    const SECOND: Duration = Duration::from_secs(1);

    struct Clocks {
        uptime: Uptime,
        wall: Timestamp,
        now: Instant,
    }

    impl Clocks {
        fn new() -> Self {
            let (wall, now) = (Timestamp::from_millis(1_800_000_000_000), clock::instant());
            Self { uptime: Uptime::new(wall, now, GRACE), wall, now }
        }

        fn pass(&mut self, time: Duration) -> Option<Jump> {
            self.wall = self.wall.plus(time);
            self.now += time;
            self.uptime.observe(self.wall, self.now)
        }

        fn age(&self, time: Timestamp) -> Age {
            self.uptime.age(time, self.wall, self.now)
        }

        fn back(&mut self, by: Duration) {
            self.wall = Timestamp::from_millis(self.wall.as_millis() - i64::try_from(by.as_millis()).unwrap());
        }
    }

    #[test]
    fn clocks_that_go_together_are_believed() {
        let mut clocks = Clocks::new();
        let captured = clocks.wall;
        for _ in 0..10 {
            assert_eq!(clocks.pass(DAY), None);
        }
        assert_eq!(clocks.age(captured), Age::Certain(10 * DAY));
    }

    #[test]
    fn what_was_old_at_the_start_is_so_for_certain_after_an_hour() {
        let mut clocks = Clocks::new();
        let captured = clocks.wall;
        clocks.wall = clocks.wall.plus(8 * DAY);
        clocks.uptime = Uptime::new(clocks.wall, clocks.now, GRACE);
        clocks.pass(10 * SECOND);
        let age = clocks.age(captured);
        assert_eq!(age, Age::Doubtful { age: 8 * DAY + 10 * SECOND, observed: 10 * SECOND, certain_in: 3590 * SECOND });
        assert_eq!(age.at_least(), 10 * SECOND);
        clocks.pass(HOUR);
        assert!(matches!(clocks.age(captured), Age::Certain(_)));
    }

    #[test]
    fn what_this_process_has_seen_age_is_as_old_as_it_seems() {
        let mut clocks = Clocks::new();
        clocks.pass(SECOND);
        let captured = clocks.wall;
        clocks.pass(20 * SECOND);
        assert_eq!(clocks.age(captured), Age::Certain(20 * SECOND));
    }

    #[test]
    fn a_step_forward_ages_nothing_for_an_hour() {
        for year in [DAY, 365 * DAY] {
            let mut clocks = Clocks::new();
            clocks.pass(DAY);
            let captured = clocks.wall;
            clocks.pass(SECOND);
            clocks.wall = clocks.wall.plus(year);
            assert_eq!(clocks.pass(SECOND), Some(Jump::Forward(year)));
            let later = clocks.wall;
            clocks.pass(HOUR / 2);
            assert!(clocks.uptime.is_doubtful(clocks.now));
            assert_eq!(clocks.age(captured), Age::Certain(HOUR / 2 + 2 * SECOND));
            assert_eq!(clocks.age(later), Age::Certain(HOUR / 2), "captured by the new clock");
            clocks.pass(HOUR / 2);
            assert!(!clocks.uptime.is_doubtful(clocks.now));
            assert_eq!(clocks.age(captured), Age::Certain(year + HOUR + 2 * SECOND), "the machine may have slept");
        }
    }

    #[test]
    fn a_step_back_is_seen_and_makes_nothing_older() {
        let mut clocks = Clocks::new();
        clocks.pass(2 * HOUR);
        let captured = clocks.wall;
        clocks.back(DAY);
        assert_eq!(clocks.pass(SECOND), Some(Jump::Back(DAY)));
        assert_eq!(clocks.age(captured), Age::Certain(Duration::ZERO));
    }

    #[test]
    fn small_corrections_are_no_steps() {
        let mut clocks = Clocks::new();
        clocks.wall = clocks.wall.plus(HOUR / 2);
        assert_eq!(clocks.pass(SECOND), None);
        clocks.back(30 * SECOND);
        assert_eq!(clocks.pass(SECOND), None);
    }
}
