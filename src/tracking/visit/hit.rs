//! A conversion's trigger that a request matched: what is read for it, and what is to be done about it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    consents::{self, is_yes},
    facts::{Facts, Stage},
    plan::{Answered, ClaimEnd, Decided, Hold, PlannedClaim, PlannedRow},
};
use crate::tracking::{
    consent::Decision,
    conversion::{ConversionRule, Outcome, SendRule},
    event::{Dedup, DedupKey, Event, EventId, Payload},
    human::NotAVisit,
    journey::Journey,
    late::{self, Awaited},
    network::{Mode, NetworkRules},
    postback::{EventNames, Identity},
    site::{SHORT_WINDOW, SiteRules},
    timestamp::Timestamp,
    trigger::TriggerRule,
    value::View,
};

/// A matched trigger.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) conversion: usize,
    pub(super) trigger: usize,
    pub(super) path: Vec<(String, String)>,
    /// What waits for the body of the answer, by place under `send`.
    pub(super) waiting: Vec<Waiting>,
}

/// What became of one network when the head of the answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// It was decided.
    Decided,
    /// Nothing is written down; the body may bring what is missing. With an id, the browser has been
    /// told to ask for pixels in the end.
    Open(Option<EventId>),
    /// A candidate is written down.
    Candidate(EventId),
    /// Pixels may be shown, and a key is taken for them.
    Claim(EventId, Option<Dedup>),
}

/// What a network makes of a hit.
enum Step {
    Decided(Outcome),
    /// The body may change it, and may bring what its pixels need.
    Open {
        may_owe: bool,
    },
    Claim(Vec<String>),
    Row(Option<Hold>),
}

/// What the body of the answer has still to tell.
#[derive(Clone, Copy)]
struct Open {
    /// What tells this conversion from a repeat.
    key: bool,
    /// Anything.
    page: bool,
}

impl Hit {
    /// Finds the first trigger of a conversion that a request matches.
    pub(super) fn find(
        conversion: usize,
        rule: &ConversionRule,
        method: &http::Method,
        raw_path: &str,
    ) -> Option<Self> {
        let mut triggers = rule.triggers.iter().enumerate();
        let (trigger, path) =
            triggers.find_map(|(index, trigger)| Some((index, trigger.matches(method, raw_path)?)))?;
        Some(Self { conversion, trigger, path, waiting: Vec::new() })
    }

    /// Whether another server is expected to send it.
    pub(super) fn is_from_server(&self, site: &SiteRules) -> bool {
        self.rules(site).is_some_and(|(_, trigger)| trigger.caller.is_server())
    }

    /// Whether a network of this conversion may have to show pixels, as far as the request tells.
    pub(super) fn may_show_pixels(&self, site: &SiteRules, has_click: &dyn Fn(usize) -> bool) -> bool {
        let Some((rule, trigger)) = self.rules(site) else { return false };
        let may = |send: &SendRule| {
            site.networks.get(send.network).is_some_and(|network| {
                let by_click = send.needs_click_only() && (has_click(send.network) || send.click_id.is_some());
                // The verdict on a click may still ask for them.
                let is_final = by_click && (!late::waits_for(network) || site.seal.is_none());
                network.counted_pixels().is_some() && site.mode_of(network) == Mode::On && !is_final
            })
        };
        !trigger.caller.is_server() && rule.send.iter().any(may)
    }

