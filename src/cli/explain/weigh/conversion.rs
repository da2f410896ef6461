//! Conversions: which rule a request matches, what is read for it, and what each network hears.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, header};

use super::{
    super::{
        account::{ConversionAccount, FieldAccount, PostbackAccount, SendAccount},
        mask::{Mask, STARS},
        why::{self, Circumstances},
    },
    Weighed,
};
use crate::{
    config::units::written_duration,
    tracking::{
        consent::Decision,
        conversion::{ConversionRule, Outcome, SendRule},
        event::{Datum, Dedup, Event},
        late,
        postback::Unrenderable,
        value::{Source, View},
        visit::{ClaimEnd, Hold, PlannedClaim, PlannedRow},
    },
};

/// What was planned for one network.
enum Fate<'a> {
    Decided(Outcome),
    Unsent(Outcome, &'a Event),
    Row(&'a PlannedRow),
    Claim(&'a PlannedClaim, Option<&'a ClaimEnd>),
}

impl Weighed<'_> {
    pub(super) fn conversions(&self, mask: &Mask) -> Vec<ConversionAccount> {
        let rules = self.rules().conversions.iter().enumerate();
        rules.map(|(index, rule)| self.conversion(index, rule, mask)).collect()
    }

    fn conversion(&self, index: usize, rule: &ConversionRule, mask: &Mask) -> ConversionAccount {
        let mut account = ConversionAccount {
            name: rule.name.to_string(),
            matches: false,
            because: String::new(),
            path: BTreeMap::new(),
            fields: Vec::new(),
            once_per: None,
            networks: Vec::new(),
        };
        let mut triggers = rule.triggers.iter().enumerate();
        let matched = triggers.find_map(|(place, trigger)| {
            let path = trigger.matches(&self.question.method, &self.question.path)?;
            Some((place, trigger, path))
        });
        let Some((place, trigger, path)) = matched else {
            let triggers: Vec<_> = rule.triggers.iter().collect();
            account.because = why::mismatch(&triggers, self.question).unwrap_or_default();
            return account;
        };
        let view = self.view(&path);
        let (fields, results) = rule.read_fields(view);
        let once = rule.read_once(view, &fields);
        account.matches = true;
        account.because = match rule.triggers.len() {
            1 => "path and method match".to_owned(),
            count => format!("path and method match trigger {} of {count}", place + 1),
        };
        account.path = path.iter().cloned().collect();
        account.fields = rule
            .fields
            .iter()
            .zip(results)
            .map(|((name, value), result)| FieldAccount {
                name: name.clone(),
                result: result.as_str(),
                value: fields.get(name).cloned(),
                from: from(&value.sources(), view, self.shown.is_some()),
            })
            .collect();
        account.fields.extend(items(rule, view, self.shown.is_some()));
        let circumstances = Circumstances { rule, trigger, view, question: self.question, shown: self.shown.as_ref() };
        let sends = rule.send.iter().enumerate();
        account.networks =
            sends.map(|(send, rule)| self.send(index, send, rule, once.as_deref(), &circumstances, mask)).collect();
        account.once_per = once;
        account
    }

    fn fate(&self, conversion: usize, send: usize) -> Option<Fate<'_>> {
        let is_it = |of: (usize, usize)| of == (conversion, send);
        for plan in self.plans() {
            let dropped = plan.dropped.iter().map(|(decided, _)| decided);
            if let Some(it) = plan.decided.iter().chain(dropped).find(|it| is_it((it.conversion, it.send))) {
                return Some(Fate::Decided(it.outcome));
            }
            if let Some((it, event)) = plan.unsent.iter().find(|(it, _)| is_it((it.conversion, it.send))) {
                return Some(Fate::Unsent(it.outcome, event));
            }
            if let Some(row) = plan.settled.iter().chain(&plan.rows).find(|row| is_it((row.conversion, row.send))) {
                return Some(Fate::Row(row));
            }
        }
        let claim = self.head.claims.iter().find(|claim| is_it((claim.conversion, claim.send)))?;
        let mut ends = self.end.iter().flat_map(|plan| &plan.claim_ends);
        Some(Fate::Claim(claim, ends.find(|end| end.event_id == claim.event_id)))
    }

    fn send(
        &self,
        conversion: usize,
        send: usize,
        rule: &SendRule,
        once: Option<&str>,
        circumstances: &Circumstances<'_>,
        mask: &Mask,
    ) -> SendAccount {
        let Some(network) = self.rules().networks.get(rule.network) else { return SendAccount::default() };
        let mut account = SendAccount { network: network.key.to_string(), ..SendAccount::default() };
        match self.fate(conversion, send) {
            None => {
                account.outcome = WAITS;
                account.because.push_str("nothing to report by so far; the answer's body may bring it");
            }
            Some(Fate::Decided(outcome)) => {
                account.outcome = outcome.as_str();
                let decision = self.rules().consent.decide(network.consent.as_ref(), circumstances.view.request);
                account.because = why::outcome(outcome, circumstances, rule, decision);
            }
            Some(Fate::Unsent(outcome, event)) => {
                account.outcome = outcome.as_str();
                account.because = why::outcome(outcome, circumstances, rule, Decision::NotRequired);
                account.clicks.clone_from(&event.payload.clicks);
                account.show(rendered(rule, event, mask));
            }
            Some(Fate::Claim(claim, end)) => {
                let is_refuted = end.is_some_and(|end| !end.is_proven);
                let waits = claim.awaits_page && end.is_none();
                let outcome = if is_refuted { Outcome::Unproven } else { Outcome::NoClick };
                account.outcome = if waits { WAITS } else { outcome.as_str() };
                account.because = match (is_refuted, waits) {
                    (true, _) => why::unproven(circumstances),
                    (false, true) => {
                        format!("{}; its pixels go in when the page has shown what they need", why::needs(rule))
                    }
                    (false, false) => format!("{}; its pixels go in, unless the store knows the key", why::needs(rule)),
                };
                account.told_apart_by = Some(told_apart_by(once, claim.dedup, &[]));
                account.pixels = match end {
                    _ if is_refuted => Vec::new(),
                    Some(end) => end.pixels.clone(),
                    None => claim.pixels.clone(),
                };
            }
            Some(Fate::Row(row)) => {
                account.clicks.clone_from(&row.event.payload.clicks);
                account.told_apart_by = Some(told_apart_by(once, row.dedup, &account.clicks));
                (account.outcome, account.because) = match &row.hold {
                    None => (Outcome::Queued.as_str(), "unless the store knows the key: then duplicate".to_owned()),
                    Some(Hold::Incomplete { missing }) => (
                        Outcome::Incomplete.as_str(),
                        format!("no value for {}; `outbox set` can add it", missing.join(", ")),
                    ),
                    Some(Hold::Owed) => (
                        Outcome::NoClick.as_str(),
                        format!(
                            "{}; a frame in the page fetches its pixels, unless the store knows the key",
                            why::needs(rule)
                        ),
                    ),
                    Some(Hold::Candidate { .. }) => {
                        (WAITS, "on disk, and decided when the answer has ended: give its body with --page".to_owned())
                    }
                };
                if row.hold.is_none() && late::awaits(network, &row.event) {
                    account.because.push_str("; if the click ID turns out to be invalid, its pixels follow");
                }
                if !matches!(row.hold, Some(Hold::Incomplete { .. } | Hold::Owed)) {
                    account.show(rendered(rule, &row.event, mask));
                }
            }
        }
        account
    }
}

