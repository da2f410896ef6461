//! When a network is left alone, and how it is taken up again.
//!
//! Closed, everything is sent. When too much fails, or the credentials are refused, the breaker opens:
//! nothing is sent for a while. Then one request probes; if that goes well, two, four and so on, until
//! all may go again. A conversion that waits behind an open breaker uses up no attempts.
//!
//! Pure: time is an argument. How many requests a network gets when it is well does not belong here.

use std::time::{Duration, Instant};

mod recent;

use recent::Recent;

/// The breaker of one destination.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// Grows whenever what is under way ceases to say something about the network as it is now.
    epoch: u32,
    /// How often it has opened since it was last closed.
    openings: u32,
    /// Where the ramp ends.
    concurrency: usize,
}

/// Where a breaker stands, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything is sent.
    Closed {
        /// Since when.
        since: Instant,
    },
    /// Nothing is sent.
    Open {
        /// Since when it has not been closed.
        since: Instant,
        /// When it is probed next.
        until: Instant,
        /// Why.
        trouble: Trouble,
    },
    /// It finds out whether the network is well again.
    HalfOpen {
        /// Since when it has not been closed.
        since: Instant,
        /// Why it was opened.
        trouble: Trouble,
        /// How many requests may be under way: 1 is the probe, more are the ramp.
        places: usize,
    },
}

/// Why a network is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It fails, or cannot be reached.
    Failing,
    /// It refuses our credentials: only a person can change that.
    Credentials,
}

/// What the end of a request says about the network, whatever it says about the conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It does its work.
    Good,
    /// It does not.
    Failed,
    /// It does not know us (401, 403).
    Refused,
    /// Nothing: the request ended for a reason of ours.
    None,
}

/// What an end has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The network is left alone from now on, or for another reason than before.
    Opened(Trouble),
    /// It gets everything again.
    Closed,
}

/// The right to one request; it is given back with [`Breaker::end`].
#[must_use = "a probe whose pass is lost is never followed by another"]
#[derive(Debug)]
pub struct Pass {
    epoch: u32,
}

impl Breaker {
    /// A closed breaker, for a network that takes so many requests at a time.
    #[must_use]
    pub const fn new(concurrency: usize, now: Instant) -> Self {
        Self { state: State::closed(now), epoch: 0, openings: 0, concurrency }
    }

    /// A closed breaker that does not listen to what this one has let through.
    #[must_use]
    pub fn renewed(&self, concurrency: usize, now: Instant) -> Self {
        Self { epoch: self.epoch.wrapping_add(1), ..Self::new(concurrency, now) }
    }

    /// The same breaker, for so many requests at a time.
    #[must_use]
    pub fn with_concurrency(self, concurrency: usize) -> Self {
        Self { concurrency, ..self }
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        match &self.state {
            State::Closed { since, .. } => BreakerState::Closed { since: *since },
            State::Open { since, until, trouble } => {
                BreakerState::Open { since: *since, until: *until, trouble: *trouble }
            }
            State::HalfOpen(stage) => {
                BreakerState::HalfOpen { since: stage.since, trouble: stage.trouble, places: stage.places }
            }
        }
    }

    /// Whether it is the network that fails, and not this conversion or that.
    ///
    /// On the ramp the network takes conversions again, so a failure there is about its conversion.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        match &self.state {
            State::Closed { .. } => false,
            State::Open { .. } => true,
            State::HalfOpen(stage) => stage.places == 1,
        }
    }

    /// Whether a request may begin now.
    #[must_use]
    pub fn admits(&self, now: Instant) -> bool {
        match &self.state {
            State::Closed { .. } => true,
            State::Open { until, .. } => now >= *until,
            State::HalfOpen(stage) => stage.under_way < stage.places,
        }
    }

    /// Begins a request, if one may begin.
    pub fn begin(&mut self, now: Instant) -> Option<Pass> {
        if !self.admits(now) {
            return None;
        }
        match &mut self.state {
            State::Closed { .. } => {}
            State::Open { since, trouble, .. } => {
                let probe = Stage { since: *since, trouble: *trouble, places: 1, under_way: 1, good: 0, failed: 0 };
                self.state = State::HalfOpen(probe);
            }
            State::HalfOpen(stage) => stage.under_way += 1,
        }
        Some(Pass { epoch: self.epoch })
    }

    /// Ends a request and learns from it.
    #[expect(clippy::needless_pass_by_value, reason = "a pass is used up")]
    pub fn end(&mut self, pass: Pass, sign: Sign, now: Instant) -> Option<Change> {
        // What was under way when it opened is part of the same trouble, not a further one.
        if pass.epoch != self.epoch {
            return None;
        }
        match &mut self.state {
            State::Closed { recent, .. } => {
                let trouble = recent.learn(sign, now)?;
                Some(self.open(trouble, now))
            }
            State::HalfOpen(stage) => {
                let before = stage.trouble;
                match stage.learn(sign) {
                    Step::Stay => None,
                    Step::Back(trouble) => {
                        let change = self.open(trouble, now);
                        (trouble != before).then_some(change)
                    }
                    Step::On => self.widen(now),
                }
            }
            State::Open { .. } => None,
        }
    }

    fn open(&mut self, trouble: Trouble, now: Instant) -> Change {
        let since = match &self.state {
            State::Closed { .. } => now,
            State::Open { since, .. } | State::HalfOpen(Stage { since, .. }) => *since,
        };
        let pause = match trouble {
            Trouble::Failing => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.openings)).min(LONGEST_PAUSE),
            Trouble::Credentials => CREDENTIALS_PAUSE,
        };
        self.openings = self.openings.saturating_add(1);
        self.epoch = self.epoch.wrapping_add(1);
        self.state = State::Open { since, until: now + pause, trouble };
        Change::Opened(trouble)
    }

    /// The next step of the ramp, or its end.
    fn widen(&mut self, now: Instant) -> Option<Change> {
        let State::HalfOpen(stage) = &mut self.state else { return None };
        let places = stage.places.saturating_mul(2);
        if places < self.concurrency {
            *stage = Stage { places, good: 0, failed: 0, ..*stage };
            return None;
        }
        self.openings = 0;
        self.state = State::closed(now);
        Some(Change::Closed)
    }
}

#[derive(Debug)]
enum State {
    Closed { since: Instant, recent: Recent },
    Open { since: Instant, until: Instant, trouble: Trouble },
    HalfOpen(Stage),
}

impl State {
    const fn closed(since: Instant) -> Self {
        Self::Closed { since, recent: Recent::new() }
    }
}

/// One step of the way back.
#[derive(Debug)]
struct Stage {
    since: Instant,
    trouble: Trouble,
    places: usize,
    under_way: usize,
    good: usize,
    failed: usize,
}

enum Step {
    Stay,
    On,
    Back(Trouble),
}

impl Stage {
    fn learn(&mut self, sign: Sign) -> Step {
        self.under_way = self.under_way.saturating_sub(1);
        match sign {
            Sign::None => {}
            Sign::Refused => return Step::Back(Trouble::Credentials),
            Sign::Good => self.good += 1,
            Sign::Failed => self.failed += 1,
        }
        // The same half as when it is closed; of one probe, that is the probe.
        if self.failed * 2 >= self.places {
            Step::Back(Trouble::Failing)
        } else if self.good >= self.places {
            Step::On
        } else {
            Step::Stay
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
const CREDENTIALS_PAUSE: Duration = Duration::from_mins(5);

#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;
