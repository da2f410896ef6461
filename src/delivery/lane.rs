//! One destination's part of the worker: what waits for it, and whether it may go.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Destination,
    alarm::{Alarm, Alarms},
    breaker::{Breaker, Change, Pass, Sign, Trouble},
    order::Orders,
    rate::Bucket,
    share::{Standing, may_begin},
};
use crate::{
    store::LeasedRow,
    tracking::{
        timestamp::Timestamp,
        verdict::{Judgement, Rejection, RetryReason, Verdict},
    },
};

/// The queue of one destination.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) destination: Arc<Destination>,
    pub(super) queue: VecDeque<LeasedRow>,
    pub(super) in_flight: usize,
    /// Whether rows for it are on their way from the store.
    pub(super) is_leasing: bool,
    pub(super) breaker: Breaker,
    bucket: Option<Bucket>,
    held_until: Option<Instant>,
    /// Whether its last request was answered, with whatever.
    was_answered: Option<bool>,
    /// Since when something is under way and nothing has ended.
    waiting_since: Option<Instant>,
    /// Only for a network that asks for it.
    orders: Option<Orders>,
    failing_since: Option<Instant>,
    alarms: Alarms,
}

impl Lane {
    pub(super) fn new(destination: Arc<Destination>, now: Instant) -> Self {
        Self {
            queue: VecDeque::new(),
            in_flight: 0,
            is_leasing: false,
            breaker: Breaker::new(destination.concurrency, now),
            bucket: destination.rate.map(Bucket::new),
            held_until: None,
            was_answered: None,
            waiting_since: None,
            orders: destination.in_order.then(Orders::default),
            failing_since: None,
            alarms: Alarms::default(),
            destination,
        }
    }

    /// Takes over what is under way from the lane of an earlier configuration, and all that was learnt
    /// of a network that is spoken to as before. The troubles of another one may have been what the new
    /// configuration corrects.
    pub(super) fn succeed(&mut self, old: Self, now: Instant) {
        self.in_flight = old.in_flight;
        self.is_leasing = old.is_leasing;
        self.waiting_since = old.waiting_since;
        if self.destination.is_sent_like(&old.destination) {
            self.breaker = old.breaker.with_concurrency(self.destination.concurrency);
            self.held_until = old.held_until;
            self.was_answered = old.was_answered;
            self.failing_since = old.failing_since;
            self.alarms = old.alarms;
        } else {
            self.breaker = old.breaker.renewed(self.destination.concurrency, now);
        }
        if self.destination.rate == old.destination.rate {
            self.bucket = old.bucket;
        }
        if self.orders.is_some() && old.orders.is_some() {
            self.orders = old.orders;
        }
    }

    /// Whether the first row may be sent now; `taken` of all destinations' places are.
    pub(super) fn is_ready(&self, taken: usize, now: Instant) -> bool {
        !self.queue.is_empty()
            && self.in_flight < self.destination.concurrency
            && self.takes_conversions(now)
            && self.bucket.is_none_or(|bucket| bucket.has_one(now))
            && may_begin(self.standing(now), self.in_flight, taken)
    }

    /// Whether the network gets anything now: rows that would only wait here are better off in the store.
    pub(super) fn takes_conversions(&self, now: Instant) -> bool {
        self.breaker.admits(now) && self.held_until.is_none_or(|until| now >= until)
    }

