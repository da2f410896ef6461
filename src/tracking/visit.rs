//! One request, decided: what it brings is read when it arrives, what follows is planned when the
//! site has answered.
//!
//! A visit does nothing itself. It returns plans, and whoever holds it carries them out; so it needs
//! no clock, no randomness and no store, and every decision can be tested as a function.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, Method};
use uuid::Uuid;

use super::{
    click::{self, ClickId, ClickResult, InvalidClickId},
    cookie::{self, SetCookie},
    human::{NotAVisit, not_a_visit},
    network::{Mode, NetworkRules, SyncPages},
    site::{MAX_COOKIES, SiteRules, normal_host},
    timestamp::Timestamp,
    value::RequestView,
    visitor::VISITOR_COOKIE,
};

mod hit;

pub use hit::{Decided, PlannedClaim, PlannedRow};
use hit::{Facts, Hit};

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The raw path.
    pub path: &'a str,
    /// The raw query without its `?`, empty when there is none.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The host of an absolute address or of HTTP/2's `:authority`; without one, `Host` says it.
    pub authority: Option<&'a str>,
    /// Who sent it, and how.
    pub client: Client,
}

/// Who sent a request, as far as it can be trusted.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The visitor's address.
    pub address: IpAddr,
    /// Whether the visitor's browser speaks TLS with us, or with a trusted proxy before us.
    pub over_tls: bool,
}

/// Which pixels a page can carry.
#[derive(Clone, Copy)]
pub enum Room<'a> {
    /// None: it cannot be edited.
    Closed,
    /// Those whose addresses its policy lets load.
    For(&'a dyn Fn(&str) -> bool),
}

impl Room<'_> {
    const fn is_open(self) -> bool {
        matches!(self, Self::For(_))
    }

    /// The addresses that there is room for; `None` when there is none for any of them.
    fn hold(self, urls: impl FnOnce() -> Vec<String>) -> Option<Vec<String>> {
        let Self::For(lets_load) = self else { return None };
        let mut urls = urls();
        let wanted = urls.len();
        urls.retain(|url| lets_load(url));
        (!urls.is_empty() || wanted == 0).then_some(urls)
    }
}

/// One request that tracking has something to say about.
#[derive(Debug)]
pub struct Visit {
    site: Arc<SiteRules>,
    host: String,
    port: Option<u16>,
    over_tls: bool,
    /// Whether it can be answered with a page at all: GET or POST, no HEAD.
    has_body: bool,
    disregard: Option<NotAVisit>,
    clicks: Vec<FoundClick>,
    hits: Vec<Hit>,
    sync_everywhere: Vec<usize>,
    known_visitor: Option<Uuid>,
    cookie_bytes: usize,
}

#[derive(Debug)]
struct FoundClick {
    network: usize,
    result: Result<Vec<ClickId>, InvalidClickId>,
    changes_cookie: bool,
}

/// What follows from the site's answer.
#[derive(Debug, Default)]
pub struct Answered {
    /// `Set-Cookie` headers.
    pub set_cookies: Vec<String>,
    /// What became of click parameters, by network.
    pub clicks: Vec<(usize, ClickResult)>,
    /// Outcomes that need no store.
    pub decided: Vec<Decided>,
    /// Conversions to be written down.
    pub rows: Vec<PlannedRow>,
    /// Dedup keys to be taken before counted pixels are shown.
    pub claims: Vec<PlannedClaim>,
    /// Pixels of pure cookie matches, by network, with the cookie that remembers them.
    pub matches: Vec<(usize, Vec<String>)>,
    /// Networks whose pixels the page could not carry.
    pub unreached: Vec<usize>,
    /// Conversions that nothing tells apart from their repeats.
    pub undeduplicated: Vec<usize>,
}

