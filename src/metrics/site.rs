//! The metrics of one site, resolved once, so that counting on the request path is one addition.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use prometheus::{Histogram, IntCounter};

use super::Metrics;
use crate::{
    html::page::Untouchable,
    tracking::{
        click::ClickResult,
        consent::{Decision, Requirement},
        conversion::{FieldResult, Outcome},
        network::Mode,
        site::SiteRules,
        verdict::Verdict,
        visit::CaptureResult,
    },
};

/// Counters of one site.
#[derive(Debug)]
pub struct SiteMetrics {
    metrics: Arc<Metrics>,
    name: Arc<str>,
    codes: Box<[OnceLock<IntCounter>]>,
    /// `request_seconds`
    pub request_seconds: Histogram,
    /// `upstream_seconds`
    pub upstream_seconds: Histogram,
    /// `overhead_seconds`
    pub overhead_seconds: Histogram,
    clicks: Vec<HashMap<ClickResult, IntCounter>>,
    injections: Vec<HashMap<Injection, IntCounter>>,
    conversions: Vec<ConversionMetrics>,
    captures: Vec<HashMap<CaptureResult, IntCounter>>,
    consent: HashMap<Decision, IntCounter>,
}

#[derive(Debug)]
struct ConversionMetrics {
    hits: IntCounter,
    unanswered: IntCounter,
    undeduplicated: IntCounter,
    /// By place under `send`.
    outcomes: Vec<HashMap<Outcome, IntCounter>>,
    /// By place under the conversion's fields.
    fields: Vec<HashMap<FieldResult, IntCounter>>,
}

/// What became of the pixels of one network for one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Injection {
    /// They are in the page.
    Injected,
    /// They were shown after the page, when the verdict on its click ID was known.
    Late,
    /// The conversion had been reported already.
    Duplicate,
    /// The store did not say in time whether it had.
    Unanswered,
    /// The page broke off before its end.
    Interrupted,
    /// The page's Content-Security-Policy forbids them.
    Csp,
    /// The page did not show its proof.
    Unproven,
    /// The page could not carry them.
    Untouchable(Untouchable),
}

impl Injection {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let by_page = Untouchable::ALL.into_iter().map(Self::Untouchable);
        [Self::Injected, Self::Late, Self::Duplicate, Self::Unanswered, Self::Interrupted, Self::Csp, Self::Unproven]
            .into_iter()
            .chain(by_page)
    }

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Unanswered => "unanswered",
            Self::Interrupted => "interrupted",
            Self::Csp => "csp",
            Self::Unproven => "unproven",
            Self::Untouchable(reason) => reason.as_str(),
        }
    }
}