    /// How many rows it would take from the store now; few are not worth a query.
    pub(super) fn room(&self, now: Instant) -> usize {
        let is_open = !self.destination.paused && !self.is_leasing && self.takes_conversions(now);
        if is_open && self.queue.len() <= QUEUE / 4 { QUEUE - self.queue.len() } else { 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= QUEUE
    }

    pub(super) fn push(&mut self, row: LeasedRow, now: Instant) {
        if let Some(orders) = &mut self.orders {
            orders.saw(&row.event, now);
        }
        self.queue.push_back(row);
    }

    /// When a row may be tried that has to wait for an earlier one of its order.
    pub(super) fn turn_of(&mut self, row: &LeasedRow, wall: Timestamp, now: Instant) -> Option<Timestamp> {
        let earlier = self.orders.as_mut()?.ahead_of(&row.event, now)?;
        Some(earlier.max(wall).plus(BEHIND))
    }

    /// Begins a request.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Pass> {
        let was_down = self.breaker.is_down();
        let pass = self.breaker.begin(now)?;
        if let (true, Some(orders)) = (was_down, &mut self.orders) {
            orders.still_there(now);
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now);
        }
        self.in_flight += 1;
        self.waiting_since.get_or_insert(now);
        Some(pass)
    }

    /// A request is no longer under way.
    pub(super) fn landed(&mut self, was_answered: bool, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.was_answered = Some(was_answered);
        self.waiting_since = (self.in_flight > 0).then_some(now);
    }

    /// Learns what a request says about the network: one that asks for patience is left alone for a while.
    pub(super) fn learn(&mut self, pass: Pass, judgement: Judgement, heard: Heard, now: Instant) {
        let sign = sign(judgement, heard.status);
        let asked = heard.asked.filter(|_| heard.speaks_of_itself());
        if let (Sign::Failed, Some(asked)) = (sign, asked) {
            // Not for longer than a row may be late beyond its age, so that the wait expires none.
            let until = now + asked.clamp(SHORTEST_HOLD, LONGEST_HOLD).min(self.destination.max_age);
            self.held_until = self.held_until.max(Some(until));
        }
        let change = self.breaker.end(pass, sign, now);
        self.tell(change);
        match sign {
            Sign::Good => self.failing_since = None,
            Sign::Failed => {
                let since = *self.failing_since.get_or_insert(now);
                if now.saturating_duration_since(since) >= LONG {
                    self.alarm(Alarm::Failing, now);
                }
            }
            Sign::Refused | Sign::None => {}
        }
        if let Judgement::Final(verdict) = judgement {
            self.regret(verdict, now);
        }
    }

    /// Ends a request that says nothing about the network.
    pub(super) fn give_up(&mut self, pass: Pass, now: Instant) {
        let change = self.breaker.end(pass, Sign::None, now);
        self.tell(change);
    }

    /// Tells of a conversion that was lost.
    pub(super) fn regret(&mut self, verdict: Verdict, now: Instant) {
        if let Some(alarm) = Alarm::of(verdict) {
            self.alarm(alarm, now);
        }
    }

    /// Tells where the network's address points to now; postbacks never follow.
    pub(super) fn moved(&mut self, host: Option<&str>, now: Instant) {
        self.alarms.raise_with(Alarm::Moved, host, &self.destination, now);
    }

    /// Tells of conversions that will soon be too old.
    pub(super) fn mind_age(&mut self, age: Duration, now: Instant) {
        if age >= self.destination.max_age.mul_f64(AGEING) {
            self.alarm(Alarm::Ageing, now);
        }
    }

    /// A row is tried again, or is over.
    pub(super) fn settled(&mut self, row: &LeasedRow, again: Option<Timestamp>, now: Instant) {
        match (&mut self.orders, again) {
            (Some(orders), Some(at)) => orders.waits(&row.event, at, now),
            (Some(orders), None) => orders.ended(&row.event),
            (None, _) => {}
        }
    }

    fn alarm(&mut self, alarm: Alarm, now: Instant) {
        self.alarms.raise(alarm, &self.destination, now);
    }

    fn tell(&self, change: Option<Change>) {
        let Destination { site, network, .. } = &*self.destination;
        match change {
            Some(Change::Opened(Trouble::Credentials)) => tracing::warn!(
                %site, %network,
                "the network refuses our credentials (401 or 403); correct them, conversions are kept"
            ),
            Some(Change::Opened(Trouble::Failing)) => {
                tracing::info!(%site, %network, "the network fails and is left alone for a while; conversions are kept");
            }
            Some(Change::Closed) => tracing::info!(%site, %network, "the network takes conversions again"),
            None => {}
        }
    }

    fn standing(&self, now: Instant) -> Standing {
        let hangs = self.waiting_since.is_some_and(|since| now.saturating_duration_since(since) >= SILENCE);
        match self.was_answered {
            _ if hangs => Standing::Silent,
            Some(true) => Standing::Answers,
            Some(false) => Standing::Silent,
            None => Standing::Unknown,
        }
    }
}

/// What came back, beside the body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// The status of the answer, if there was one.
    pub(super) status: Option<u16>,
    /// How long the network asks us to wait.
    pub(super) asked: Option<Duration>,
}

impl Heard {
    /// Only with these two the network speaks about itself (RFC 9110, 10.2.3; RFC 6585, 4).
    const fn speaks_of_itself(self) -> bool {
        matches!(self.status, Some(429 | 503))
    }
}

/// What an answer says about the network.
const fn sign(judgement: Judgement, status: Option<u16>) -> Sign {
    match judgement {
        // Nobody is there any more, or somewhere else: that is about the address, not about this conversion.
        Judgement::Final(Verdict::Rejected(Rejection::Status)) if matches!(status, Some(404 | 410)) => Sign::Failed,
        Judgement::Final(Verdict::Rejected(Rejection::Redirect))
        | Judgement::Retry(
            RetryReason::Status
            | RetryReason::Connect
            | RetryReason::Timeout
            | RetryReason::Reset
            | RetryReason::RefusedAddress
            | RetryReason::Down,
        ) => Sign::Failed,
        Judgement::Final(_) | Judgement::Retry(RetryReason::Unclear | RetryReason::Batch) => Sign::Good,
        Judgement::Retry(RetryReason::Unauthorized) => Sign::Refused,
    }
}

/// Rows in memory per destination. More wait in the store.
const QUEUE: usize = 256;
/// From here on a network that has something under way counts as one that does not answer.
const SILENCE: Duration = Duration::from_secs(2);
/// Between the attempt of an earlier conversion and that of a later one of the same order.
const BEHIND: Duration = Duration::from_secs(1);
/// A network that fails for so long is worth an alarm.
const LONG: Duration = Duration::from_mins(5);
const SHORTEST_HOLD: Duration = Duration::from_secs(1);
const LONGEST_HOLD: Duration = Duration::from_hours(1);
/// The part of `max_age` after which an alarm is raised.
const AGEING: f64 = 0.8;

#[cfg(test)]
mod tests;
