//! Under which names a visitor's journey is kept and found, and what a request adds to it.

use http::HeaderMap;
use uuid::Uuid;

use super::{Answered, Remembrance, Reply, Visit, hit::Hit, remembrance};
use crate::tracking::{
    journey::{Identifier, Journey, JourneyKey, Remembered},
    network::Mode,
    value::View,
};

impl Visit {
    /// Plans what the request itself adds to the journey: clicks, and the channel that was paid for them.
    pub(super) fn plan_remembrance(&mut self, reply: Reply<'_>, plan: &mut Answered, uuid: &mut dyn FnMut() -> Uuid) {
        let counts = self.site.mode == Mode::On && self.consents.allows_journey();
        if !self.site.keeps_journeys() || !counts || reply.status == 304 {
            return;
        }
        // A click that had to wait may come with anything that the page loads.
        let channel = self.channel.take().filter(|_| self.disregard.is_none());
        let mut journey = Journey::default();
        for click in &self.landed {
            let key = self.site.click_owner(click.0).to_owned();
            journey.clicks.extend(remembrance::recalled(&key, click.1.iter().map(String::as_str), reply.now));
        }
        journey.channel = channel.map(|name| Remembered::new(name, reply.now));
        if !journey.clicks.is_empty() || journey.channel.is_some() {
            self.remember(journey, None, reply, plan, uuid);
        }
    }

    /// Plans that something is remembered under all that this visitor can be recognised by.
    pub(super) fn remember(
        &mut self,
        mut journey: Journey,
        order: Option<&str>,
        reply: Reply<'_>,
        plan: &mut Answered,
        uuid: &mut dyn FnMut() -> Uuid,
    ) {
        let Some(names) = self.site.journeys.clone() else { return };
        if self.visitor.is_none() && self.answer.is_none() {
            self.visitor = Some(uuid());
        }
        for session in remembrance::given_sessions(&self.site, reply.headers) {
            if !self.sessions.contains(&session) {
                self.sessions.push(session);
            }
        }
        let mut keys = self.keys();
        keys.extend(order.and_then(|order| names.order(&self.site.name, order)));
        journey.keys = keys.iter().map(|key| (*key, reply.now)).collect();
        let expires = reply.now.plus(self.site.journey_ttl);
        plan.remembrances.push(Remembrance { keys, journey, expires });
    }

    /// Under which the journey of this visitor is found.
    #[must_use]
    pub fn keys(&self) -> Vec<JourneyKey> {
        let Some(names) = &self.site.journeys else { return Vec::new() };
        let visitor = self.visitor.and_then(|visitor| names.visitor(&self.site.name, visitor));
        visitor.into_iter().chain(self.sessions.iter().copied()).collect()
    }

    /// Under which the journey of a request's order is found, once the answer's head is there: one that
    /// another server reports, or another site has sent the visitor back with.
    #[must_use]
    pub fn order_keys(&self, response: &HeaderMap) -> Vec<JourneyKey> {
        let (Some(names), Some(record)) = (&self.site.journeys, &self.record) else { return Vec::new() };
        let by_order = |hit: &&Hit| self.is_sent_back || hit.is_from_server(&self.site);
        let orders = self.hits.iter().filter(by_order).filter_map(|hit| {
            let rule = self.site.conversions.get(hit.conversion)?;
            let view =
                View { body: Some(&self.body), response: Some(response), ..record.request().view(&hit.path).into() };
            let (fields, _) = rule.read_fields(view);
            rule.read_once(view, &fields)
        });
        orders.flat_map(|order| names.all(&self.site.name, Identifier::Order(&order))).collect()
    }

    /// Under which the journey of this visitor may have been remembered, also with older secrets.
    #[must_use]
    pub fn recalled_keys(&self) -> Vec<JourneyKey> {
        let (Some(names), Some(record)) = (&self.site.journeys, &self.record) else { return Vec::new() };
        let visitor = self.visitor.map(|visitor| names.all(&self.site.name, Identifier::Visitor(visitor)));
        let sessions = remembrance::all_sessions(&self.site, record.request().headers);
        visitor.into_iter().flatten().chain(sessions).collect()
    }

    /// Whether a journey may have to be recalled for it.
    #[must_use]
    pub fn recalls(&self) -> bool {
        self.site.keeps_journeys() && self.site.mode != Mode::Off && !self.hits.is_empty()
    }
}
