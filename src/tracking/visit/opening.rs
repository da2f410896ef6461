//! A request as it arrives: whether tracking has anything to say about it, and what it brings.

use std::sync::Arc;

use http::{HeaderMap, Method};
use uuid::Uuid;

use super::{
    Answered, Consents, Record, Reply, Request, Room, Visit, Withdrawal,
    arrival::{self, FoundClick, HeldClick},
    forgetting,
    hit::Hit,
    late::{self, LateMark},
    remembrance::{self, Passing},
};
use crate::tracking::{
    body::RequestBody,
    cookie,
    human::{NotAVisit, not_a_visit},
    late::LATE_COOKIE,
    network::{Mode, NetworkRules, SyncPages},
    site::{SiteRules, normal_host},
    timestamp::Timestamp,
    visitor::VISITOR_COOKIE,
};

/// What clicks and consent say, whatever page was asked for.
struct Arrivals {
    consents: Consents,
    clicks: Vec<FoundClick>,
    held: Option<Vec<HeldClick>>,
    withdrawal: Option<Withdrawal>,
}

/// What rules want of this page.
#[derive(Default)]
struct Matches {
    hits: Vec<Hit>,
    captures: Vec<Passing>,
    channel: Option<String>,
    sync_everywhere: Vec<usize>,
    late: LateMark,
    is_bridged: bool,
}

impl Visit {
    /// Reads a request; `None` when tracking has nothing to say about it.
    #[must_use]
    pub fn begin(site: &Arc<SiteRules>, request: &Request<'_>) -> Option<Self> {
        let arrivals = Arrivals::read(site, request);
        let matches = Matches::find(site, request, &arrivals.consents);
        // Most requests end here, before anything is copied.
        if arrivals.is_empty() && matches.is_empty() {
            return None;
        }
        Some(Self::new(site, request, arrivals, matches))
    }

    /// What follows from a choice that a visitor has just made, told by `request`, which is no page.
    ///
    /// Clicks that waited for it are kept or let go, and what must not be known any more is forgotten;
    /// nothing else about the request counts.
    pub fn chosen(
        site: &Arc<SiteRules>,
        request: &Request<'_>,
        now: Timestamp,
        uuid: &mut dyn FnMut() -> Uuid,
    ) -> Answered {
        let request = Request { query: "", ..*request };
        let mut visit = Self::new(site, &request, Arrivals::read(site, &request), Matches::default());
        let reply = Reply { status: 204, headers: &HeaderMap::new(), may_have_body: false, room: Room::Closed, now };
        visit.answered(reply, None, uuid)
    }

    fn new(site: &Arc<SiteRules>, request: &Request<'_>, arrivals: Arrivals, matches: Matches) -> Self {
        let Arrivals { consents, clicks, held, withdrawal } = arrivals;
        let Matches { hits, captures, channel, sync_everywhere, late, is_bridged } = matches;
        let is_recorded = !hits.is_empty() || !captures.is_empty();
        let knows_visitor = is_recorded || site.keeps_journeys();
        let visitor = site.seal.as_ref().filter(|_| knows_visitor).and_then(|seal| seal.open(request.headers));
        let sessions = remembrance::sessions(site, request.headers);
        Self {
            is_sent_back: visitor.is_none() && sessions.is_empty() && request.is_form_of_another_site(),
            site: Arc::clone(site),
            host: normal_host(request.host()).into_owned(),
            port: port(request.host()),
            over_tls: request.client.over_tls,
            has_body: request.method != Method::HEAD,
            disregard: not_a_visit(request.method, request.headers),
            sessions,
            cookie_bytes: our_cookies(site, request.headers, &clicks),
            held_on: forgetting::held_on(site, request.headers, &clicks),
            withdrawal,
            consents,
            clicks,
            landed: Vec::new(),
            held,
            channel,
            hits,
            captures,
            record: is_recorded.then(|| Box::new(Record::of(request))),
            body: RequestBody::default(),
            answer: None,
            sync_everywhere,
            is_bridged,
            late,
            is_held: false,
            visitor,
        }
    }
}

