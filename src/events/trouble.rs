//! What an operator is told of a sink that fails, and not all the time.

use std::{fmt::Display, mem, time::Duration};

use super::Sink;
use crate::{store::clock, throttle::Throttle};

/// How a sink fares.
pub(super) struct Trouble {
    sink: Sink,
    told: Throttle,
    is_told: bool,
    told_refused: Throttle,
}

impl Trouble {
    pub(super) fn new(sink: Sink) -> Self {
        Self { sink, told: once_in_a_while(), is_told: false, told_refused: once_in_a_while() }
    }

    /// Warns, unless it has lately.
    pub(super) fn tell(&mut self, why: &dyn Display) {
        if self.told.pass(clock::instant()).is_some() {
            self.is_told = true;
            let sink = self.sink.as_str();
            tracing::warn!(sink, %why, "event records cannot be written; they wait, and are dropped when too many do");
        }
    }

    /// Warns that records are lost that no other attempt would save.
    pub(super) fn tell_refused(&mut self, records: usize, why: &dyn Display) {
        if self.told_refused.pass(clock::instant()).is_some() {
            tracing::error!(sink = self.sink.as_str(), records, %why, "event records were refused and are lost");
        }
    }

    /// Says that it is over, to whom was told that it had begun.
    pub(super) fn is_over(&mut self) {
        if mem::take(&mut self.is_told) {
            // The next time is another story.
            self.told = once_in_a_while();
            tracing::info!(sink = self.sink.as_str(), "event records are written again");
        }
    }
}

const fn once_in_a_while() -> Throttle {
    Throttle::new(1, SILENCE)
}

const SILENCE: Duration = Duration::from_mins(5);