impl SiteMetrics {
    /// Resolves all counters of a site, so that they show up with zero from the start.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>, site: &SiteRules) -> Self {
        let name = &*site.name;
        metrics.tracking_enabled.with_label_values(&[name]).set(i64::from(site.mode == Mode::On));
        let clicks = site.networks.iter().map(|network| {
            let count =
                |result: ClickResult| metrics.clicks_total.with_label_values(&[name, &network.key, result.as_str()]);
            ClickResult::ALL.into_iter().map(|result| (result, count(result))).collect()
        });
        let injections = site.networks.iter().map(|network| {
            let count =
                |result: Injection| metrics.injections_total.with_label_values(&[name, &network.key, result.as_str()]);
            let all = Injection::all().filter(|_| network.sync.is_some());
            all.map(|result| (result, count(result))).collect()
        });
        for network in &site.networks {
            for verdict in Verdict::LABELS {
                metrics.postbacks_total.with_label_values(&[name, &network.key, verdict]).inc_by(0);
            }
        }
        Self {
            metrics: Arc::clone(metrics),
            name: Arc::clone(&site.name),
            codes: std::iter::repeat_with(OnceLock::new).take(CODES).collect(),
            request_seconds: metrics.request_seconds.with_label_values(&[name]),
            upstream_seconds: metrics.upstream_seconds.with_label_values(&[name]),
            overhead_seconds: metrics.overhead_seconds.with_label_values(&[name]),
            clicks: clicks.collect(),
            injections: injections.collect(),
            conversions: site.conversions.iter().map(|rule| ConversionMetrics::new(metrics, site, rule)).collect(),
            captures: site.captures.iter().map(|rule| captures(metrics, name, &rule.name)).collect(),
            consent: consent(metrics, site),
        }
    }

    /// Shows whether tracking acts on the site.
    pub fn tracks(&self, mode: Mode) {
        self.metrics.tracking_enabled.with_label_values(&[&*self.name]).set(i64::from(mode == Mode::On));
    }

    /// Counts an answered request.
    pub fn answered(&self, status: u16) {
        let slot = usize::from(status).checked_sub(100).and_then(|index| self.codes.get(index));
        if let Some(slot) = slot {
            let counter =
                slot.get_or_init(|| self.metrics.requests_total.with_label_values(&[&*self.name, &status.to_string()]));
            counter.inc();
        }
    }

    /// Counts a click parameter.
    pub fn click(&self, network: usize, result: ClickResult) {
        count(self.clicks.get(network).and_then(|results| results.get(&result)));
    }

    /// Counts the pixels of a network.
    pub fn injection(&self, network: usize, result: Injection) {
        count(self.injections.get(network).and_then(|results| results.get(&result)));
    }

    /// Counts a hit.
    pub fn hit(&self, conversion: usize) {
        count(self.conversions.get(conversion).map(|conversion| &conversion.hits));
    }

    /// Counts a hit that was never answered.
    pub fn unanswered(&self, conversion: usize) {
        count(self.conversions.get(conversion).map(|conversion| &conversion.unanswered));
    }

    /// Counts a conversion without a dedup key.
    pub fn undeduplicated(&self, conversion: usize) {
        count(self.conversions.get(conversion).map(|conversion| &conversion.undeduplicated));
    }

    /// Counts a capture.
    pub fn capture(&self, capture: usize, result: CaptureResult) {
        count(self.captures.get(capture).and_then(|results| results.get(&result)));
    }

    /// Counts a decision about consent.
    pub fn consent(&self, decision: Decision) {
        count(self.consent.get(&decision));
    }

    /// Counts what became of a field, by its place.
    pub fn field(&self, conversion: usize, field: usize, result: FieldResult) {
        let fields = self.conversions.get(conversion).and_then(|conversion| conversion.fields.get(field));
        count(fields.and_then(|results| results.get(&result)));
    }

    /// Counts the outcome of a hit for one network.
    pub fn outcome(&self, conversion: usize, send: usize, outcome: Outcome) {
        let outcomes = self.conversions.get(conversion).and_then(|conversion| conversion.outcomes.get(send));
        count(outcomes.and_then(|outcomes| outcomes.get(&outcome)));
    }
}

impl ConversionMetrics {
    fn new(metrics: &Metrics, site: &SiteRules, rule: &crate::tracking::conversion::ConversionRule) -> Self {
        let labels = [&*site.name, &*rule.name];
        let outcomes = rule.send.iter().map(|send| {
            let network = site.networks.get(send.network).map_or("", |network| &*network.key);
            let count = |outcome: Outcome| {
                metrics.conversions_total.with_label_values(&[&*site.name, &*rule.name, network, outcome.as_str()])
            };
            Outcome::ALL.into_iter().map(|outcome| (outcome, count(outcome))).collect()
        });
        let fields = rule.fields.iter().map(|(field, _)| {
            let count = |result: FieldResult| {
                metrics.fields_total.with_label_values(&[&*site.name, &*rule.name, field, result.as_str()])
            };
            FieldResult::ALL.into_iter().map(|result| (result, count(result))).collect()
        });
        Self {
            hits: metrics.conversion_hits_total.with_label_values(&labels),
            unanswered: metrics.unanswered_total.with_label_values(&labels),
            undeduplicated: metrics.undeduplicated_total.with_label_values(&labels),
            outcomes: outcomes.collect(),
            fields: fields.collect(),
        }
    }
}

fn captures(metrics: &Metrics, site: &str, capture: &str) -> HashMap<CaptureResult, IntCounter> {
    let count = |result: CaptureResult| metrics.captures_total.with_label_values(&[site, capture, result.as_str()]);
    CaptureResult::ALL.into_iter().map(|result| (result, count(result))).collect()
}

/// Nothing where nobody is asked.
fn consent(metrics: &Metrics, site: &SiteRules) -> HashMap<Decision, IntCounter> {
    let asks = site.consent.require != Requirement::None || site.networks.iter().any(|it| it.consent.is_some());
    let count = |decision: Decision| metrics.consent_total.with_label_values(&[&*site.name, decision.as_str()]);
    Decision::ALL.into_iter().filter(|_| asks).map(|decision| (decision, count(decision))).collect()
}

fn count(counter: Option<&IntCounter>) {
    if let Some(counter) = counter {
        counter.inc();
    }
}

/// Statuses from 100 to 999.
const CODES: usize = 900;
