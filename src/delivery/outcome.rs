//! From the end of an attempt to the next state of its rows.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    Destination,
    client::Reply,
    echo,
    lane::Heard,
    retry::{self, Condition, Failed, Next},
    worker::{Flight, Worker},
};
use crate::{
    store::{AnswerRecord, LeasedRow, Settled, Settlement, clock},
    tracking::{
        timestamp::Timestamp,
        verdict::{BatchJudgement, EventJudgement, Fate, Judgement, Rejection, RetryReason, Verdict},
    },
};

impl Worker {
    /// Records what an attempt led to, for each of its rows.
    pub(super) async fn conclude(&mut self, mut flight: Flight, judgement: BatchJudgement, reply: Option<&Reply>) {
        let (now, instant) = (clock::now(), clock::instant());
        self.uptime.observe(now, instant);
        let asked =
            reply.and_then(|reply| reply.retry_after.as_deref()).and_then(|header| retry::retry_after(header, now));
        let heard = Heard { status: reply.map(|reply| reply.status), asked };
        let moved_to = reply.and_then(|reply| reply.moved_to.as_deref());
        let network = self.hear(&mut flight, lesson(&judgement), heard, moved_to);
        let said = said(&flight, &judgement, reply);
        let attempt = Attempt::of(&flight, reply);
        let Destination { max_age, max_attempts, .. } = *flight.destination;
        let is_outdated = self.is_outdated(&flight.destination);
        for (row, EventJudgement { fate, record }) in flight.rows.into_iter().zip(judgement.events) {
            let (outcome, word) = match fate {
                Fate::Judged(Judgement::Final(verdict)) => (Settled::Final(verdict), verdict.as_str()),
                Fate::Judged(Judgement::Retry(reason)) => {
                    let age = self.uptime.age(row.counts_from(), now, instant).at_least();
                    let attempts = row.attempts.saturating_add(1);
                    let failed = Failed { attempts, max_attempts, reason, retry_after: asked, network, age, max_age };
                    match failed.next(random()) {
                        Next::After(delay) => {
                            // What it failed at may have been corrected meanwhile.
                            let delay = if is_outdated { delay.min(SOON) } else { delay };
                            (Settled::Retry { at: now.plus(delay), reason: network.blamed(reason) }, reason.as_str())
                        }
                        Next::GivenUp(verdict) => (Settled::Final(verdict), verdict.as_str()),
                    }
                }
                Fate::Alone => self.send_alone(&row, now),
            };
            let body =
                record.zip(reply).map_or_else(|| said.clone(), |(record, reply)| reply.masked(record.as_bytes()));
            self.record(row, outcome, word, body, attempt).await;
        }
        self.give_back(&flight.destination).await;
    }

