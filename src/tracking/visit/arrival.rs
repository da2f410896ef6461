//! Clicks that a request brings: by its own query, by the page it was asked from, or held back until the
//! visitor had chosen.

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{Request, consents::Consents};
use crate::tracking::{
    click::{ClickId, InvalidClickId, Keep},
    consent::{Decision, PendingClick},
    network::{Mode, NetworkRules},
    site::SiteRules,
    timestamp::Timestamp,
};

/// Click IDs of one network that have arrived.
#[derive(Debug)]
pub(super) struct FoundClick {
    pub(super) network: usize,
    pub(super) arrived: Result<Arrived, InvalidClickId>,
    /// What becomes of them before the visitor has chosen; `None` when they may be kept.
    pub(super) withheld: Option<Withheld>,
    /// Whether they stand in this request's own query.
    pub(super) is_landing: bool,
    /// Since when they were held for the choice.
    pub(super) held_since: Option<Timestamp>,
}

/// Click IDs that passed all checks.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Those that are new.
    pub(super) ids: Vec<ClickId>,
    /// What the cookie is to hold.
    pub(super) kept: Vec<ClickId>,
    pub(super) changes_cookie: bool,
}

/// Why a click is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withheld {
    /// The visitor has refused.
    Refused,
    /// Until a later request whose Referer still carries it.
    UntilReferer,
    /// In a sealed cookie.
    Held,
    /// For good.
    Dropped,
}

/// Clicks of one network in the sealed cookie that holds them until the visitor has chosen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct HeldClick {
    /// When they arrived.
    pub(super) at: Timestamp,
    /// The network's key.
    pub(super) network: String,
    /// Checked again when they are taken out.
    pub(super) ids: Vec<String>,
}

/// Finds the clicks of all networks that act.
pub(super) fn find_clicks(site: &SiteRules, request: &Request<'_>, consents: &Consents) -> Vec<FoundClick> {
    let referred = consents.reads_referers().then(|| request.query_of_referer()).flatten().unwrap_or_default();
    if request.query.is_empty() && referred.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<FoundClick> = Vec::new();
    for (index, network) in site.networks.iter().enumerate() {
        if site.mode_of(network) != Mode::On || is_repeated(site, index, network) {
            continue;
        }
        if let Some(result) = network.click.find(request.query) {
            let withheld = withheld(site, consents.of(index));
            found.push(read(index, network, request.headers, result, withheld));
        } else if !referred.is_empty()
            && consents.of(index) == Decision::Granted
            && let Some(Ok(ids)) = network.click.find(referred)
        {
            let mut click = read(index, network, request.headers, Ok(ids), None);
            click.is_landing = false;
            // What the cookie holds already was found by an earlier request of this page.
            if !click.is_known(&network.click.carried(request.headers)) {
                found.push(click);
            }
        }
    }
    found
}

/// Clicks that were held until now, as far as the visitor has agreed to them.
pub(super) fn promoted(
    site: &SiteRules,
    headers: &HeaderMap,
    held: &[HeldClick],
    consents: &Consents,
    found: &[FoundClick],
) -> Vec<FoundClick> {
    let mut all = Vec::new();
    for HeldClick { at, network: key, ids } in held {
        let Some(index) = site.networks.iter().position(|network| &*network.key == key.as_str()) else { continue };
        let Some(network) = site.networks.get(index) else { continue };
        let is_found = found.iter().any(|click| click.network == index);
        if is_found || consents.of(index) != Decision::Granted || site.mode_of(network) != Mode::On {
            continue;
        }
        let ids: Vec<ClickId> = ids.iter().filter_map(|id| ClickId::parse(id).ok()).collect();
        if !ids.is_empty() {
            let mut click = read(index, network, headers, Ok(ids), None);
            click.is_landing = false;
            click.held_since = Some(*at);
            all.push(click);
        }
    }
    all
}

impl FoundClick {
    fn is_known(&self, carried: &[ClickId]) -> bool {
        self.arrived.as_ref().is_ok_and(|arrived| arrived.ids.iter().all(|id| carried.contains(id)))
    }
}

fn read(
    index: usize,
    network: &NetworkRules,
    headers: &HeaderMap,
    result: Result<Vec<ClickId>, InvalidClickId>,
    withheld: Option<Withheld>,
) -> FoundClick {
    let rule = &network.click;
    let arrived = result.map(|ids| {
        let known = rule.carried(headers);
        // Last click: the cookie is set again even when it says the same, to renew its life.
        let changes_cookie = rule.keep != Keep::First || known.is_empty();
        Arrived { kept: rule.combine(known, ids.clone()), ids, changes_cookie }
    });
    FoundClick { network: index, arrived, withheld, is_landing: true, held_since: None }
}

fn withheld(site: &SiteRules, decision: Decision) -> Option<Withheld> {
    match decision {
        Decision::NotRequired | Decision::Granted => None,
        Decision::Denied => Some(Withheld::Refused),
        Decision::Pending => Some(match site.consent.pending {
            PendingClick::Referer => Withheld::UntilReferer,
            PendingClick::Hold => Withheld::Held,
            PendingClick::Drop => Withheld::Dropped,
        }),
    }
}

/// Whether an earlier network shares this one's cookie and parameter, and so speaks for both.
fn is_repeated(site: &SiteRules, index: usize, network: &NetworkRules) -> bool {
    site.networks
        .iter()
        .take(index)
        .any(|earlier| earlier.click.cookie == network.click.cookie && site.mode_of(earlier) == Mode::On)
}
