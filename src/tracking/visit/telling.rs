//! What one network makes of a hit: whether it hears of it, what it is told, and what tells it from a repeat.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    consents::{self, is_yes},
    facts::{Facts, Stage},
    plan::{Answered, Hold},
};
use crate::tracking::{
    consent::Decision,
    conversion::{ConversionRule, Outcome, SendRule},
    event::{Dedup, DedupKey, Event, EventId, Payload},
    journey::Journey,
    network::{Mode, NetworkRules},
    postback::{EventNames, Identity},
    site::{SHORT_WINDOW, SiteRules},
    timestamp::Timestamp,
    trigger::TriggerRule,
    value::View,
};

/// What a network makes of a hit.
pub(super) enum Step {
    Decided(Outcome),
    /// The body may change it, and may bring what its pixels need.
    Open {
        may_owe: bool,
    },
    Claim(Vec<String>),
    Row(Option<Hold>),
    /// It would be a row, but nobody is to hear of it.
    Unsent(Outcome),
}

/// What the body of the answer has still to tell.
#[derive(Clone, Copy)]
pub(super) struct Open {
    /// What tells this conversion from a repeat.
    pub(super) key: bool,
    /// Anything.
    pub(super) page: bool,
}

/// What is decided before it is known whether there is anything to report by.
pub(super) fn outcome_of(
    site: &SiteRules,
    rule: &ConversionRule,
    send: &SendRule,
    network: &NetworkRules,
    facts: &Facts<'_>,
    trigger: &TriggerRule,
    general: Option<Outcome>,
) -> Option<Outcome> {
    if site.mode_of(network) != Mode::On {
        return Some(Outcome::Off);
    }
    if general.is_some() {
        return general;
    }
    if !has_agreed_to(send, network, facts, trigger) {
        return Some(Outcome::NoConsent);
    }
    (!facts.is_credited(site, send, rule)).then_some(Outcome::NotCredited)
}

/// Whether the visitor has agreed to what a network does.
pub(super) fn has_agreed_to(send: &SendRule, network: &NetworkRules, facts: &Facts<'_>, trigger: &TriggerRule) -> bool {
    let remembers = |journey| has_agreed(journey, network);
    if facts.journey_is_late && trigger.caller.is_server() {
        // Only the journey can tell.
        true
    } else if trigger.caller.is_server() {
        // Another server brings no signals of the visitor's: what the journey knows decides.
        facts.consents.of(send.network) == Decision::NotRequired || facts.journey.is_some_and(remembers)
    } else {
        let decision = facts.consents.of(send.network);
        let cannot_tell = facts.is_sent_back && decision == Decision::Pending;
        is_yes(decision) || (cannot_tell && facts.journey.is_some_and(remembers))
    }
}

/// What nobody is to hear of comes to, in the place of what [`step`] has done: nothing is written down
/// for it, no key is taken, and no pixels are shown.
pub(super) fn step_unheard(
    rule: &ConversionRule,
    send: &SendRule,
    facts: &Facts<'_>,
    scope: &EventNames<'_>,
    open: Open,
    unheard: Outcome,
) -> Step {
    let is_attributable = send.is_attributable(scope);
    let waits_for_page = open.page && (is_attributable || !send.needs_click_only());
    if facts.journey_is_late || waits_for_page {
        Step::Open { may_owe: false }
    } else if !is_attributable {
        Step::Decided(Outcome::NoClick)
    } else if open.key || !send.missing(scope).is_empty() {
        Step::Decided(Outcome::Incomplete)
    } else if !facts.is_proven(&rule.proof) {
        Step::Decided(Outcome::Unproven)
    } else {
        Step::Unsent(unheard)
    }
}

/// Why nobody is to hear of a conversion, if that is so.
pub(super) const fn unheard(rule: &ConversionRule, facts: &Facts<'_>) -> Option<Outcome> {
    match (rule.is_shadow, facts.is_held) {
        (true, _) => Some(Outcome::Shadow),
        (false, true) => Some(Outcome::Held),
        (false, false) => None,
    }
}

