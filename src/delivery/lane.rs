//! One destination's part of the worker: what waits for it, and how it has fared.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Destination;
use crate::{
    store::LeasedRow,
    tracking::verdict::{Judgement, RetryReason, Verdict},
};

/// The queue of one destination.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) destination: Arc<Destination>,
    pub(super) queue: VecDeque<LeasedRow>,
    pub(super) in_flight: usize,
    /// Whether rows for it are on their way from the store.
    pub(super) is_leasing: bool,
    held_until: Option<Instant>,
    /// Answers in a row that found the credentials wrong.
    refusals: u32,
    /// Attempts in a row that met no verdict.
    failures: u32,
    failing_since: Option<Instant>,
    warned: Option<Instant>,
}

impl Lane {
    pub(super) const fn new(destination: Arc<Destination>) -> Self {
        Self {
            destination,
            queue: VecDeque::new(),
            in_flight: 0,
            is_leasing: false,
            held_until: None,
            refusals: 0,
            failures: 0,
            failing_since: None,
            warned: None,
        }
    }

    /// Whether the first row may be sent now.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        // One row at a time finds out whether a network is back.
        let concurrency = if self.is_down() { 1 } else { self.destination.concurrency };
        !self.queue.is_empty() && self.in_flight < concurrency && !self.is_held(now)
    }

    /// Whether it is the network that fails, and not this row or that.
    pub(super) const fn is_down(&self) -> bool {
        self.failures >= FAILURES
    }

    /// How many rows it would take from the store now; few are not worth a query.
    pub(super) fn room(&self, now: Instant) -> usize {
        let is_open = !self.destination.paused && !self.is_leasing && !self.is_held(now);
        if is_open && self.queue.len() <= QUEUE / 4 { QUEUE - self.queue.len() } else { 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= QUEUE
    }

    /// Learns from an attempt: a network that asks for patience is left alone for a while.
    pub(super) fn learn(&mut self, judgement: Judgement, asked: Option<Duration>, now: Instant) {
        match judgement {
            Judgement::Final(verdict) => {
                self.refusals = 0;
                self.failures = 0;
                self.failing_since = None;
                if verdict.is_dead_letter() {
                    self.warn(now, dead_letter(verdict));
                }
            }
            Judgement::Retry(RetryReason::Unauthorized) => {
                // One refusal may be about one conversion; several in a row are about the account.
                self.refusals += 1;
                if self.refusals >= REFUSALS {
                    self.hold(now + REFUSED);
                    self.warn(now, "refuses our credentials (401 or 403); correct them, conversions are kept");
                }
            }
            Judgement::Retry(_) => {
                self.failures = self.failures.saturating_add(1);
                if let Some(asked) = asked {
                    self.hold(now + asked.min(LONGEST_HOLD));
                }
                // Requests that were under way together count as one more try, not as many.
                if self.is_down() && !self.is_held(now) {
                    let doublings = (self.failures - FAILURES).min(4);
                    self.hold(now + (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE));
                }
                let since = *self.failing_since.get_or_insert(now);
                if now.saturating_duration_since(since) >= ALARM {
                    self.warn(now, "has not taken a conversion for minutes; they are kept and tried again");
                }
            }
        }
    }

    fn hold(&mut self, until: Instant) {
        self.held_until = self.held_until.max(Some(until));
    }

    fn is_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }

    /// Warns about this destination, but not all the time.
    fn warn(&mut self, now: Instant, what: &str) {
        if self.warned.is_some_and(|warned| now.saturating_duration_since(warned) < ALARM) {
            return;
        }
        self.warned = Some(now);
        let Destination { site, network, .. } = &*self.destination;
        tracing::warn!(%site, %network, "the network {what}");
    }
}

const fn dead_letter(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unclear => "gave an answer that its rules don't know; see `throughline outbox list`",
        Verdict::Expired => "has been unreachable for too long; see `throughline outbox list`",
        Verdict::Rejected(_)
        | Verdict::Delivered
        | Verdict::AlreadyKnown
        | Verdict::InvalidClick
        | Verdict::Withdrawn
        | Verdict::Purged => "rejected a conversion; see `throughline outbox list`",
    }
}

/// Rows in memory per destination. More wait in the store.
const QUEUE: usize = 256;
const REFUSALS: u32 = 3;
/// Failures in a row after which the network counts as down.
const FAILURES: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
const REFUSED: Duration = Duration::from_mins(5);
const ALARM: Duration = Duration::from_mins(5);
const LONGEST_HOLD: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{store::clock, tracking::verdict::VerdictRules};

    fn lane() -> Lane {
        Lane::new(Arc::new(Destination {
            site: "shop".into(),
            network: "mine".into(),
            concurrency: 8,
            max_age: Duration::from_hours(1),
            batch: None,
            verdicts: VerdictRules::default(),
            routes: BTreeMap::new(),
            paused: false,
            outbound: crate::delivery::outbound::Outbound::default(),
        }))
    }

    const FAILED: Judgement = Judgement::Retry(RetryReason::Timeout);

    #[test]
    fn a_network_that_is_down_is_left_alone_longer_and_longer() {
        let (mut lane, mut now) = (lane(), clock::instant());
        for _ in 0..9 {
            lane.learn(FAILED, None, now);
        }
        assert!(!lane.is_down() && lane.room(now) > 0);
        for pause in [30, 60, 120, 240, 300, 300] {
            lane.learn(FAILED, None, now);
            assert!(lane.is_down() && lane.room(now) == 0);
            assert_eq!(lane.room(now + Duration::from_secs(pause - 1)), 0, "{pause}");
            now += Duration::from_secs(pause);
            assert!(lane.room(now) > 0, "{pause}");
        }
        lane.learn(Judgement::Final(Verdict::Delivered), None, now);
        assert!(!lane.is_down());
    }

    #[test]
    fn a_network_that_asks_for_patience_gets_it() {
        let (mut lane, now) = (lane(), clock::instant());
        lane.learn(FAILED, Some(Duration::from_mins(2)), now);
        assert!(lane.room(now + Duration::from_secs(119)) == 0 && lane.room(now + Duration::from_mins(2)) > 0);
    }

    #[test]
    fn only_several_refusals_in_a_row_are_about_the_account() {
        let (mut lane, now) = (lane(), clock::instant());
        let refused = Judgement::Retry(RetryReason::Unauthorized);
        lane.learn(refused, None, now);
        lane.learn(refused, None, now);
        assert!(lane.room(now) > 0);
        lane.learn(refused, None, now);
        assert!(lane.room(now) == 0 && lane.room(now + Duration::from_mins(5)) > 0);
    }
}
