//! From what a hit was decided, told as far as its visitor has agreed to that.
//!
//! Nothing is decided here. It is put together once for each hit and network, when it is known what became
//! of it, and never for other requests.

use std::{cell::OnceCell, collections::BTreeMap};

use super::{facts::Facts, telling};
use crate::tracking::{
    click::ClickId,
    consent::{Decision, Requirement},
    conversion::{ConversionRule, FieldNames, FieldResult, Outcome, SendRule},
    event::{EventId, Payload},
    grounds::{Choice, Details, FieldRead, Grounds, Landing, Rival, Told},
    network::{Mode, NetworkRules},
    site::SiteRules,
    trigger::TriggerRule,
    value::{Source, Value, View},
};

/// What is known of a hit, whichever network asks.
pub(super) struct Witness<'a> {
    pub(super) site: &'a SiteRules,
    pub(super) rule: &'a ConversionRule,
    pub(super) trigger: &'a TriggerRule,
    pub(super) facts: &'a Facts<'a>,
    pub(super) view: View<'a>,
    pub(super) fields: &'a BTreeMap<String, String>,
    pub(super) results: &'a [FieldResult],
    /// Where the fields were read; only looked up when somebody is told.
    pub(super) reads: OnceCell<Vec<FieldRead>>,
}

impl Witness<'_> {
    /// From what this outcome follows; `missing` are the names that an incomplete one lacks.
    pub(super) fn grounds(
        &self,
        send: &SendRule,
        network: &NetworkRules,
        event_id: EventId,
        payload: &Payload,
        outcome: Outcome,
        missing: &[String],
    ) -> Grounds {
        if outcome == Outcome::NoConsent {
            return Grounds::default();
        }
        let may_tell = self.site.mode_of(network) == Mode::On && self.has_agreed(send, network);
        let told = may_tell.then(|| {
            let details = if outcome.is_judged() {
                self.details(send, network, payload, outcome)
            } else {
                Details { status: Some(self.facts.status), ..Details::default() }
            };
            let told = Told::of(event_id, payload);
            Box::new(Told { details: Details { visitor: payload.visitor.clone(), ..details }, ..told })
        });
        let rival = told.as_ref().and_then(|told| told.details.rival.as_ref());
        Grounds { reason: self.reason(send, network, outcome, missing, rival), told }
    }

    /// Where only a journey that is still awaited could tell, nobody has agreed.
    fn has_agreed(&self, send: &SendRule, network: &NetworkRules) -> bool {
        let cannot_tell = self.facts.journey_is_late && self.trigger.caller.is_server();
        let decision = self.facts.consents.of(send.network);
        (!cannot_tell || decision == Decision::NotRequired)
            && telling::has_agreed_to(send, network, self.facts, self.trigger)
    }

    fn details(&self, send: &SendRule, network: &NetworkRules, payload: &Payload, outcome: Outcome) -> Details {
        let journey = self.facts.journey;
        Details {
            status: Some(self.facts.status),
            click_from: self.click_from(send, network, payload),
            landings: self.landings(send, network, payload),
            rival: (outcome == Outcome::NotCredited).then(|| self.rival(send)).flatten(),
            matched_by: self.matched_by(),
            captures: journey.map(|journey| journey.passed.clone()).unwrap_or_default(),
            consent: Some(self.choice(send, network)),
            fields: self.reads.get_or_init(|| self.read()).clone(),
            ..Details::default()
        }
    }

    fn read(&self) -> Vec<FieldRead> {
        let fields = self.rule.fields.iter().zip(self.results);
        fields
            .map(|((name, value), result)| {
                let found = value.found_in(self.view, &FieldNames(self.fields));
                let remembered = match found {
                    Some(Source::Journey(name)) => self.facts.journey.and_then(|journey| journey.fields.get(name)),
                    Some(_) | None => None,
                };
                FieldRead {
                    name: name.clone(),
                    result: result.as_str().to_owned(),
                    from: found.map_or_else(|| places(value), Source::text),
                    captured: remembered.map(|remembered| remembered.time),
                }
            })
            .collect()
    }

    /// In the order in which click IDs are looked for.
    fn click_from(&self, send: &SendRule, network: &NetworkRules, payload: &Payload) -> Option<String> {
        if payload.clicks.is_empty() {
            return None;
        }
        if let Some(value) = &send.click_id {
            let names = FieldNames(self.fields);
            if value.read(self.view, &names).is_some_and(|text| ClickId::parse(&text).is_ok()) {
                return Some(value.found_in(self.view, &names).map_or_else(|| places(value), Source::text));
            }
        }
        let request = self.facts.record.request();
        let rule = &network.click;
        Some(if matches!(rule.find(request.query), Some(Ok(_))) {
            format!("query.{}", rule.param)
        } else if rule.carried(request.headers).is_empty() {
            "journey".to_owned()
        } else {
            format!("cookie.{}", rule.cookie)
        })
    }

    /// When the click IDs arrived: with this very page, or as the journey knows.
    fn landings(&self, send: &SendRule, network: &NetworkRules, payload: &Payload) -> Vec<Landing> {
        let param = &network.click.param;
        let owner = self.site.click_owner(send.network);
        let arrived = network.click.find(self.facts.record.request().query).and_then(Result::ok).unwrap_or_default();
        let known = self.facts.journey.map(|journey| journey.clicks.as_slice()).unwrap_or_default();
        let landing = |at, click_id: &str, is_carried| Landing {
            at,
            network: network.key.to_string(),
            param: param.clone(),
            click_id: click_id.to_owned(),
            is_carried,
        };
        let known = known.iter().filter(|click| click.network == owner && payload.clicks.contains(&click.id));
        let known = known.map(|click| landing(click.time, &click.id, click.is_carried));
        let arrived = arrived.iter().filter(|id| payload.clicks.iter().any(|click| click == id.as_str()));
        known.chain(arrived.map(|id| landing(self.facts.now, id.as_str(), false))).collect()
    }

    fn rival(&self, send: &SendRule) -> Option<Rival> {
        let journey = self.facts.journey?;
        let owner = self.site.click_owner(send.network);
        let clicks = journey.clicks.iter().filter(|click| click.network != owner && !click.is_carried);
        let clicks = clicks.map(|click| (click.time, &click.network));
        let channel = journey.channel.as_ref().map(|visit| (visit.time, &visit.text));
        let (at, by) = clicks.chain(channel).max()?;
        Some(Rival { at, by: by.clone() })
    }

    /// By which of its names the journey was found.
    fn matched_by(&self) -> Vec<String> {
        let Some(journey) = self.facts.journey else { return Vec::new() };
        let Facts { keys, visitor_key, is_sent_back, .. } = self.facts;
        let mut by = Vec::new();
        let is_known = |key| journey.keys.contains_key(key);
        if visitor_key.as_ref().is_some_and(is_known) {
            by.push("cookie");
        }
        if keys.iter().any(|key| Some(key) != visitor_key.as_ref() && is_known(key)) {
            by.push("recognise_by");
        }
        if by.is_empty() && (*is_sent_back || self.trigger.caller.is_server()) {
            by.push("order_id");
        } else if by.is_empty() {
            // Under a name that an older secret made.
            by.push(if visitor_key.is_some() { "cookie" } else { "recognise_by" });
        }
        by.into_iter().map(ToOwned::to_owned).collect()
    }

    fn choice(&self, send: &SendRule, network: &NetworkRules) -> Choice {
        let decision = self.facts.consents.of(send.network);
        let said = |decision: Decision, from: Option<String>| Choice { decision: decision.as_str().to_owned(), from };
        let requirement = network.consent.as_ref().unwrap_or(&self.site.consent.require);
        match decision {
            Decision::NotRequired if *requirement == Requirement::None => said(decision, None),
            Decision::NotRequired => said(decision, Some("unless".to_owned())),
            // Who has agreed although the request does not say so did that before.
            Decision::Denied | Decision::Pending => said(Decision::Granted, Some("journey".to_owned())),
            Decision::Granted if self.trigger.caller.is_server() => said(decision, Some("journey".to_owned())),
            Decision::Granted => {
                let explained = self.site.consent.explain(network.consent.as_ref(), self.view.request);
                said(decision, explained.reason.place())
            }
        }
    }

    /// Names from the configuration alone: what stands in a request may be anybody's.
    fn reason(
        &self,
        send: &SendRule,
        network: &NetworkRules,
        outcome: Outcome,
        missing: &[String],
        rival: Option<&Rival>,
    ) -> Option<String> {
        match outcome {
            Outcome::Off => {
                let is_observed = self.site.mode_of(network) == Mode::Observe;
                Some(if is_observed { "observe" } else { "off" }.to_owned())
            }
            Outcome::NotSuccess => self.not_success(),
            Outcome::NotPreceded => self.rule.after.as_ref().map(|after| after.captures.join(" or ")),
            Outcome::NotCredited => rival.map(|rival| format!("later: {}", rival.by)),
            Outcome::NoClick => {
                let groups: Vec<String> = send.needs.iter().map(|group| group.join(" or ")).collect();
                Some(format!("needs {}", groups.join(" and ")))
            }
            Outcome::Incomplete => Some(format!("lacks {}", missing.join(", "))),
            Outcome::Unproven => {
                let proof = &self.rule.proof;
                let shows = |mark: &_| self.facts.answer.is_some_and(|answer| answer.marks.contains(mark));
                let is_refuted = proof.failure.iter().any(shows);
                Some(if is_refuted { "failure_mark" } else { "success_mark" }.to_owned())
            }
            Outcome::Prefetch
            | Outcome::NotDocument
            | Outcome::Bot
            | Outcome::NoConsent
            | Outcome::Shadow
            | Outcome::Held
            | Outcome::Duplicate
            | Outcome::Unstored
            | Outcome::Queued => None,
        }
    }

    fn not_success(&self) -> Option<String> {
        let Self { trigger, facts, view, .. } = self;
        if !trigger.caller.may_be_at(facts.record.request().client.address) {
            return Some("from_addresses".to_owned());
        }
        if !trigger.succeeds(facts.status) {
            return Some(format!("status {}", facts.status));
        }
        let failed = trigger.when.iter().find(|condition| !condition.holds(*view))?;
        Some(format!("when {}", failed.source.text()))
    }
}

/// All places where a value is looked for.
fn places(value: &Value) -> String {
    let places: Vec<String> = value.sources().into_iter().map(Source::text).collect();
    if places.is_empty() { "the configuration".to_owned() } else { places.join(", ") }
}
