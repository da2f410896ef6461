//! What follows from the site's answer: for clicks, for hits, for captures, for pure cookie matches.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    AnswerBody, Answered, CaptureResult, Recalled, Record, Reply, Room, Visit,
    arrival::{HeldClick, Withheld},
    facts::{Facts, Stage},
    remembrance,
};
use crate::tracking::{
    click::{self, ClickResult},
    cookie::SetCookie,
    event::Datum,
    human::NotAVisit,
    network::{Mode, SyncPages},
    template::Scope,
    timestamp::Timestamp,
    value::View,
};

impl Visit {
    pub(super) fn plan_hits(
        &mut self,
        reply: Reply<'_>,
        answer: Option<&AnswerBody>,
        journey: &Recalled<'_>,
        plan: &mut Answered,
        uuid: &mut dyn FnMut() -> Uuid,
    ) {
        let Some(record) = &self.record else { return };
        let mut hits = std::mem::take(&mut self.hits);
        let keys = self.keys();
        let visitor_key = self.visitor.and(keys.first().copied());
        // A fresh visitor id can be sealed into a cookie only while the head has not left.
        let (known, fresh) = (self.visitor, uuid());
        let may_be_fresh = self.site.seal.is_some() && answer.is_none();
        let mut is_used = false;
        hits.retain_mut(|hit| {
            let facts = Facts {
                record,
                body: &self.body,
                response: reply.headers,
                answer,
                journey: match *journey {
                    Recalled::InTime(journey) => journey,
                    Recalled::Late => None,
                },
                journey_is_late: matches!(journey, Recalled::Late),
                consents: &self.consents,
                disregard: self.disregard,
                status: reply.status,
                may_have_body: reply.may_have_body,
                room: reply.room,
                now: reply.now,
                stage: if answer.is_some() { Stage::End } else { Stage::Head },
                keys: &keys,
                visitor_key,
                is_sent_back: self.is_sent_back,
                is_held: self.is_held,
            };
            let mut visitor = || {
                is_used |= known.is_none() && may_be_fresh;
                known.or(may_be_fresh.then_some(fresh))
            };
            hit.plan(&self.site, &facts, &mut visitor, uuid, plan)
        });
        self.hits = hits;
        if is_used {
            self.visitor = Some(fresh);
        }
    }

    pub(super) fn plan_captures(
        &mut self,
        reply: Reply<'_>,
        answer: Option<&AnswerBody>,
        plan: &mut Answered,
        uuid: &mut dyn FnMut() -> Uuid,
    ) {
        let waits_for_body = reply.may_have_body && answer.is_none();
        let mut waiting = Vec::new();
        for passing in std::mem::take(&mut self.captures) {
            let Some(rule) = self.site.captures.get(passing.capture) else { continue };
            if waits_for_body && rule.reads_body() && self.may_capture().is_ok() {
                waiting.push(passing);
                continue;
            }
            let read = self.may_capture().and_then(|record| {
                let view = View {
                    request: record.request().view(&passing.path),
                    body: Some(&self.body),
                    response: Some(reply.headers),
                    answer: answer.map(|answer| &answer.json),
                    page: answer.map(|answer| &answer.page),
                    journey: None,
                };
                let read = remembrance::read(rule, reply.status, view, reply.now)?;
                Ok((read, record))
            });
            let capture = passing.capture;
            let result = match read {
                Err(result) => result,
                Ok(((mut journey, key), record)) => {
                    remembrance::describe(&mut journey, &self.site, record, &self.consents, reply.now);
                    journey.clicks.extend(remembrance::carried(&self.site, record, &self.consents, reply.now));
                    let order = key.as_deref();
                    self.remember(journey, order, reply, plan, uuid);
                    CaptureResult::Remembered
                }
            };
            plan.captures.push((capture, result));
        }
        self.captures = waiting;
    }

    /// Whether captures count for this request, and what they read.
    fn may_capture(&self) -> Result<&Record, CaptureResult> {
        let record = self.record.as_deref().filter(|_| self.captures_count() && self.site.mode == Mode::On);
        let record = record.ok_or(CaptureResult::Disregarded)?;
        if self.consents.allows_journey() { Ok(record) } else { Err(CaptureResult::NoConsent) }
    }

    pub(super) fn plan_clicks(&mut self, status: u16, now: Timestamp, plan: &mut Answered) {
        let site = Arc::clone(&self.site);
        let mut held = Vec::new();
        for found in std::mem::take(&mut self.clicks) {
            let Some(network) = site.networks.get(found.network) else { continue };
            let is_unfit = found.is_landing && self.disregard.is_some();
            let result = match (found.arrived, found.withheld) {
                (Err(reason), _) => ClickResult::Invalid(reason),
                (Ok(_), _) if is_unfit && self.disregard == Some(NotAVisit::Bot) => ClickResult::Bot,
                (Ok(_), _) if is_unfit => ClickResult::NotVisited,
                (Ok(_), _) if status == 101 => ClickResult::Unset,
                (Ok(_), _) if status == 304 => ClickResult::NotModified,
                (Ok(arrived), Some(Withheld::Held)) => {
                    let ids = arrived.ids.iter().map(|id| id.as_str().to_owned()).collect();
                    held.push(HeldClick { at: now, network: network.key.to_string(), ids });
                    ClickResult::Held
                }
                (Ok(_), Some(Withheld::Refused)) => ClickResult::Refused,
                (Ok(_), Some(Withheld::UntilReferer)) => ClickResult::Pending,
                (Ok(_), Some(Withheld::Dropped)) => ClickResult::Dropped,
                (Ok(arrived), None) => {
                    let ids = arrived.ids.iter().map(|id| id.as_str().to_owned()).collect();
                    self.landed.push((found.network, ids));
                    if !arrived.changes_cookie {
                        ClickResult::Kept
                    } else if self.set_cookie(&network.cookie, &click::cookie_value(&arrived.kept), plan) {
                        ClickResult::Accepted
                    } else {
                        ClickResult::Oversized
                    }
                }
            };
            plan.clicks.push((found.network, result));
        }
        self.hold(held, now, plan);
    }

    pub(super) fn plan_matches(&mut self, status: u16, room: Room<'_>, plan: &mut Answered) {
        let site = Arc::clone(&self.site);
        for index in std::mem::take(&mut self.sync_everywhere) {
            let Some(network) = site.networks.get(index) else { continue };
            let Some(sync) = &network.sync else { continue };
            let SyncPages::All { marker } = &sync.pages else { continue };
            if status != 200 || !room.is_open() || self.disregard.is_some() {
                continue;
            }
            match room.hold(|| sync.urls(&NoNames)) {
                // Most pages that can't be edited want no pixels; one whose policy forbids them does.
                None => plan.unreached.push(index),
                Some(urls) if self.set_cookie(marker, "1", plan) => plan.matches.push((index, urls)),
                Some(_) => {}
            }
        }
    }

    /// Plans a cookie, unless all of ours together would grow over their limit.
    pub(super) fn set_cookie(&self, cookie: &SetCookie, value: &str, plan: &mut Answered) -> bool {
        let fits = self.has_room_for(cookie, value, &plan.set_cookies);
        if fits {
            plan.set_cookies.push(cookie.line(value, &self.host, self.over_tls));
        }
        fits
    }
}

/// Pixels of a pure cookie match know no conversion.
struct NoNames;

impl Scope for NoNames {
    fn lookup(&self, _: &str) -> Option<Datum> {
        None
    }
}
