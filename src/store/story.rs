//! What became of hits, and the whole story of each: what lists, exports and the console show.
//!
//! A [`HitRecord`] is one line for each hit and network: the record of the hit and, where there is one, its
//! row. A [`Story`] is everything known of one, in order of time. Personal values are hidden here, so that
//! whoever shows a story need not think of it. What its words mean, and what to do, does not belong here.

use std::{collections::BTreeMap, ops::ControlFlow};

use serde::Serialize;

use super::{
    Attempt,
    audit::AuditEntry,
    inspector::{RowDetail, RowState, RowSummary},
    mask::{HIDDEN, is_personal, without_personal},
    row::StoredAnswer,
};
use crate::tracking::{
    event::{Datum, Event, EventId, Payload},
    grounds::{Choice, Details, FieldRead, Landing, Rival},
    timestamp::Timestamp,
};

/// Is shown one hit after another, until it has seen enough.
pub type Show<'a> = &'a mut dyn FnMut(HitRecord) -> ControlFlow<()>;

/// Which hits are meant; what is `None` does not narrow.
#[derive(Clone, Debug, Default)]
pub struct HitFilter {
    /// Hits of this site.
    pub site: Option<String>,
    /// Hits for this network.
    pub network: Option<String>,
    /// Hits of this conversion.
    pub conversion: Option<String>,
    /// Hits with this outcome, by its word.
    pub outcome: Option<String>,
    /// Hits since this time.
    pub since: Option<Timestamp>,
    /// Hits before this time.
    pub until: Option<Timestamp>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

impl HitFilter {
    /// Whether a hit is meant, apart from how many are.
    #[must_use]
    pub fn means(&self, hit: &HitRecord) -> bool {
        let Self { site, network, conversion, outcome, since, until, limit: _ } = self;
        let named = [(site, &hit.site), (network, &hit.network), (conversion, &hit.conversion), (outcome, &hit.outcome)];
        named.into_iter().all(|(wanted, name)| wanted.as_ref().is_none_or(|wanted| wanted == name))
            && since.is_none_or(|since| hit.time >= since)
            && until.is_none_or(|until| hit.time < until)
    }
}

/// What became of a hit for one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HitRecord {
    /// When the page was answered.
    pub time: Timestamp,
    /// When the verdict fell.
    pub settled: Option<Timestamp>,
    /// The site's name.
    pub site: String,
    /// The conversion's name.
    pub conversion: String,
    /// The network's key.
    pub network: String,
    /// The order's id.
    pub order_id: Option<String>,
    /// The network's click IDs, the oldest first.
    pub clicks: Vec<String>,
    /// The event's id; nothing for hits of which nothing is told.
    pub event_id: Option<EventId>,
    /// The order's value.
    pub value: Option<String>,
    /// Its currency.
    pub currency: Option<String>,
    /// The outcome's word.
    pub outcome: String,
    /// Why: of the verdict if there is one, else of the outcome.
    pub reason: Option<String>,
    /// The verdict's word; nothing while there is none, or never will be.
    pub verdict: Option<String>,
    /// Attempts to send it.
    pub attempts: u32,
}

/// What became of a hit for one network, and how it came to that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Story {
    /// What lists show of it.
    pub hit: HitRecord,
    /// Where its row stands, if it has one.
    pub state: Option<RowState>,
    /// What happened, in order of time.
    pub scenes: Vec<Scene>,
    /// What the request to the network is made of, with personal values hidden.
    #[serde(skip)]
    pub event: Option<Event>,
}

/// What was found by a search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stories {
    /// The stories, the oldest first.
    pub told: Vec<Story>,
    /// Whether everything was looked through; else there may be more.
    pub is_whole: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scene {
    /// When, if that is known.
    pub at: Option<Timestamp>,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// A click ID arrived; `is_carried`: it was seen in a cookie, and had arrived before.
    Landing(Landing),
    /// The journey passed a capture.
    Capture {
        /// The capture's name.
        name: String,
    },
    /// Another paid visit, which may have earned the conversion.
    Rival(Rival),
    /// The thank-you page was answered.
    Page {
        /// With this status.
        status: Option<u16>,
    },
    /// The visitor's choice was looked at.
    Consent(Choice),
    /// The journey was found.
    Match {
        /// `cookie`, `recognise_by`, `order_id`.
        by: Vec<String>,
    },
    /// The click IDs to report by were found.
    Clicks {
        /// The ids.
        ids: Vec<String>,
        /// Where they were read: `query.NAME`, `cookie.NAME`, `journey`, `send`.
        from: Option<String>,
    },
    /// Fields were read.
    Fields {
        /// In the order of the configuration.
        fields: Vec<Field>,
    },
    /// It was decided.
    Outcome {
        /// The outcome's word.
        outcome: String,
        /// Why, where several reasons are possible.
        reason: Option<String>,
    },
    /// It was not to be sent; this is what its network would have got.
    WouldSend {
        /// The request, without secrets and personal values.
        request: String,
    },
    /// An attempt to send it ended.
    Attempt(Attempt),
    /// It waits.
    Waits {
        /// For the next attempt at this time.
        next: Option<Timestamp>,
        /// Why the last one was none.
        reason: Option<String>,
        /// Or for a person who adds these.
        missing: Vec<String>,
    },
    /// It is over.
    Verdict {
        /// The verdict's word.
        verdict: String,
        /// Why.
        reason: Option<String>,
    },
    /// An operator did something to it.
    Deed(AuditEntry),
}

/// A field, and where it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it is, if it is known; personal values are hidden.
    pub value: Option<String>,
    /// The word of what became of it: `found`, `missing`, `doubtful`.
    pub result: Option<String>,
    /// Where it was read, or all places where it was looked for.
    pub from: Option<String>,
    /// When a capture had read it.
    pub captured: Option<Timestamp>,
}

/// Everything that is stored of a hit.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) hit: HitRecord,
    pub(super) details: Option<Details>,
    pub(super) row: Option<RowDetail>,
    pub(super) deeds: Vec<AuditEntry>,
    /// What was said of the outcome itself.
    pub(super) outcome_reason: Option<String>,
}

impl Story {
    pub(super) fn of(sources: Sources) -> Self {
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

/// All that is shown one by one.
pub(super) fn collected<E>(each: impl FnOnce(Show<'_>) -> Result<(), E>) -> Result<Vec<HitRecord>, E> {
    let mut hits = Vec::new();
    each(&mut |hit| {
        hits.push(hit);
        ControlFlow::Continue(())
    })?;
    Ok(hits)
}
