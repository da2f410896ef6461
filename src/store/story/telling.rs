//! How everything that is stored of a hit becomes its story.

use std::collections::BTreeMap;

use super::{Field, Happening, HitRecord, Scene, Sources, Story};
use crate::{
    store::{
        Attempt,
        inspector::{RowDetail, RowSummary},
        mask::{HIDDEN, is_personal, without_personal},
        row::StoredAnswer,
    },
    tracking::{
        event::{Datum, Event, Payload},
        grounds::{Details, FieldRead},
    },
};

impl Story {
    pub(in crate::store) fn of(sources: Sources) -> Self {
        let Sources { hit, details, row, deeds, outcome_reason } = sources;
        let state = row.as_ref().map(|row| row.summary.state);
        let mut scenes = Vec::new();
        let payload = row.as_ref().map(|row| row.payload.clone()).unwrap_or_default();
        before(&details.clone().unwrap_or_default(), &mut scenes);
        decision(&hit, details.unwrap_or_default(), &payload, outcome_reason, &mut scenes);
        let event = row.as_ref().and_then(event);
        if let Some(row) = row {
            after(row, &mut scenes);
        }
        scenes.extend(deeds.into_iter().map(|deed| Scene { at: Some(deed.at), what: Happening::Deed(deed) }));
        // What has no time came first; what has the same time stays in its order.
        scenes.sort_by_key(|scene| scene.at);
        Self { hit, state, scenes, event }
    }
}

/// Of a row whose values were forgotten, nothing is left to make a request of.
fn event(row: &RowDetail) -> Option<Event> {
    let RowSummary { event_id, site, conversion, network, time, .. } = &row.summary;
    let mut payload = Some(row.payload.clone()).filter(|payload| *payload != Payload::default())?;
    let fields = payload.fields.iter_mut().filter(|(name, _)| is_personal(name));
    fields.for_each(|(_, text)| HIDDEN.clone_into(text));
    for (_, datum) in payload.parameters.iter_mut().filter(|(name, _)| is_personal(name)) {
        *datum = Datum::One(HIDDEN.to_owned());
    }
    let (site, conversion, network) = (site.as_str().into(), conversion.as_str().into(), network.as_str().into());
    Some(Event { id: (*event_id)?, time: *time, site, conversion, network, payload })
}

/// What the journey knew.
fn before(details: &Details, scenes: &mut Vec<Scene>) {
    let landings = details.landings.iter().map(|it| (it.at, Happening::Landing(it.clone())));
    let captures = details.captures.iter().map(|(name, at)| (*at, Happening::Capture { name: name.clone() }));
    let rivals = details.rival.iter().map(|it| (it.at, Happening::Rival(it.clone())));
    scenes.extend(landings.chain(captures).chain(rivals).map(|(at, what)| Scene { at: Some(at), what }));
}

/// What was read and decided when the page was answered.
fn decision(hit: &HitRecord, details: Details, payload: &Payload, reason: Option<String>, scenes: &mut Vec<Scene>) {
    let mut say = |what| scenes.push(Scene { at: Some(hit.time), what });
    say(Happening::Page { status: details.status });
    details.consent.into_iter().for_each(|choice| say(Happening::Consent(choice)));
    if !details.matched_by.is_empty() {
        say(Happening::Match { by: details.matched_by });
    }
    if !hit.clicks.is_empty() {
        say(Happening::Clicks { ids: hit.clicks.clone(), from: details.click_from });
    }
    let fields = fields(hit, details.fields, payload);
    if !fields.is_empty() {
        say(Happening::Fields { fields });
    }
    say(Happening::Outcome { outcome: hit.outcome.clone(), reason });
    details.request.into_iter().for_each(|request| say(Happening::WouldSend { request }));
}

/// What was read, and what the row holds besides.
fn fields(hit: &HitRecord, read: Vec<FieldRead>, payload: &Payload) -> Vec<Field> {
    let mut known: BTreeMap<&str, &str> =
        payload.fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let own = [("order_id", &hit.order_id), ("value", &hit.value), ("currency", &hit.currency)];
    known.extend(own.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?))));
    let shown = |name: &str, text: &str| if is_personal(name) { HIDDEN.to_owned() } else { text.to_owned() };
    let mut fields: Vec<Field> = read
        .into_iter()
        .map(|FieldRead { name, result, from, captured }| Field {
            value: known.remove(name.as_str()).map(|text| shown(&name, text)),
            name,
            result: Some(result),
            from: Some(from),
            captured,
        })
        .collect();
    let rest = known.into_iter().map(|(name, text)| Field {
        name: name.to_owned(),
        value: Some(shown(name, text)),
        result: None,
        from: None,
        captured: None,
    });
    fields.extend(rest);
    fields
}

/// What became of the row.
fn after(row: RowDetail, scenes: &mut Vec<Scene>) {
    let RowDetail { summary, payload, attempts, .. } = row;
    scenes.extend(attempts.into_iter().map(|Attempt { number, answer }| {
        let StoredAnswer { at, status, body, result, millis } = answer;
        // Versions before stored answers as they came.
        let body = without_personal(body.as_bytes(), &payload);
        let answer = StoredAnswer { at, status, body, result, millis };
        Scene { at: Some(at), what: Happening::Attempt(Attempt { number, answer }) }
    }));
    let RowSummary { verdict, reason, settled, missing, next, .. } = summary;
    match verdict {
        Some(verdict) => scenes.push(Scene { at: settled, what: Happening::Verdict { verdict, reason } }),
        None => {
            let last = scenes.iter().filter_map(|scene| scene.at).max();
            scenes.push(Scene { at: last, what: Happening::Waits { next, reason, missing } });
        }
    }
}
