//! What an operator is told of a sink that fails, and not all the time.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use super::Sink;
use crate::store::clock;

/// How a sink fares.
pub(super) struct Trouble {
    sink: Sink,
    told: Option<Instant>,
    told_refused: Option<Instant>,
}

impl Trouble {
    pub(super) fn new(sink: Sink) -> Self {
        Self { sink, told: None, told_refused: None }
    }

    /// Warns, unless it has lately.
    pub(super) fn tell(&mut self, why: &dyn Display) {
        if is_due(&mut self.told) {
            let sink = self.sink.as_str();
            tracing::warn!(sink, %why, "event records cannot be written; they wait, and are dropped when too many do");
        }
    }

    /// Warns that records are lost that no other attempt would save.
    pub(super) fn tell_refused(&mut self, records: usize, why: &dyn Display) {
        if is_due(&mut self.told_refused) {
            tracing::error!(sink = self.sink.as_str(), records, %why, "event records were refused and are lost");
        }
    }

    /// Says that it is over, to whom was told that it had begun.
    pub(super) fn is_over(&mut self) {
        if self.told.take().is_some() {
            tracing::info!(sink = self.sink.as_str(), "event records are written again");
        }
    }
}

fn is_due(told: &mut Option<Instant>) -> bool {
    let now = clock::instant();
    let is_due = told.is_none_or(|told| now.saturating_duration_since(told) >= SILENCE);
    if is_due {
        *told = Some(now);
    }
    is_due
}

const SILENCE: Duration = Duration::from_mins(5);
