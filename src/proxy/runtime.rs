//! What a running proxy shares between its requests: the sites, the store, the metrics.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, header};
use ipnet::IpNet;
use pingora::{http::RequestHeader, server::configuration::ServerConf};

use super::{
    page::PagePlan,
    preview::{Counters, Notes},
    switch::Switch,
    unsent,
    upstream::{self, InvalidUpstream, Upstream},
};
use crate::{
    config::{Config, HostPattern, Site},
    events::{Bus, PageRequest, Record, Whose},
    html::csp::CspMode,
    metrics::{Metrics, site::SiteMetrics},
    store::{Hit, Store, clock},
    tracking::{
        click::ClickResult,
        consent::Requirement,
        conversion::Outcome,
        event::{Event, EventId},
        journey::JourneyKeys,
        mask::Mask,
        site::{SiteRules, normal_host},
        visit::{Decided, Request, Visit},
        visitor::Seal,
    },
};

/// Everything that tracking needs at run time.
#[derive(Debug)]
pub struct Tracker {
    /// All sites.
    pub sites: Vec<Arc<TrackedSite>>,
    /// Where conversions are written down.
    pub store: Store,
    /// How long a thank-you page may wait for that.
    pub max_page_delay: Duration,
    /// The counters that belong to no site.
    pub metrics: Arc<Metrics>,
    /// Who is told of clicks and decisions.
    pub events: Bus,
}

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
    pub(super) switch: Switch,
    /// Takes secrets out of what is shown of requests to networks.
    pub(super) mask: Mask,
    /// Who is told.
    pub events: Bus,
    /// What the visitor asked for, where anybody is told of this request.
    page_request: Option<Arc<PageRequest>>,
}