impl Arrivals {
    fn read(site: &SiteRules, request: &Request<'_>) -> Self {
        let consents = Consents::read(site, request);
        let mut clicks = arrival::find_clicks(site, request, &consents);
        let held = forgetting::held(site, request.headers, &consents);
        if let Some(held) = &held {
            clicks.extend(arrival::promoted(site, request.headers, held, &consents, &clicks));
        }
        let withdrawal = forgetting::withdrawal(site, request.headers, &consents);
        Self { consents, clicks, held, withdrawal }
    }

    const fn is_empty(&self) -> bool {
        self.clicks.is_empty() && self.held.is_none() && self.withdrawal.is_none()
    }
}

impl Matches {
    fn find(site: &SiteRules, request: &Request<'_>, consents: &Consents) -> Self {
        let conversions = site.conversions.iter().enumerate();
        Self {
            hits: conversions
                .filter_map(|(index, rule)| Hit::find(index, rule, request.method, request.path))
                .collect(),
            captures: remembrance::find(site, request),
            channel: remembrance::channel(site, request),
            sync_everywhere: find_matches(site, request, consents),
            late: late::find(site, request, consents),
            is_bridged: is_bridged(site, request),
        }
    }

    const fn is_empty(&self) -> bool {
        self.hits.is_empty()
            && self.captures.is_empty()
            && self.channel.is_none()
            && self.sync_everywhere.is_empty()
            && !matches!(self.late, LateMark::MayShow)
            && !self.is_bridged
    }
}

/// The port that stands in a `Host`.
fn port(host: &str) -> Option<u16> {
    let (_, port) = host.rsplit_once(':')?;
    port.parse().ok()
}

/// Networks whose cookies are matched on every page and whose marker this visitor does not carry.
fn find_matches(site: &SiteRules, request: &Request<'_>, consents: &Consents) -> Vec<usize> {
    let unmarked = |network: &NetworkRules| match network.sync.as_ref().map(|sync| &sync.pages) {
        Some(SyncPages::All { marker }) => {
            request.method == Method::GET
                && site.mode_of(network) == Mode::On
                && accepts_html(request.headers)
                && cookie::find(request.headers, marker.name()).is_none()
        }
        Some(SyncPages::Conversion) | None => false,
    };
    let networks = site.networks.iter().enumerate();
    networks.filter(|(index, network)| unmarked(network) && consents.allows(*index)).map(|(index, _)| index).collect()
}

/// Whether the page that is asked for gets the script, if it is one.
///
/// One that is fetched ahead does: it may be shown later. HEAD says what GET would.
fn is_bridged(site: &SiteRules, request: &Request<'_>) -> bool {
    let is_asked = site.consent.bridge && site.mode == Mode::On && accepts_html(request.headers);
    is_asked
        && matches!(*request.method, Method::GET | Method::HEAD)
        && matches!(not_a_visit(&Method::GET, request.headers), None | Some(NotAVisit::Prefetch))
}

pub(super) fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(http::header::ACCEPT)
        .iter()
        .any(|value| memchr::memmem::find(value.as_bytes(), b"text/html").is_some())
}

/// How many bytes our cookies take in this request, those about to be replaced left out.
fn our_cookies(site: &SiteRules, headers: &HeaderMap, replaced: &[FoundClick]) -> usize {
    if !headers.contains_key(http::header::COOKIE) {
        return 0;
    }
    let mut names: Vec<&str> = site.networks.iter().map(|network| network.click.cookie.as_str()).collect();
    names.extend([VISITOR_COOKIE, LATE_COOKIE]);
    names.sort_unstable();
    names.dedup();
    let is_replaced = |name: &str| {
        replaced
            .iter()
            .any(|found| site.networks.get(found.network).is_some_and(|network| network.click.cookie == name))
    };
    names
        .into_iter()
        .filter(|name| !is_replaced(name))
        .filter_map(|name| Some(name.len() + 1 + cookie::find(headers, name)?.len()))
        .sum()
}