impl Visit {
    /// Reads a request; `None` when tracking has nothing to say about it.
    #[must_use]
    pub fn begin(site: &Arc<SiteRules>, request: &Request<'_>) -> Option<Self> {
        let clicks = find_clicks(site, request);
        let mut hits = Vec::new();
        for (index, rule) in site.conversions.iter().enumerate() {
            if let Some(path) = rule.matches(request.method, request.path) {
                hits.push(Hit::read(site, index, rule, request, &path));
            }
        }
        let sync_everywhere = find_matches(site, request);
        if clicks.is_empty() && hits.is_empty() && sync_everywhere.is_empty() {
            return None;
        }
        let cookie_bytes = our_cookies(site, request.headers, &clicks);
        let visitor = site.seal.as_ref().filter(|_| !hits.is_empty()).and_then(|seal| seal.open(request.headers));
        Some(Self {
            site: Arc::clone(site),
            host: normal_host(request.host()).into_owned(),
            port: port(request.host()),
            over_tls: request.client.over_tls,
            has_body: request.method != Method::HEAD,
            disregard: not_a_visit(request.method, request.headers),
            clicks,
            hits,
            sync_everywhere,
            known_visitor: visitor,
            cookie_bytes,
        })
    }

    /// Whether a click parameter arrived: a 304 could not carry its cookie, so the site must not be
    /// asked conditionally.
    #[must_use]
    pub fn has_click_parameter(&self) -> bool {
        !self.clicks.is_empty()
    }

    /// Where the page stands for the visitor's browser: scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> (&'static str, &str, Option<u16>) {
        (if self.over_tls { "https" } else { "http" }, &self.host, self.port)
    }

    /// Whether pixels may have to go into the page, so that the site must be asked for all of it, plain.
    ///
    /// For HEAD: whether they may have to with GET, so that both get the same head.
    #[must_use]
    pub fn may_edit_page(&self) -> bool {
        let counts = self.disregard.is_none() || !self.has_body;
        let shows = || self.hits.iter().any(|hit| hit.may_show_pixels(&self.site));
        counts && (!self.sync_everywhere.is_empty() || shows())
    }

    /// The conversions that this request matches.
    pub fn conversions(&self) -> impl Iterator<Item = usize> {
        self.hits.iter().map(|hit| hit.conversion)
    }

    /// Whether the answer has a body when its head allows one.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        self.has_body
    }

    /// Plans what follows from the site's final answer.
    ///
    /// `room` says which pixels can go into this page; `uuid` makes fresh identifiers.
    pub fn answered(
        &mut self,
        status: u16,
        room: Room<'_>,
        now: Timestamp,
        uuid: &mut dyn FnMut() -> Uuid,
    ) -> Answered {
        let mut plan = Answered::default();
        self.plan_clicks(status, &mut plan);
        let mut fresh_visitor = None;
        for hit in std::mem::take(&mut self.hits) {
            let mut visitor = || match (self.known_visitor, &self.site.seal) {
                (Some(known), _) => Some(known),
                (None, Some(_)) => Some(*fresh_visitor.get_or_insert_with(&mut *uuid)),
                (None, None) => None,
            };
            let facts = Facts { disregard: self.disregard, status, room, now };
            hit.plan(&self.site, facts, &mut visitor, &mut plan);
        }
        if let (Some(visitor), Some(seal)) = (fresh_visitor, &self.site.seal) {
            let sealed = seal.seal(visitor);
            self.set_cookie(&self.site.visitor_cookie, &sealed, &mut plan);
        }
        for row in &mut plan.rows {
            row.event_id_from(uuid);
        }
        for claim in &mut plan.claims {
            claim.event_id_from(uuid);
        }
        self.plan_matches(status, room, &mut plan);
        plan
    }

    fn plan_clicks(&mut self, status: u16, plan: &mut Answered) {
        let site = Arc::clone(&self.site);
        for found in std::mem::take(&mut self.clicks) {
            let Some(network) = site.networks.get(found.network) else { continue };
            let result = match found.result {
                Err(reason) => ClickResult::Invalid(reason),
                Ok(_) if self.disregard.is_some() => ClickResult::NotVisited,
                Ok(_) if status == 101 => ClickResult::Unset,
                Ok(_) if status == 304 => ClickResult::NotModified,
                Ok(_) if !found.changes_cookie => ClickResult::Kept,
                Ok(ids) => {
                    let value = click::cookie_value(&ids);
                    if self.set_cookie(&network.cookie, &value, plan) {
                        ClickResult::Accepted
                    } else {
                        ClickResult::Oversized
                    }
                }
            };
            plan.clicks.push((found.network, result));
        }
    }

    fn plan_matches(&mut self, status: u16, room: Room<'_>, plan: &mut Answered) {
        let site = Arc::clone(&self.site);
        for index in std::mem::take(&mut self.sync_everywhere) {
            let Some(network) = site.networks.get(index) else { continue };
            let Some(sync) = &network.sync else { continue };
            let SyncPages::All { marker } = &sync.pages else { continue };
            if status != 200 || !room.is_open() || self.disregard.is_some() {
                continue;
            }
            match room.hold(|| sync.urls(&NoNames)) {
                // Most pages that can't be edited want no pixels; one whose policy forbids them does.
                None => plan.unreached.push(index),
                Some(urls) if self.set_cookie(marker, "1", plan) => plan.matches.push((index, urls)),
                Some(_) => {}
            }
        }
    }

    /// Plans a cookie, unless all of ours together would grow over their limit.
    fn set_cookie(&self, cookie: &SetCookie, value: &str, plan: &mut Answered) -> bool {
        let planned: usize = plan.set_cookies.iter().map(|line| line.split(';').next().map_or(0, str::len)).sum();
        let fits = self.cookie_bytes + planned + cookie.name().len() + 1 + value.len() <= MAX_COOKIES;
        if fits {
            plan.set_cookies.push(cookie.line(value, &self.host, self.over_tls));
        }
        fits
    }
}

