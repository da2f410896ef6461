//! A conversion's trigger that a request matched: what is read for it, and what is to be done about it.

use std::cell::OnceCell;

use uuid::Uuid;

use super::{
    facts::{Facts, Stage},
    grounds::Witness,
    plan::{Answered, ClaimEnd, Decided, Hold, PlannedClaim, PlannedRow},
    telling::{Open, Step, dedup_of, event, names, outcome_of, payload_of, step, step_unheard, unheard},
};
use crate::tracking::{
    conversion::{ConversionRule, Outcome, SendRule},
    event::{Dedup, EventId},
    grounds::Grounds,
    human::NotAVisit,
    late::{self, Awaited},
    network::Mode,
    site::SiteRules,
    trigger::TriggerRule,
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
        !trigger.caller.is_server() && !rule.is_shadow && rule.send.iter().any(may)
    }

    /// Decides for every network: the first outcome that applies, in the order of [`Outcome::ALL`].
    ///
    /// Says whether something waits for the body of the answer.
    #[expect(clippy::too_many_lines, reason = "each step of a network's decision is one arm")]
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
        let witness =
            Witness { site, rule, trigger, facts, view, fields: &fields, results: &results, reads: OnceCell::new() };
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
                let is_proven = facts.is_proven(&rule.proof);
                let outcome = if is_proven { Outcome::NoClick } else { Outcome::Unproven };
                let grounds = witness.grounds(send, network, id, &payload, outcome, &[]);
                let (conversion, network) = (self.conversion, send.network);
                let end =
                    ClaimEnd { conversion, send: index, network, event_id: id, dedup, is_proven, pixels, grounds };
                plan.claim_ends.push(end);
                waiting.push(Waiting::Decided);
                continue;
            }
            let may_owe = before.is_none() || matches!(before, Some(Waiting::Open(Some(_))));
            let step = match outcome_of(site, rule, send, network, facts, trigger, general) {
                // What is only observed is read to its end all the same.
                Some(Outcome::Off) if open.page && site.mode_of(network) == Mode::Observe => {
                    Step::Open { may_owe: false }
                }
                Some(outcome) => Step::Decided(outcome),
                None if let Some(unheard) = unheard(rule, facts) => {
                    step_unheard(rule, send, facts, &scope, open, unheard)
                }
                None if facts.journey_is_late && !facts.may_store_unrecalled(send.network, trigger) => {
                    Step::Open { may_owe: false }
                }
                None => step(rule, send, network, facts, &scope, open, may_owe, plan),
            };
            let grounds = |payload: &_, outcome, missing: &[String]| {
                witness.grounds(send, network, event_id, payload, outcome, missing)
            };
            waiting.push(match step {
                Step::Decided(outcome) => {
                    let mut missing = if outcome == Outcome::Incomplete { send.missing(&scope) } else { Vec::new() };
                    if outcome == Outcome::Incomplete && missing.is_empty() {
                        missing.push("order_id".to_owned());
                    }
                    let grounds = grounds(&payload, outcome, &missing);
                    let decided = Decided { conversion: self.conversion, send: index, outcome, grounds };
                    match before {
                        Some(Waiting::Candidate(id)) => plan.dropped.push((decided, id)),
                        Some(_) | None => plan.decided.push(decided),
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
                    let grounds = grounds(&payload, Outcome::NoClick, &[]);
                    let (conversion, network) = (self.conversion, send.network);
                    plan.claims.push(PlannedClaim {
                        conversion,
                        send: index,
                        network,
                        event_id,
                        dedup,
                        pixels,
                        awaits_page: is_page_awaited,
                        grounds,
                    });
                    if is_page_awaited { Waiting::Claim(event_id, dedup) } else { Waiting::Decided }
                }
                Step::Unsent(outcome) => {
                    let grounds = grounds(&payload, outcome, &[]);
                    let decided = Decided { conversion: self.conversion, send: index, outcome, grounds };
                    plan.unsent.push((decided, event(site, rule, network, event_id, facts.now, payload)));
                    Waiting::Decided
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
                    let grounds = match &hold {
                        Some(Hold::Candidate { .. }) => Grounds::default(),
                        Some(Hold::Incomplete { missing }) => grounds(&payload, Outcome::Incomplete, missing),
                        Some(Hold::Owed) => grounds(&payload, Outcome::NoClick, &[]),
                        None => grounds(&payload, Outcome::Queued, &[]),
                    };
                    let event = event(site, rule, network, event_id, facts.now, payload);
                    let awaits_verdict = facts.browser_may_ask(hold.as_ref(), trigger) && late::awaits(network, &event);
                    let (conversion, send) = (self.conversion, index);
                    let row = PlannedRow { conversion, send, event, dedup, hold, awaits_verdict, grounds };
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
        // Where nothing is done, nothing has been looked for.
        let is_looked_at =
            |send: &SendRule| site.networks.get(send.network).is_some_and(|network| site.mode_of(network) != Mode::Off);
        if is_over && general.is_none() && rule.send.iter().any(is_looked_at) {
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

impl From<NotAVisit> for Outcome {
    fn from(reason: NotAVisit) -> Self {
        match reason {
            NotAVisit::Prefetch => Self::Prefetch,
            NotAVisit::NotDocument => Self::NotDocument,
            NotAVisit::Bot => Self::Bot,
        }
    }
}