/// What is to be done for a network that may hear of it.
#[expect(clippy::too_many_arguments, reason = "everything that this last decision depends on")]
pub(super) fn step(
    rule: &ConversionRule,
    send: &SendRule,
    network: &NetworkRules,
    facts: &Facts<'_>,
    scope: &EventNames<'_>,
    open: Open,
    may_owe: bool,
    plan: &mut Answered,
) -> Step {
    let candidate =
        |needs_journey| Hold::Candidate { needs_proof: !rule.proof.is_empty(), key_is_open: open.key, needs_journey };
    if facts.journey_is_late {
        return Step::Row(Some(candidate(true)));
    }
    let is_proven = facts.is_proven(&rule.proof);
    if !send.is_attributable(scope) {
        if open.page && !send.needs_click_only() {
            return Step::Open { may_owe };
        }
        let Some(sync) = network.counted_pixels() else { return Step::Decided(Outcome::NoClick) };
        // Pixels that the network counts must not be shown without the key that keeps them from being
        // counted twice; and when the body has ended, there is no room left in the page.
        if open.page && open.key && facts.room.is_open() {
            return Step::Open { may_owe };
        }
        if facts.stage == Stage::End && may_owe && is_proven && !open.key {
            return Step::Row(Some(Hold::Owed));
        }
        let can_be_shown = !open.key && facts.stage == Stage::Head && (open.page || rule.proof.is_empty());
        let pixels = facts.room.hold(|| sync.urls(scope)).filter(|_| can_be_shown);
        return match pixels {
            Some(pixels) => Step::Claim(pixels),
            None => {
                plan.unreached.push(send.network);
                Step::Decided(Outcome::NoClick)
            }
        };
    }
    if open.page {
        return Step::Row(Some(candidate(false)));
    }
    let mut missing = send.missing(scope);
    if !missing.is_empty() {
        // Whoever completes it must say that it was one.
        missing.extend((!is_proven).then(|| PROOF.to_owned()));
        return Step::Row(Some(Hold::Incomplete { missing }));
    }
    if !is_proven {
        return Step::Decided(Outcome::Unproven);
    }
    if open.key {
        return Step::Row(Some(Hold::Incomplete { missing: vec!["order_id".to_owned()] }));
    }
    Step::Row(None)
}

/// What a row of this network holds.
pub(super) fn payload_of(
    site: &SiteRules,
    send: &SendRule,
    trigger: &TriggerRule,
    facts: &Facts<'_>,
    view: View<'_>,
    fields: &BTreeMap<String, String>,
) -> Payload {
    let clicks = facts.clicks_of(site, send, view, fields);
    let mut payload = send.payload(view, fields, &|name| facts.context(site, trigger, name), clicks);
    payload.visitor = facts.keys.to_vec();
    let by_order = trigger.caller.is_server() || facts.is_sent_back;
    if let Some(journey) = facts.journey.filter(|_| by_order) {
        // So that the visitor's withdrawal, or erasure, finds it.
        payload.visitor.extend(journey.keys.keys().filter(|key| !facts.keys.contains(key)));
    }
    payload
}

pub(super) fn names<'a>(
    rule: &'a ConversionRule,
    send: &'a SendRule,
    payload: &'a Payload,
    id: EventId,
    time: Timestamp,
) -> EventNames<'a> {
    EventNames::new(&send.postback.names, payload, Identity { id, time, conversion: &rule.name })
}

pub(super) fn event(
    site: &SiteRules,
    rule: &ConversionRule,
    network: &NetworkRules,
    id: EventId,
    time: Timestamp,
    payload: Payload,
) -> Event {
    let (site, conversion, network) = (site.name.clone(), rule.name.clone(), network.key.clone());
    Event { id, time, site, conversion, network, payload }
}

/// What tells this conversion from a repeat: its order, else the click, else the visitor.
///
/// Goals and other parameters are no part of it: an order that is reported with another goal is still
/// the same order.
pub(super) fn dedup_of(
    site: &SiteRules,
    rule: &ConversionRule,
    network: &NetworkRules,
    once: Option<&str>,
    payload: &Payload,
    visitor: &mut dyn FnMut() -> Option<Uuid>,
) -> Option<Dedup> {
    if let Some(once) = once {
        return Some(Dedup {
            key: DedupKey::once(&site.name, &rule.name, &network.key, once),
            window: rule.dedup_window,
        });
    }
    if !payload.clicks.is_empty() {
        let key = DedupKey::clicks(&site.name, &rule.name, &network.key, &payload.clicks);
        return Some(Dedup { key, window: SHORT_WINDOW });
    }
    let visitor = visitor()?.to_string();
    let key = DedupKey::new(&[&site.name, &rule.name, &network.key, "visitor", &visitor]);
    Some(Dedup { key, window: SHORT_WINDOW })
}

/// What the visitor had chosen when the journey was last described.
fn has_agreed(journey: &Journey, network: &NetworkRules) -> bool {
    journey.consent.as_ref().is_some_and(|consent| consents::has_agreed(&consent.text, &network.key))
}

/// The name under which a person vouches for a page that did not show what it must.
const PROOF: &str = "proof";