fn find_clicks(site: &SiteRules, request: &Request<'_>) -> Vec<FoundClick> {
    if request.query.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<FoundClick> = Vec::new();
    for (index, network) in site.networks.iter().enumerate() {
        let rule = &network.click;
        if site.mode_of(network) != Mode::On || is_repeated(site, index, network) {
            continue;
        }
        let Some(result) = rule.find(request.query) else { continue };
        found.push(match result {
            Err(reason) => FoundClick { network: index, result: Err(reason), changes_cookie: false },
            Ok(arrived) => {
                let known = rule.carried(request.headers);
                let kept = rule.combine(known.clone(), arrived);
                // Last click: the cookie is set again even when it says the same, to renew its life.
                let changes_cookie = rule.keep != click::Keep::First || known.is_empty();
                FoundClick { network: index, result: Ok(kept), changes_cookie }
            }
        });
    }
    found
}

/// The port that stands in a `Host`.
fn port(host: &str) -> Option<u16> {
    let (_, port) = host.rsplit_once(':')?;
    port.parse().ok()
}

/// Whether an earlier network shares this one's cookie and parameter, and so speaks for both.
fn is_repeated(site: &SiteRules, index: usize, network: &NetworkRules) -> bool {
    site.networks
        .iter()
        .take(index)
        .any(|earlier| earlier.click.cookie == network.click.cookie && site.mode_of(earlier) == Mode::On)
}

/// Networks whose cookies are matched on every page and whose marker this visitor does not carry.
fn find_matches(site: &SiteRules, request: &Request<'_>) -> Vec<usize> {
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
    networks.filter(|(_, network)| unmarked(network)).map(|(index, _)| index).collect()
}

fn accepts_html(headers: &HeaderMap) -> bool {
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
    names.push(VISITOR_COOKIE);
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

impl<'a> Request<'a> {
    /// The host it was sent to, as it was sent.
    fn host(&self) -> &str {
        let host = self.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        host.or(self.authority).unwrap_or_default()
    }

    fn view<'b>(&'b self, path: &'b [(String, String)]) -> RequestView<'b>
    where
        'a: 'b,
    {
        RequestView { query: self.query, path, headers: self.headers }
    }
}

/// Pixels of a pure cookie match know no conversion.
struct NoNames;

impl super::template::Scope for NoNames {
    fn lookup(&self, _: &str) -> Option<super::event::Datum> {
        None
    }
}

#[cfg(test)]
mod tests;