    /// Decides for every network: the first outcome that applies, in the order of [`Outcome::ALL`].
    ///
    /// Says whether something waits for the body of the answer.
    pub(super) fn plan(
        &mut self,
        site: &SiteRules,
        facts: &Facts<'_>,
        visitor: &mut dyn FnMut() -> Option<Uuid>,
        uuid: &mut dyn FnMut() -> Uuid,
        plan: &mut Answered,
    ) -> bool {
        let Some((rule, trigger)) = self.rules(site) else { return false };
        let mut nobody = || None;
        let visitor = if trigger.caller.is_server() { &mut nobody } else { visitor };
        let view = facts.view(&self.path);
        let (fields, results) = rule.read_fields(view);
        let once = rule.read_once(view, &fields);
        let basket = rule.read_basket(view);
        let key_is_open = once.is_none() && rule.key_is_in_body();
        let general = self.general_outcome(rule, trigger, facts);
        let is_page_awaited =
            facts.stage == Stage::Head && general.is_none() && rule.reads_body() && facts.may_have_body;
        let open = Open { key: key_is_open, page: is_page_awaited };
        let mut waiting = Vec::with_capacity(rule.send.len());
        for (index, send) in rule.send.iter().enumerate() {
            let before = self.waiting.get(index).copied();
            let Some(network) = site.networks.get(send.network).filter(|_| before != Some(Waiting::Decided)) else {
                waiting.push(Waiting::Decided);
                continue;
            };
            let mut payload = payload_of(site, send, trigger, facts, view, &fields);
            send.add_basket(&basket, &mut payload);
            let event_id = match before {
                Some(Waiting::Candidate(id) | Waiting::Claim(id, _) | Waiting::Open(Some(id))) => id,
                Some(Waiting::Open(None) | Waiting::Decided) | None => EventId::new(uuid()),
            };
            let scope = names(rule, send, &payload, event_id, facts.now);
            if let Some(Waiting::Claim(id, dedup)) = before {
                let pixels = network.counted_pixels().map(|sync| sync.urls(&scope)).unwrap_or_default();
                plan.claim_ends.push(ClaimEnd {
                    conversion: self.conversion,
                    send: index,
                    network: send.network,
                    event_id: id,
                    dedup,
                    is_proven: facts.is_proven(&rule.proof),
                    pixels,
                });
                waiting.push(Waiting::Decided);
                continue;
            }
            let may_owe = before.is_none() || matches!(before, Some(Waiting::Open(Some(_))));
            let step = match outcome_of(site, rule, send, network, facts, trigger, general) {
                Some(outcome) => Step::Decided(outcome),
                None if facts.journey_is_late && !facts.may_store_unrecalled(send.network, trigger) => {
                    Step::Open { may_owe: false }
                }
                None => step(rule, send, network, facts, &scope, open, may_owe, plan),
            };
            let decided = |outcome| Decided { conversion: self.conversion, send: index, outcome };
            waiting.push(match step {
                Step::Decided(outcome) => {
                    match before {
                        Some(Waiting::Candidate(id)) => plan.dropped.push((decided(outcome), id)),
                        Some(_) | None => plan.decided.push(decided(outcome)),
                    }
                    Waiting::Decided
                }
                Step::Open { may_owe } => {
                    // Only a browser that will be asked again can be told later.
                    let owes = may_owe && site.seal.is_some() && late::waits_for(network);
                    plan.owing.extend(owes.then_some(Awaited { event_id, time: facts.now }));
                    Waiting::Open(owes.then_some(event_id))
                }
                Step::Claim(pixels) => {
                    let dedup = dedup_of(site, rule, network, once.as_deref(), &payload, visitor);
                    let (conversion, network) = (self.conversion, send.network);
                    plan.claims.push(PlannedClaim {
                        conversion,
                        send: index,
                        network,
                        event_id,
                        dedup,
                        pixels,
                        awaits_page: is_page_awaited,
                    });
                    if is_page_awaited { Waiting::Claim(event_id, dedup) } else { Waiting::Decided }
                }
                Step::Row(hold) => {
                    // Never under another key than the one that is to stand in the page.
                    let dedup = if key_is_open {
                        None
                    } else {
                        dedup_of(site, rule, network, once.as_deref(), &payload, visitor)
                    };
                    let is_candidate = matches!(hold, Some(Hold::Candidate { .. }));
                    if !is_candidate {
                        let is_kept_back = matches!(hold, Some(Hold::Incomplete { .. }));
                        plan.undeduplicated.extend((dedup.is_none() && !is_kept_back).then_some(self.conversion));
                    }
                    let event = event(site, rule, network, event_id, facts.now, payload);
                    let awaits_verdict = facts.stage == Stage::Head
                        && !facts.journey_is_late
                        && !matches!(hold, Some(Hold::Incomplete { .. }))
                        && !trigger.caller.is_server()
                        && late::awaits(network, &event);
                    let row =
                        PlannedRow { conversion: self.conversion, send: index, event, dedup, hold, awaits_verdict };
                    match before {
                        Some(Waiting::Candidate(_)) => plan.settled.push(row),
                        Some(_) | None => plan.rows.push(row),
                    }
                    if is_candidate { Waiting::Candidate(event_id) } else { Waiting::Decided }
                }
            });
        }
        self.waiting = waiting;
        let is_over = self.waiting.iter().all(|waiting| *waiting == Waiting::Decided);
        if is_over && general.is_none() {
            plan.fields.push((self.conversion, results));
        }
        !is_over
    }

