//! From the end of an attempt to the row's next state.

use std::time::Duration;

use uuid::Uuid;

use super::{
    client::Reply,
    retry::{self, Condition, Failed, Next},
    worker::{Flight, Worker},
};
use crate::{
    store::{AnswerRecord, LeasedRow, Settled, Settlement, clock},
    tracking::verdict::{Judgement, Rejection, RetryReason, Verdict},
};

impl Worker {
    /// Records what an attempt led to.
    pub(super) async fn conclude(&mut self, flight: Flight, judgement: Judgement, reply: Option<&Reply>) {
        let (now, instant) = (clock::now(), clock::instant());
        let asked =
            reply.and_then(|reply| reply.retry_after.as_deref()).and_then(|header| retry::retry_after(header, now));
        let mut network = Condition::Up;
        if let Some(lane) = self.lane_of(&flight.destination.site, &flight.destination.network) {
            // Only with these two the network speaks about itself (RFC 9110, 10.2.3; RFC 6585, 4).
            let is_general = reply.is_some_and(|reply| matches!(reply.status, 429 | 503));
            lane.learn(judgement, asked.filter(|_| is_general), instant);
            if lane.is_down() {
                network = Condition::Down;
            }
        }
        let failed = |reason| Failed {
            attempts: flight.row.attempts.saturating_add(1),
            reason,
            retry_after: asked,
            network,
            age: now.since(flight.row.event.time),
            max_age: flight.destination.max_age,
        };
        let (outcome, word) = match judgement {
            Judgement::Final(verdict) => (Settled::Final(verdict), verdict.as_str()),
            Judgement::Retry(reason) => match failed(reason).next(random()) {
                Next::After(delay) => (Settled::Retry { at: now.plus(delay), reason }, reason.as_str()),
                Next::Expired => (Settled::Final(Verdict::Expired), Verdict::Expired.as_str()),
            },
        };
        self.record(flight, outcome, word, reply).await;
    }

    /// Counts a panic; the third is the row's own fault.
    pub(super) async fn panicked(&mut self, flight: Flight) {
        let id = flight.row.event.id;
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
            return;
        }
        self.store.settle(Settlement { row, outcome, answer, now: clock::now() }).await;
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
