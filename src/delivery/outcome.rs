//! From the end of an attempt to the row's next state.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    Destination,
    client::Reply,
    lane::Heard,
    retry::{self, Condition, Failed, Next},
    worker::{Flight, Worker},
};
use crate::{
    store::{AnswerRecord, LeasedRow, Settled, Settlement, clock},
    tracking::verdict::{Judgement, Rejection, RetryReason, Verdict},
};

impl Worker {
    /// Records what an attempt led to.
    pub(super) async fn conclude(&mut self, mut flight: Flight, judgement: Judgement, reply: Option<&Reply>) {
        let (now, instant) = (clock::now(), clock::instant());
        let asked =
            reply.and_then(|reply| reply.retry_after.as_deref()).and_then(|header| retry::retry_after(header, now));
        let heard = Heard { status: reply.map(|reply| reply.status), asked };
        let network = self.hear(&mut flight, judgement, heard, reply.and_then(|reply| reply.moved_to.as_deref()));
        let failed = |reason| Failed {
            attempts: flight.row.attempts.saturating_add(1),
            max_attempts: flight.destination.max_attempts,
            reason,
            retry_after: asked,
            network,
            age: self.uptime.age(flight.row.event.time, now, instant).at_least(),
            max_age: flight.destination.max_age,
        };
        let (outcome, word) = match judgement {
            Judgement::Final(verdict) => (Settled::Final(verdict), verdict.as_str()),
            Judgement::Retry(reason) => match failed(reason).next(random()) {
                Next::After(delay) => {
                    (Settled::Retry { at: now.plus(delay), reason: network.blamed(reason) }, reason.as_str())
                }
                Next::GivenUp(verdict) => (Settled::Final(verdict), verdict.as_str()),
            },
        };
        let destination = Arc::clone(&flight.destination);
        self.record(flight, outcome, word, reply).await;
        self.give_back(&destination).await;
    }

    /// Gives rows back that would only wait in memory, because their network is left alone.
    async fn give_back(&mut self, destination: &Destination) {
        let Some(lane) = self.lane_of(&destination.site, &destination.network) else { return };
        if !lane.takes_conversions(clock::instant()) {
            for row in std::mem::take(&mut lane.queue) {
                self.store.release(row).await;
            }
        }
    }

    /// Tells the lane what a request says about its network, and says how that fares.
    fn hear(&mut self, flight: &mut Flight, judgement: Judgement, heard: Heard, moved_to: Option<&str>) -> Condition {
        let Destination { site, network, .. } = &*flight.destination;
        let now = clock::instant();
        let Some(lane) = self.lane_of(site, network) else { return Condition::Up };
        let was_down = lane.breaker.is_down();
        if let Some(pass) = flight.pass.take() {
            lane.learn(pass, judgement, heard, now);
        }
        if matches!(heard.status, Some(301 | 308)) {
            lane.moved(moved_to, now);
        }
        let is_down = lane.breaker.is_down();
        if is_down != was_down {
            self.observer.left_alone(site, network, is_down);
        }
        if is_down { Condition::Down } else { Condition::Up }
    }

    /// Counts a panic; the third is the row's own fault.
    pub(super) async fn panicked(&mut self, mut flight: Flight) {
        let id = flight.row.event.id;
        let Destination { site, network, .. } = &*flight.destination;
        if let (Some(pass), Some(lane)) = (flight.pass.take(), self.lane_of(site, network)) {
            lane.give_up(pass, clock::instant());
        }
        let count = self.panics.get(&id).map_or(1, |count| count + 1);
        tracing::error!(event = %id, count, "a conversion made the delivery worker panic");
        if count < PANICS {
            // Rows that were corrected or purged meanwhile must not stay here for ever.
            if self.panics.len() >= REMEMBERED {
                self.panics.pop_first();
            }
            self.panics.insert(id, count);
            let at = clock::now().plus(PANIC_PAUSE);
            self.record(flight, Settled::Retry { at, reason: RetryReason::Reset }, "panic", None).await;
        } else {
            self.panics.remove(&id);
            let verdict = Verdict::Rejected(Rejection::Poison);
            self.record(flight, Settled::Final(verdict), verdict.as_str(), None).await;
        }
    }

    /// Gives a row its next state; only an attempt leaves an answer.
    pub(super) async fn settle(&mut self, row: LeasedRow, outcome: Settled, answer: Option<AnswerRecord>) {
        if self.store.is_withdrawn(row.event.id) {
            // It was on the wire already; what the store has said of it stands.
            return self.forget(&row);
        }
        let again = match outcome {
            Settled::Retry { at, .. } => Some(at),
            Settled::Final(_) => None,
        };
        if let Some(lane) = self.lane_of(&row.event.site, &row.event.network) {
            lane.settled(&row, again, clock::instant());
        }
        if let Settled::Final(verdict) = outcome {
            self.observer.settled(&row.event.site, &row.event.network, verdict);
        }
        self.store.settle(Settlement { row, outcome, answer, now: clock::now() }).await;
    }

    /// Drops a row that the store has ended.
    pub(super) fn forget(&mut self, row: &LeasedRow) {
        if let Some(lane) = self.lane_of(&row.event.site, &row.event.network) {
            lane.settled(row, None, clock::instant());
        }
    }

    async fn record(&mut self, flight: Flight, outcome: Settled, word: &'static str, reply: Option<&Reply>) {
        let took = clock::instant().saturating_duration_since(flight.started);
        let event = &flight.row.event;
        let label = match outcome {
            Settled::Final(verdict) => verdict.as_str(),
            Settled::Retry { .. } => "retry",
        };
        self.observer.attempted(&event.site, &event.network, label, took);
        let body = reply.and_then(|reply| reply.body.as_deref()).map(AnswerRecord::excerpt).unwrap_or_default();
        let answer = AnswerRecord {
            at: clock::now(),
            status: reply.map(|reply| reply.status),
            body,
            result: word,
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        self.settle(flight.row, outcome, Some(answer)).await;
    }
}

/// A number in 0..1. The first 32 bits of a random UUID are all random, and uuid is here already.
fn random() -> f64 {
    let (bits, _) = Uuid::new_v4().as_u64_pair();
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

const PANICS: u32 = 3;
const PANIC_PAUSE: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_mins(1) };
const REMEMBERED: usize = 1000;