impl SendAccount {
    fn show(&mut self, rendered: Result<PostbackAccount, Unrenderable>) {
        match rendered {
            Ok(postback) => self.postback = Some(postback),
            Err(error) => self.because = format!("it can't be sent: {error}"),
        }
    }
}

/// The request as the network would get it, without secrets.
pub(in crate::cli) fn rendered(rule: &SendRule, event: &Event, mask: &Mask) -> Result<PostbackAccount, Unrenderable> {
    let postback = mask.rule(&rule.postback).render(&mask.event(event))?;
    let shown = |(name, value): (&HeaderName, &HeaderValue)| {
        let is_hidden = *name == header::AUTHORIZATION || value.is_sensitive();
        let text = if is_hidden { STARS.into() } else { String::from_utf8_lossy(value.as_bytes()) };
        (name.to_string(), text.into_owned())
    };
    let body = String::from_utf8_lossy(&postback.body).into_owned();
    Ok(PostbackAccount {
        method: postback.method.to_string(),
        url: postback.url.to_string(),
        headers: postback.headers.iter().map(shown).collect(),
        body: (!body.is_empty()).then_some(body),
    })
}

fn told_apart_by(once: Option<&str>, dedup: Option<Dedup>, clicks: &[String]) -> String {
    let Some(dedup) = dedup else { return "nothing so far: each of them counts".to_owned() };
    let window = written_duration(dedup.window);
    match once {
        Some(once) => format!("{once}, for {window}"),
        None if clicks.is_empty() => format!("the visitor, for {window}"),
        None => format!("the click, for {window}"),
    }
}

/// Where a value stands, or where it was looked for.
fn from(sources: &[&Source], view: View<'_>, body_is_known: bool) -> String {
    if sources.is_empty() {
        return "the configuration".to_owned();
    }
    if let Some(source) = sources.iter().find(|source| source.read(view).is_some()) {
        return source.text();
    }
    let place = |source: &&Source| {
        let unknown = if source.is_in_body() && !body_is_known { " (not known)" } else { "" };
        format!("{}{unknown}", source.text())
    };
    sources.iter().map(place).collect::<Vec<_>>().join(", ")
}

fn items(rule: &ConversionRule, view: View<'_>, body_is_known: bool) -> Option<FieldAccount> {
    let items = rule.items.as_ref()?;
    let count = rule.read_basket(view).columns().into_iter().find(|(name, _)| *name == "items.count");
    let value = match count {
        Some((_, Datum::One(count))) => Some(count),
        Some((_, Datum::Many(_))) | None => None,
    };
    Some(FieldAccount {
        name: "items.count".to_owned(),
        result: if value.is_some() { "found" } else { "missing" },
        value,
        from: from(&items.sources(), view, body_is_known),
    })
}

/// No outcome yet.
const WAITS: &str = "waits";