impl TrackedSite {
    /// Counts the outcome of a conversion that nobody hears of, and has kept what would have been sent.
    pub(super) fn decide_unsent(&self, store: &Store, mut it: Decided, event: &Event) {
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
    pub(super) fn decide(&self, store: &Store, it: Decided) {
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
    pub(super) fn foresee(&self, store: &Store, event_id: EventId, it: &Decided) {
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
    pub(super) fn click(&self, network: usize, result: ClickResult) {
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

/// What the secret makes: visitors are recognised by it, and by nobody else.
#[derive(Clone, Debug)]
pub struct Names {
    /// Seals what browsers carry.
    pub seal: Arc<Seal>,
    /// Names journeys.
    pub journeys: Arc<JourneyKeys>,
}

/// Sites by the host they answer for.
#[derive(Debug)]
pub struct SiteTable {
    exact: HashMap<String, usize>,
    /// The longest suffix first.
    below: Vec<(String, usize)>,
    otherwise: Option<usize>,
    upstreams: Vec<Arc<Upstream>>,
    settings: Arc<ServerConf>,
    error_pages: Vec<BTreeMap<u16, Bytes>>,
    trusted: Vec<IpNet>,
}

impl Tracker {
    /// Prepares tracking for all sites of a configuration.
    #[must_use]
    pub fn new(
        config: &Config,
        names: Option<&Names>,
        store: Store,
        metrics: &Arc<Metrics>,
        events: &Bus,
    ) -> Arc<Self> {
        let sites = config.sites.iter().map(|site| Arc::new(TrackedSite::new(site, names, metrics, events)));
        Arc::new(Self {
            sites: sites.inspect(|site| store.switches().tell(site)).collect(),
            store,
            max_page_delay: config.server.max_page_delay,
            metrics: Arc::clone(metrics),
            events: events.clone(),
        })
    }

    /// The site with this name, for hosts that choose it themselves.
    #[must_use]
    pub fn site(&self, name: &str) -> Option<&Arc<TrackedSite>> {
        self.sites.iter().find(|site| &*site.rules.name == name)
    }
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
    pub(super) fn with_rules(&self, rules: Arc<SiteRules>) -> Self {
        let (page, metrics, mask) = (self.page.clone(), self.metrics.clone(), self.mask.clone());
        let (events, page_request) = (self.events.clone(), self.page_request.clone());
        Self { rules, csp: self.csp, page, metrics, switch: Switch::default(), mask, events, page_request }
    }

    /// The same site, whose decisions are taken down.
    pub(super) fn noting(&self, notes: Arc<Notes>) -> Arc<Self> {
        let metrics = self.metrics.noting(notes);
        Arc::new(Self { metrics, ..self.with_rules(Arc::clone(&self.rules)) })
    }

    /// The same site, with what this request asked for; nothing is copied where nobody is told of it.
    pub(super) fn asked_for(&self, request: &Request<'_>, visit: &Visit) -> Option<Arc<Self>> {
        if !self.events.wants(self.whose()) {
            return None;
        }
        let page_request = Some(Arc::new(PageRequest::new(request, visit, &self.mask)));
        Some(Arc::new(Self { page_request, ..self.with_rules(Arc::clone(&self.rules)) }))
    }
}

impl SiteTable {
    /// Lays out the hosts of a configuration.
    ///
    /// # Errors
    ///
    /// When a file that an upstream needs cannot be used.
    pub fn new(config: &Config) -> Result<Self, InvalidUpstream> {
        let upstreams = upstreams(config)?;
        let settings = upstream::settings(&upstreams)?;
        Ok(Self::with(config, upstreams, Arc::new(settings)))
    }

    /// Lays out the hosts of another configuration; servers that stay are the same servers.
    ///
    /// # Errors
    ///
    /// When a file that an upstream needs cannot be used.
    pub fn succeeding(&self, config: &Config) -> Result<Self, InvalidUpstream> {
        let mut upstreams = upstreams(config)?;
        upstream::check_settings(&self.settings, &upstreams)?;
        for upstream in &mut upstreams {
            if let Some(known) = self.upstreams.iter().find(|known| known.is_like(upstream)) {
                *upstream = Arc::clone(known);
            }
        }
        Ok(Self::with(config, upstreams, Arc::clone(&self.settings)))
    }

    fn with(config: &Config, upstreams: Vec<Arc<Upstream>>, settings: Arc<ServerConf>) -> Self {
        let mut table = Self {
            exact: HashMap::new(),
            below: Vec::new(),
            otherwise: None,
            settings,
            upstreams,
            error_pages: config.sites.iter().map(|site| site.error_pages.clone()).collect(),
            trusted: config.server.trusted_proxies.clone(),
        };
        for (index, site) in config.sites.iter().enumerate() {
            if site.hosts.is_empty() {
                table.otherwise = Some(index);
            }
            for host in &site.hosts {
                match host {
                    HostPattern::Exact(host) => {
                        table.exact.insert(host.clone(), index);
                    }
                    HostPattern::Below(suffix) => table.below.push((suffix.clone(), index)),
                }
            }
        }
        table.below.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        table
    }

    /// Which site answers a request.
    #[must_use]
    pub fn find(&self, request: &RequestHeader) -> Option<usize> {
        if self.exact.is_empty() && self.below.is_empty() {
            return self.otherwise;
        }
        let host = request.headers.get(header::HOST).map(HeaderValue::as_bytes);
        self.find_host(host.or_else(|| request.uri.host().map(str::as_bytes)).unwrap_or_default())
    }

    /// Which site answers for a host, as it is asked for.
    #[must_use]
    pub fn find_host(&self, host: &[u8]) -> Option<usize> {
        let host = normal_host(std::str::from_utf8(host).ok()?);
        self.exact.get(&*host).copied().or_else(|| {
            let below = self.below.iter().find(|(suffix, _)| host.ends_with(suffix.as_str()));
            below.map(|(_, index)| *index).or(self.otherwise)
        })
    }

    /// The server behind a site.
    #[must_use]
    pub fn upstream(&self, site: usize) -> Option<&Arc<Upstream>> {
        self.upstreams.get(site)
    }

    /// What visitors of a site see when its server fails, if the operator has said.
    #[must_use]
    pub fn error_page(&self, site: usize, status: u16) -> Option<&Bytes> {
        self.error_pages.get(site)?.get(&status)
    }

    /// The servers behind all sites.
    #[must_use]
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// What Pingora is to know about them all.
    #[must_use]
    pub fn settings(&self) -> &Arc<ServerConf> {
        &self.settings
    }

    /// Whether this peer's `X-Forwarded-*` is believed.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|net| net.contains(&peer))
    }
}

/// The servers behind each site.
fn upstreams(config: &Config) -> Result<Vec<Arc<Upstream>>, InvalidUpstream> {
    let upstream = |site: &Site| {
        let host = site.hosts.iter().find_map(|host| match host {
            HostPattern::Exact(host) => Some(host.as_str()),
            HostPattern::Below(_) => None,
        });
        Upstream::new(&site.upstream, &site.rules.name, host).map(Arc::new)
    };
    config.sites.iter().map(upstream).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;

    #[test]
    fn the_longest_match_wins_and_the_rest_goes_to_the_site_without_hosts() {
        let text = "
sites:
  - { name: a, hosts: [shop.example, '*.example'], upstream: 'http://127.0.0.1:1' }
  - { name: b, hosts: ['*.shop.example'], upstream: 'http://127.0.0.1:2' }
  - { name: c, upstream: 'http://127.0.0.1:3' }
";
        let config = Config::parse(Path::new("test.yaml"), text, Environment::Process).expect("a configuration");
        let table = SiteTable::new(&config).expect("upstreams");
        for (host, site) in [
            ("shop.example", Some(0)),
            ("Shop.Example.:8080", Some(0)),
            ("www.shop.example", Some(1)),
            ("other.example", Some(0)),
            ("example", Some(2)),
            ("[::1]:80", Some(2)),
        ] {
            assert_eq!(table.find_host(host.as_bytes()), site, "{host}");
        }
    }

    #[test]
    fn servers_that_stay_are_the_same_and_others_are_not() {
        let table = |text: &str, before: Option<&SiteTable>| {
            let config = Config::parse(Path::new("test.yaml"), text, Environment::Process).expect("a configuration");
            before.map_or_else(|| SiteTable::new(&config), |before| before.succeeding(&config)).expect("upstreams")
        };
        let before = "
sites:
  - { name: a, hosts: [a.example], upstream: 'http://127.0.0.1:1' }
  - { name: b, hosts: [b.example], upstream: 'http://127.0.0.1:2' }
  - { name: c, hosts: [c.example], upstream: 'http://127.0.0.1:3' }
";
        let after = "
sites:
  - { name: d, hosts: [d.example], upstream: 'http://127.0.0.1:1' }
  - { name: c, hosts: [c.example], upstream: { url: 'http://127.0.0.1:3', read_timeout: 9s } }
  - { name: b, hosts: [b.example], csp: respect, upstream: { url: 'http://127.0.0.1:2' } }
";
        let before = table(before, None);
        let after = table(after, Some(&before));
        let is_kept = |upstream: &Arc<Upstream>| before.upstreams.iter().any(|known| Arc::ptr_eq(known, upstream));
        assert_eq!(after.upstreams.iter().map(is_kept).collect::<Vec<_>>(), [false, false, true]);
    }
}
