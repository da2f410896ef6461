//! What is counted of a site, and taken down as well where a visitor previews it.
//!
//! Both happen here, in one call: what is shown is what happened.

use std::{ops::Deref, sync::Arc};

use super::Notes;
use crate::{
    metrics::site::{Injection, SiteMetrics},
    tracking::{click::ClickResult, consent::Decision, conversion::Outcome, visit::CaptureResult},
};

/// A site's counters, and what a visitor who previews it is shown of them.
#[derive(Clone, Debug)]
pub struct Counters {
    metrics: Arc<SiteMetrics>,
    notes: Option<Arc<Notes>>,
}

impl Counters {
    /// Counts alone.
    pub(in crate::proxy) fn new(metrics: SiteMetrics) -> Self {
        Self { metrics: Arc::new(metrics), notes: None }
    }

    /// The same counters; what is counted is also taken down.
    pub(in crate::proxy) fn noting(&self, notes: Arc<Notes>) -> Self {
        Self { metrics: Arc::clone(&self.metrics), notes: Some(notes) }
    }

    /// What is taken down of this request, if it is one of a preview.
    pub(in crate::proxy) fn notes(&self) -> Option<&Notes> {
        self.notes.as_deref()
    }

    /// Counts a hit.
    pub fn hit(&self, conversion: usize) {
        self.metrics.hit(conversion);
        if let Some(notes) = &self.notes {
            let sends = notes.rules.conversions.get(conversion).map_or(0, |rule| rule.send.len());
            notes.noted.lock().awaited.extend((0..sends).map(|send| (conversion, send)));
        }
    }

    /// Counts a hit that was never answered.
    pub fn unanswered(&self, conversion: usize) {
        self.metrics.unanswered(conversion);
        if let Some(notes) = &self.notes {
            notes.note(format!("{}=unanswered", notes.conversion(conversion)));
        }
    }

    /// Counts what became of a click parameter.
    pub fn click(&self, network: usize, result: ClickResult) {
        self.metrics.click(network, result);
        if let Some(notes) = &self.notes {
            notes.note(format!("click {}={}", notes.network(network), result.as_str()));
        }
    }

    /// Counts what became of a network's pixels.
    pub fn injection(&self, network: usize, result: Injection) {
        self.metrics.injection(network, result);
        if let Some(notes) = &self.notes {
            notes.note(format!("pixels {}={}", notes.network(network), result.as_str()));
        }
    }

    /// Counts what became of a capture.
    pub fn capture(&self, capture: usize, result: CaptureResult) {
        self.metrics.capture(capture, result);
        if let Some(notes) = &self.notes {
            let name = notes.rules.captures.get(capture).map_or("", |rule| &rule.name);
            notes.note(format!("capture {name}={}", result.as_str()));
        }
    }

    /// Counts what a visitor has agreed to.
    pub fn consent(&self, decision: Decision) {
        self.metrics.consent(decision);
        if let Some(notes) = &self.notes {
            notes.note(format!("consent={}", decision.as_str()));
        }
    }

    /// Counts the outcome of a hit for one network.
    pub fn outcome(&self, conversion: usize, send: usize, outcome: Outcome) {
        self.metrics.outcome(conversion, send, outcome);
        if let Some(notes) = &self.notes {
            notes.noted.lock().awaited.retain(|it| *it != (conversion, send));
            notes.note(notes.outcome_line(conversion, send, outcome.as_str()));
        }
    }
}

impl Deref for Counters {
    type Target = SiteMetrics;

    fn deref(&self) -> &SiteMetrics {
        &self.metrics
    }
}