    fn rules<'a>(&self, site: &'a SiteRules) -> Option<(&'a ConversionRule, &'a TriggerRule)> {
        let rule = site.conversions.get(self.conversion)?;
        Some((rule, rule.triggers.get(self.trigger)?))
    }

    /// What holds for all networks alike, after `off` and before consent.
    fn general_outcome(&self, rule: &ConversionRule, trigger: &TriggerRule, facts: &Facts<'_>) -> Option<Outcome> {
        if let Some(reason) = facts.disregard.filter(|_| !trigger.caller.is_server()) {
            return Some(reason.into());
        }
        let is_at = trigger.caller.may_be_at(facts.record.request().client.address);
        if !is_at || !trigger.succeeds(facts.status) || !trigger.holds(facts.view(&self.path)) {
            return Some(Outcome::NotSuccess);
        }
        let after = rule.after.as_ref().filter(|_| !facts.journey_is_late)?;
        let has_passed = facts.journey.is_some_and(|journey| {
            after.captures.iter().any(|capture| journey.has_passed(capture, facts.now, after.within))
        });
        (!has_passed).then_some(Outcome::NotPreceded)
    }
}

/// What a row of this network holds.
fn payload_of(
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

/// What is to be done for a network that may hear of it.
#[expect(clippy::too_many_arguments, reason = "everything that this last decision depends on")]
fn step(
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

/// What the visitor had chosen when the journey was last described.
fn has_agreed(journey: &Journey, network: &NetworkRules) -> bool {
    journey.consent.as_ref().is_some_and(|consent| consents::has_agreed(&consent.text, &network.key))
}

/// What is decided before it is known whether there is anything to report by.
fn outcome_of(
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
    let remembers = |journey| has_agreed(journey, network);
    let has_agreed = if facts.journey_is_late && trigger.caller.is_server() {
        // Only the journey can tell.
        true
    } else if trigger.caller.is_server() {
        // Another server brings no signals of the visitor's: what the journey knows decides.
        facts.consents.of(send.network) == Decision::NotRequired || facts.journey.is_some_and(remembers)
    } else {
        let decision = facts.consents.of(send.network);
        let cannot_tell = facts.is_sent_back && decision == Decision::Pending;
        is_yes(decision) || (cannot_tell && facts.journey.is_some_and(remembers))
    };
    if !has_agreed {
        return Some(Outcome::NoConsent);
    }
    (!facts.is_credited(site, send, rule)).then_some(Outcome::NotCredited)
}

impl From<NotAVisit> for Outcome {
    fn from(reason: NotAVisit) -> Self {
        match reason {
            NotAVisit::Prefetch => Self::Prefetch,
            NotAVisit::NotDocument => Self::NotDocument,
            NotAVisit::Bot => Self::Bot,
        }
    }
}

fn names<'a>(
    rule: &'a ConversionRule,
    send: &'a SendRule,
    payload: &'a Payload,
    id: EventId,
    time: Timestamp,
) -> EventNames<'a> {
    EventNames::new(&send.postback.names, payload, Identity { id, time, conversion: &rule.name })
}

fn event(
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
fn dedup_of(
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

/// The name under which a person vouches for a page that did not show what it must.
const PROOF: &str = "proof";
