//! Consent that is not there yet, and consent that is gone: clicks that are held back, and what is
//! deleted when a visitor withdraws.

use std::iter;

use http::HeaderMap;

use super::{
    Visit,
    arrival::{FoundClick, HeldClick, Withheld},
    consents::Consents,
    plan::{Answered, Withdrawal},
};
use crate::tracking::{
    consent::{Decision, PendingClick},
    cookie::{self, SetCookie},
    network::{NetworkRules, SyncPages},
    site::SiteRules,
    timestamp::Timestamp,
    visitor::VISITOR_COOKIE,
};

/// The clicks that were held back for this visitor.
pub(super) fn held(site: &SiteRules, headers: &HeaderMap, consents: &Consents) -> Option<Vec<HeldClick>> {
    if site.consent.pending != PendingClick::Hold || consents.is_pending() {
        return None;
    }
    let sealed = cookie::find(headers, HOLD_COOKIE)?;
    // One that can't be read is still to be deleted.
    Some(opened(site, sealed))
}

/// Those that are held on beside the ones that have just come.
pub(super) fn held_on(site: &SiteRules, headers: &HeaderMap, found: &[FoundClick]) -> Vec<HeldClick> {
    if !found.iter().any(|click| click.withheld == Some(Withheld::Held)) {
        return Vec::new();
    }
    cookie::find(headers, HOLD_COOKIE).map(|sealed| opened(site, sealed)).unwrap_or_default()
}

fn opened(site: &SiteRules, sealed: &str) -> Vec<HeldClick> {
    let text = site.seal.as_ref().and_then(|seal| seal.open_text(HOLD_COOKIE, sealed));
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// What a visitor who says no has left with us, as far as the request shows.
pub(super) fn withdrawal(site: &SiteRules, headers: &HeaderMap, consents: &Consents) -> Option<Withdrawal> {
    if consents.is_free() || !headers.contains_key(http::header::COOKIE) {
        return None;
    }
    let mut withdrawal = Withdrawal::default();
    let mut has_cookie = false;
    for (index, network) in site.networks.iter().enumerate() {
        if consents.of(index) != Decision::Denied {
            continue;
        }
        has_cookie |= marker(network).is_some_and(|marker| cookie::find(headers, marker.name()).is_some());
        if cookie::find(headers, &network.click.cookie).is_some() {
            has_cookie = true;
            let ids = network.click.carried(headers);
            withdrawal.clicks.extend(ids.into_iter().map(|id| (network.key.to_string(), id.as_str().to_owned())));
        }
    }
    if consents.site == Decision::Denied && cookie::find(headers, VISITOR_COOKIE).is_some() {
        has_cookie = true;
        let visitor = site.seal.as_ref().and_then(|seal| seal.open(headers));
        let names = site.journeys.as_ref().zip(visitor);
        withdrawal.journeys.extend(names.and_then(|(names, visitor)| names.visitor(&site.name, visitor)));
        withdrawal.journeys.extend(super::remembrance::sessions(site, headers));
    }
    if consents.site == Decision::Denied {
        has_cookie |= cookie::find(headers, site.late_cookie.name()).is_some();
    }
    has_cookie.then_some(withdrawal)
}

/// The cookie by which it is known that a network has matched its own.
fn marker(network: &NetworkRules) -> Option<&SetCookie> {
    match &network.sync.as_ref()?.pages {
        SyncPages::All { marker } => Some(marker),
        SyncPages::Conversion => None,
    }
}

impl Visit {
    /// Plans that our cookies go where the visitor says no, and that held clicks are let go.
    pub(super) fn plan_forgetting(&mut self, now: Timestamp, plan: &mut Answered) {
        if plan.withdrawal.is_some() {
            let is_denied = |network: &usize| self.consents.of(*network) == Decision::Denied;
            let denied = self.site.networks.iter().enumerate().filter(|(index, _)| is_denied(index));
            let cookies = denied.flat_map(|(_, network)| iter::once(&network.cookie).chain(marker(network)));
            let ours = [&self.site.visitor_cookie, &self.site.late_cookie];
            let is_all = self.consents.site == Decision::Denied;
            let mut names = Vec::new();
            for cookie in cookies.chain(ours.into_iter().filter(|_| is_all)) {
                // Two networks may share one.
                if !names.contains(&cookie.name()) {
                    names.push(cookie.name());
                    plan.set_cookies.push(cookie.erasing_line(&self.host, self.over_tls));
                }
            }
            if is_all {
                self.visitor = None;
            }
        }
        if self.held.take().is_some() {
            plan.set_cookies.push(self.site.hold_cookie.erasing_line(&self.host, self.over_tls));
            let longest = self.site.consent.hold_for;
            self.clicks.retain(|click| click.held_since.is_none_or(|at| now.since(at) <= longest));
        }
    }

    /// Plans the sealed cookie that holds clicks until the visitor has chosen.
    pub(super) fn hold(&mut self, fresh: Vec<HeldClick>, now: Timestamp, plan: &mut Answered) {
        let Some(seal) = self.site.seal.as_ref().filter(|_| !fresh.is_empty()) else { return };
        let mut held = std::mem::take(&mut self.held_on);
        let is_over = |old: &HeldClick| now.since(old.at) > self.site.consent.hold_for;
        held.retain(|old| !is_over(old) && !fresh.iter().any(|click| click.network == old.network));
        held.extend(fresh);
        // The oldest goes first.
        while !held.is_empty() {
            let Ok(text) = serde_json::to_string(&held) else { return };
            let sealed = seal.seal_text(HOLD_COOKIE, &text);
            if sealed.len() <= MAX_HELD {
                return plan.set_cookies.push(self.site.hold_cookie.session_line(&sealed, &self.host, self.over_tls));
            }
            held.remove(0);
        }
    }
}

/// The name of the cookie that holds clicks until the visitor has chosen.
pub const HOLD_COOKIE: &str = "_tl_hold";
/// Browsers keep 4 KiB of a cookie.
const MAX_HELD: usize = 3500;
