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
            failing_since: None,
            warned: None,
        }
    }

    /// Whether the first row may be sent now.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        !self.queue.is_empty() && self.in_flight < self.destination.concurrency && !self.is_held(now)
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
                self.failing_since = None;
                if verdict.is_dead_letter() {
                    self.warn(now, dead_letter(verdict));
                }
            }
            Judgement::Retry(RetryReason::Unauthorized) => {
                // One refusal may be about one conversion; several in a row are about the account.
                self.refusals += 1;
                if self.refusals >= REFUSALS {
                    self.held_until = Some(now + REFUSED);
                    self.warn(now, "refuses our credentials (401 or 403); correct them, conversions are kept");
                }
            }
            Judgement::Retry(_) => {
                if let Some(asked) = asked {
                    self.held_until = Some(now + asked.min(LONGEST_HOLD));
                }
                let since = *self.failing_since.get_or_insert(now);
                if now.saturating_duration_since(since) >= ALARM {
                    self.warn(now, "has not taken a conversion for minutes; they are kept and tried again");
                }
            }
        }
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
const REFUSED: Duration = Duration::from_mins(5);
const ALARM: Duration = Duration::from_mins(5);
const LONGEST_HOLD: Duration = Duration::from_hours(1);
