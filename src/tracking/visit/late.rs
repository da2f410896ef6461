//! Verdicts that are still open when a page is answered: what a visit may do about them.
//!
//! The cookie that names them is read and written here. What became of them is asked elsewhere, where
//! there is a store.

use http::{HeaderMap, Method};

use super::{Request, Visit, consents::Consents, opening::accepts_html};
use crate::tracking::{
    cookie::{self, SetCookie},
    human::not_a_visit,
    late::{LATE_COOKIE, LateSync, waits_for},
    network::{Mode, NetworkRules},
    site::{MAX_COOKIES, SiteRules},
    timestamp::Timestamp,
};

/// What the cookie that names open verdicts means for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LateMark {
    /// There is none.
    #[default]
    Absent,
    /// It is there, but no page is looked at that could show anything.
    Carried,
    /// The answer may be a page that shows what has come to light.
    MayShow,
}

/// Reads what the cookie means for this request.
pub(super) fn find(site: &SiteRules, request: &Request<'_>, consents: &Consents) -> LateMark {
    let may_be_there = site.seal.is_some() && site.mode == Mode::On && site.networks.iter().any(waits_for);
    if !may_be_there || cookie::find(request.headers, LATE_COOKIE).is_none() {
        return LateMark::Absent;
    }
    let is_page = request.method == Method::GET
        && accepts_html(request.headers)
        && not_a_visit(request.method, request.headers).is_none();
    let may_show = |index| may_show(site, consents, index);
    let shows = is_page && (0..site.networks.len()).any(may_show);
    if shows { LateMark::MayShow } else { LateMark::Carried }
}

/// Whether a network's pixels may follow a verdict, as far as its rules and the visitor's choice go.
fn may_show(site: &SiteRules, consents: &Consents, network: usize) -> bool {
    let acts = |network: &NetworkRules| site.mode_of(network) == Mode::On && waits_for(network);
    site.networks.get(network).is_some_and(acts) && consents.allows(network)
}

impl Visit {
    /// Whether verdicts must be looked up for this page.
    #[must_use]
    pub fn may_show_late(&self) -> bool {
        self.late == LateMark::MayShow
    }

    /// Whether this network's pixels may follow its verdict.
    #[must_use]
    pub fn may_show_late_of(&self, network: usize) -> bool {
        may_show(&self.site, &self.consents, network)
    }

    /// What the cookie of the request that is visited says; `None` without one that counts.
    #[must_use]
    pub fn late_of(&self, headers: &HeaderMap, now: Timestamp) -> Option<LateSync> {
        let seal = self.site.seal.as_deref().filter(|_| self.late != LateMark::Absent)?;
        LateSync::carried(headers, seal, &self.site.name, now)
    }

    /// The cookie that names these, if there is room for it beside those that are `set`.
    #[must_use]
    pub fn late_cookie(&self, late: &LateSync, set: &[String]) -> Option<String> {
        let value = late.cookie_value(self.site.seal.as_deref()?, &self.site.name);
        let cookie = &self.site.late_cookie;
        self.has_room_for(cookie, &value, set).then(|| cookie.line(&value, &self.host, self.over_tls))
    }

    /// The end of that cookie.
    #[must_use]
    pub fn no_late_cookie(&self) -> String {
        self.site.late_cookie.erasing_line(&self.host, self.over_tls)
    }

    /// The path of a frame that awaits these.
    #[must_use]
    pub fn late_frame(&self, late: &LateSync) -> Option<String> {
        let SiteRules { seal, endpoint, name, .. } = &*self.site;
        Some(format!("{endpoint}/frame/{}", late.token(seal.as_deref()?, name)))
    }

    /// Whether all our cookies together stay under their limit with this one.
    pub(super) fn has_room_for(&self, cookie: &SetCookie, value: &str, set: &[String]) -> bool {
        let planned: usize = set.iter().map(|line| line.split(';').next().map_or(0, str::len)).sum();
        self.cookie_bytes + planned + cookie.name().len() + 1 + value.len() <= MAX_COOKIES
    }
}