    /// Whether a destination is spoken to in another way by now.
    fn is_outdated(&self, destination: &Arc<Destination>) -> bool {
        let now = self.destinations.find(&destination.site, &destination.network);
        now.is_some_and(|now| !Arc::ptr_eq(now, destination) && !now.is_sent_like(destination))
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
    fn hear(
        &mut self,
        flight: &mut Flight,
        lesson: Option<Judgement>,
        heard: Heard,
        moved_to: Option<&str>,
    ) -> Condition {
        let Destination { site, network, .. } = &*flight.destination;
        let now = clock::instant();
        let Some(lane) = self.lane_of(site, network) else { return Condition::Up };
        let was_down = lane.breaker.is_down();
        match (flight.pass.take(), lesson) {
            (Some(pass), Some(lesson)) => lane.learn(pass, lesson, heard, now),
            (Some(pass), None) => lane.give_up(pass, now),
            (None, _) => {}
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
        let attempt = Attempt::of(&flight, None);
        let now = clock::now();
        let Destination { site, network, .. } = &*flight.destination;
        if let (Some(pass), Some(lane)) = (flight.pass.take(), self.lane_of(site, network)) {
            lane.give_up(pass, clock::instant());
        }
        let [row] = &*flight.rows else {
            tracing::error!(count = flight.rows.len(), "conversions in one request made the delivery worker panic");
            for row in std::mem::take(&mut flight.rows) {
                let (outcome, _) = self.send_alone(&row, now);
                self.record(row, outcome, "panic", Vec::new(), attempt).await;
            }
            return;
        };
        let id = row.event.id;
        let count = self.panics.get(&id).map_or(1, |count| count + 1);
        tracing::error!(event = %id, count, "a conversion made the delivery worker panic");
        let (outcome, word) = if count < PANICS {
            // Rows that were corrected or purged meanwhile must not stay here for ever.
            if self.panics.len() >= REMEMBERED {
                self.panics.pop_first();
            }
            self.panics.insert(id, count);
            (Settled::Retry { at: now.plus(PANIC_PAUSE), reason: RetryReason::Reset }, "panic")
        } else {
            self.panics.remove(&id);
            let verdict = Verdict::Rejected(Rejection::Poison);
            (Settled::Final(verdict), verdict.as_str())
        };
        for row in flight.rows {
            self.record(row, outcome, word, Vec::new(), attempt).await;
        }
    }

    /// Notes that a row shares no request from now on, and when it is due: at once, for nothing is
    /// wrong with the network.
    fn send_alone(&mut self, row: &LeasedRow, now: Timestamp) -> (Settled, &'static str) {
        if self.alone.len() >= ALONE {
            self.alone.pop_first();
        }
        self.alone.insert(row.event.id);
        (Settled::Retry { at: now, reason: RetryReason::Batch }, RetryReason::Batch.as_str())
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
        if let Settled::Final(_) = outcome {
            self.alone.remove(&row.event.id);
        }
        self.store.settle(Settlement { row, outcome, answer, now: clock::now() }).await;
    }

    /// Drops a row that the store has ended.
    pub(super) fn forget(&mut self, row: &LeasedRow) {
        if let Some(lane) = self.lane_of(&row.event.site, &row.event.network) {
            lane.settled(row, None, clock::instant());
        }
    }

    async fn record(
        &mut self,
        row: LeasedRow,
        outcome: Settled,
        word: &'static str,
        body: Vec<u8>,
        Attempt { status, took }: Attempt,
    ) {
        let label = match outcome {
            Settled::Final(verdict) => verdict.as_str(),
            Settled::Retry { .. } => "retry",
        };
        self.observer.attempted(&row.event.site, &row.event.network, label, took);
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let body = AnswerRecord::excerpt(&body, &row.event.payload);
        let answer = AnswerRecord { at: clock::now(), status, body, result: word, millis };
        self.settle(row, outcome, Some(answer)).await;
    }
}

/// What the rows of one request have in common once it is over.
#[derive(Clone, Copy)]
struct Attempt {
    status: Option<u16>,
    took: Duration,
}

impl Attempt {
    fn of(flight: &Flight, reply: Option<&Reply>) -> Self {
        let took = clock::instant().saturating_duration_since(flight.started);
        Self { status: reply.map(|reply| reply.status), took }
    }
}

/// What an answer teaches about its network.
///
/// One that took any event works, however it judged the others. One that refused events together has
/// said nothing yet: its answers to each alone will.
fn lesson(judgement: &BatchJudgement) -> Option<Judgement> {
    let judged = judgement.events.iter().filter_map(|event| match event.fate {
        Fate::Judged(judgement) => Some(judgement),
        Fate::Alone => None,
    });
    judged.max_by_key(|judgement| match judgement {
        Judgement::Retry(_) => 0,
        Judgement::Final(verdict) => 1 + u8::from(verdict.is_dead_letter()),
    })
}

/// The beginning of the answer, as it may be kept with every row that the network did not single out.
fn said(flight: &Flight, judgement: &BatchJudgement, reply: Option<&Reply>) -> Vec<u8> {
    let body = judgement.rest.as_deref().or(reply.and_then(|reply| reply.body.as_deref())).unwrap_or_default();
    let body = reply.map(|reply| reply.masked(body)).unwrap_or_default();
    match &*flight.rows {
        [_] => body,
        rows => echo::without(rows.iter().map(|row| &row.event), &body),
    }
}

/// A number in 0..1. The first 32 bits of a random UUID are all random, and uuid is here already.
fn random() -> f64 {
    let (bits, _) = Uuid::new_v4().as_u64_pair();
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

/// Until a row is tried in the way of another configuration.
const SOON: Duration = Duration::from_secs(1);
const PANICS: u32 = 3;
const PANIC_PAUSE: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_mins(1) };
const REMEMBERED: usize = 1000;
/// Rows that are remembered to be sent alone: a few refused requests of as many as may be under way. One
/// that is forgotten is refused with others once more.
const ALONE: usize = 10_000;
