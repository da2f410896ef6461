//! One site at run time: its rules, what is read of its pages, what is counted, and who is told.

use std::sync::Arc;

use super::Names;
use crate::{
    config::Site,
    events::{Bus, PageRequest, Record, Whose},
    html::csp::CspMode,
    metrics::{Metrics, site::SiteMetrics},
    proxy::{
        page::PagePlan,
        preview::{Counters, Notes},
        switch::Switch,
        unsent,
    },
    store::{Hit, Store, clock},
    tracking::{
        click::ClickResult,
        consent::Requirement,
        conversion::Outcome,
        event::{Event, EventId},
        mask::Mask,
        site::SiteRules,
        visit::{Decided, Request, Visit},
    },
};

/// One site at run time.
#[derive(Debug)]
pub struct TrackedSite {
    /// What is decided.
    pub rules: Arc<SiteRules>,
    /// What is done about the policies of its pages.
    pub csp: CspMode,
    /// What is read of its pages.
    pub page: Option<Arc<PagePlan>>,
    /// What is counted.
    pub metrics: Counters,
    /// What an operator has switched.
    pub(in crate::proxy) switch: Switch,
    /// Takes secrets out of what is shown of requests to networks.
    pub(in crate::proxy) mask: Mask,
    /// Who is told.
    pub events: Bus,
    /// What the visitor asked for, where anybody is told of this request.
    page_request: Option<Arc<PageRequest>>,
}

impl TrackedSite {
    /// Prepares tracking for one site of a configuration.
    #[must_use]
    pub fn new(site: &Site, names: Option<&Names>, metrics: &Arc<Metrics>, events: &Bus) -> Self {
        let seal = names.map(|names| Arc::clone(&names.seal));
        let journeys = names.filter(|_| site.rules.needs_journeys()).map(|names| Arc::clone(&names.journeys));
        let rules = Arc::new(SiteRules { journeys, seal, ..site.rules.clone() });
        let (page, metrics) = (PagePlan::new(&rules), SiteMetrics::new(metrics, &rules));
        let (page, metrics) = (page.map(Arc::new), Counters::new(metrics));
        let (switch, mask) = (Switch::default(), site.mask.clone());
        Self { rules, csp: site.csp, page, metrics, switch, mask, events: events.clone(), page_request: None }
    }

    /// Whether the request that it is tracked for is one of a preview.
    #[must_use]
    pub fn is_previewed(&self) -> bool {
        self.metrics.notes().is_some()
    }

    /// The same site with other rules that read the same of its pages.
    pub(in crate::proxy) fn with_rules(&self, rules: Arc<SiteRules>) -> Self {
        let (page, metrics, mask) = (self.page.clone(), self.metrics.clone(), self.mask.clone());
        let (events, page_request) = (self.events.clone(), self.page_request.clone());
        Self { rules, csp: self.csp, page, metrics, switch: Switch::default(), mask, events, page_request }
    }

    /// The same site, whose decisions are taken down.
    pub(in crate::proxy) fn noting(&self, notes: Arc<Notes>) -> Arc<Self> {
        let metrics = self.metrics.noting(notes);
        Arc::new(Self { metrics, ..self.with_rules(Arc::clone(&self.rules)) })
    }

    /// The same site, with what this request asked for; nothing is copied where nobody is told of it.
    pub(in crate::proxy) fn asked_for(&self, request: &Request<'_>, visit: &Visit) -> Option<Arc<Self>> {
        if !self.events.wants(self.whose()) {
            return None;
        }
        let page_request = Some(Arc::new(PageRequest::new(request, visit, &self.mask)));
        Some(Arc::new(Self { page_request, ..self.with_rules(Arc::clone(&self.rules)) }))
    }

    /// Counts the outcome of a conversion that nobody hears of, and has kept what would have been sent.
    pub(in crate::proxy) fn decide_unsent(&self, store: &Store, mut it: Decided, event: &Event) {
        let rule = self.rules.conversions.get(it.conversion).and_then(|rule| rule.send.get(it.send));
        let request = rule.map(|send| unsent::request(&send.postback, event, &self.mask));
        if let (Some(notes), Some(request)) = (self.metrics.notes(), &request) {
            notes.would_send(request);
        }
        if let Some(told) = &mut it.grounds.told {
            told.details.request = request;
        }
        self.decide(store, it);
    }

    /// Counts the outcome of a hit for one network, and has it written down.
    pub(in crate::proxy) fn decide(&self, store: &Store, it: Decided) {
        self.metrics.outcome(it.conversion, it.send, it.outcome);
        if let Some(hit) = self.hit(it) {
            self.events.publish(self.whose(), |personal| {
                // Of visitors who have not agreed, nothing is told.
                let page = self.page_request.as_deref().filter(|_| hit.grounds.told.is_some());
                let id = hit.grounds.told.as_ref().map(|told| told.event_id);
                let id = id.filter(|_| matches!(hit.outcome, Outcome::Queued | Outcome::Incomplete));
                let names = (&hit.site, &hit.conversion, &hit.network);
                Record::conversion(hit.time, names, id, hit.outcome).on(page, personal)
            });
            store.note(hit);
        }
    }

    /// Whose doing event records tell of.
    fn whose(&self) -> Whose {
        if self.is_previewed() { Whose::Preview } else { Whose::Visitor }
    }

    /// Has the outcome of a hit written down once the fleet has said it, if there is one.
    pub(in crate::proxy) fn foresee(&self, store: &Store, event_id: EventId, it: &Decided) {
        if let Some(hit) = store.fleet().and_then(|_| self.hit(it.clone())) {
            store.foresee(event_id, hit);
        }
    }

    fn hit(&self, Decided { conversion, send, outcome, grounds }: Decided) -> Option<Hit> {
        let rule = self.rules.conversions.get(conversion)?;
        let network = self.rules.networks.get(rule.send.get(send)?.network)?;
        Some(Hit {
            site: Arc::clone(&self.rules.name),
            conversion: Arc::clone(&rule.name),
            network: Arc::clone(&network.key),
            time: clock::now(),
            outcome,
            grounds,
        })
    }

    /// Counts what became of a click parameter of one network.
    pub(in crate::proxy) fn click(&self, network: usize, result: ClickResult) {
        self.metrics.click(network, result);
        if let Some(network) = self.rules.networks.get(network) {
            self.events.publish(self.whose(), |personal| {
                let asked = network.consent.as_ref().unwrap_or(&self.rules.consent.require);
                let may_tell = result.is_consented() || *asked == Requirement::None;
                let page = self.page_request.as_deref().filter(|_| may_tell);
                Record::click(clock::now(), &self.rules.name, &network.key, result).on(page, personal)
            });
        }
    }
}
