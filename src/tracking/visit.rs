//! One request, decided: what it brings is read when it arrives, what follows is planned when the
//! site has answered, and the rest when the body of the answer has passed.
//!
//! A visit does nothing itself. It returns plans, and whoever holds it carries them out; so it needs
//! no clock, no randomness and no store, and every decision can be tested as a function.

use std::sync::Arc;

use http::HeaderMap;
use uuid::Uuid;

use super::{
    body::RequestBody,
    conversion::ConversionRule,
    human::NotAVisit,
    journey::{Journey, JourneyKey},
    network::Mode,
    site::SiteRules,
    timestamp::Timestamp,
    value::Source,
};

mod answering;
mod arrival;
mod consents;
mod facts;
mod forgetting;
mod grounds;
mod hit;
mod late;
mod naming;
mod opening;
mod path;
mod plan;
mod remembrance;
mod request;
mod telling;

pub use consents::Consents;
pub use facts::AnswerBody;
pub use forgetting::HOLD_COOKIE;
pub use plan::{Answered, ClaimEnd, Decided, Hold, PlannedClaim, PlannedRow, Withdrawal};
pub use remembrance::{CaptureResult, Remembrance};
pub use request::{Client, Request};

use arrival::{FoundClick, HeldClick};
use hit::Hit;
use late::LateMark;
use remembrance::Passing;
use request::Record;

/// Which pixels a page can carry.
#[derive(Clone, Copy)]
pub enum Room<'a> {
    /// None: it cannot be edited.
    Closed,
    /// Those whose addresses its policy lets load.
    For(&'a dyn Fn(&str) -> bool),
}

impl Room<'_> {
    const fn is_open(self) -> bool {
        matches!(self, Self::For(_))
    }

    /// The addresses that there is room for; `None` when there is none for any of them.
    fn hold(self, urls: impl FnOnce() -> Vec<String>) -> Option<Vec<String>> {
        let Self::For(lets_load) = self else { return None };
        let mut urls = urls();
        let wanted = urls.len();
        urls.retain(|url| lets_load(url));
        (!urls.is_empty() || wanted == 0).then_some(urls)
    }
}

/// The head of the site's final answer.
#[derive(Clone, Copy)]
pub struct Reply<'a> {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Whether a body follows that can be read.
    pub may_have_body: bool,
    /// Which pixels can go into the page.
    pub room: Room<'a>,
    /// When it came.
    pub now: Timestamp,
}

/// One request that tracking has something to say about.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of the request by itself")]
#[derive(Debug)]
pub struct Visit {
    site: Arc<SiteRules>,
    host: String,
    port: Option<u16>,
    over_tls: bool,
    /// Whether it can be answered with a page at all: GET or POST, no HEAD.
    has_body: bool,
    disregard: Option<NotAVisit>,
    consents: Consents,
    clicks: Vec<FoundClick>,
    /// Click IDs that were found good, by network.
    landed: Vec<(usize, Vec<String>)>,
    /// Clicks that were held until now.
    held: Option<Vec<HeldClick>>,
    /// Clicks that must wait on.
    held_on: Vec<HeldClick>,
    /// The paid channel that brought the visitor.
    channel: Option<String>,
    hits: Vec<Hit>,
    captures: Vec<Passing>,
    /// There whenever a hit or a capture is.
    record: Option<Box<Record>>,
    body: RequestBody,
    /// The head of the answer, while its body is awaited.
    answer: Option<(u16, HeaderMap)>,
    sync_everywhere: Vec<usize>,
    /// Whether the script that tells us the visitor's choice goes into the page.
    is_bridged: bool,
    visitor: Option<Uuid>,
    /// Under which the journey is found without our cookie.
    sessions: Vec<JourneyKey>,
    /// Whether another site has sent the visitor's browser here, which so brought no cookies.
    is_sent_back: bool,
    withdrawal: Option<Withdrawal>,
    /// What the cookie that names open verdicts means.
    late: LateMark,
    /// Whether conversions are decided and shown, but neither stored nor sent.
    is_held: bool,
    cookie_bytes: usize,
}

/// What the store has said of the journey when the page must go on.
enum Recalled<'a> {
    /// All that is known.
    InTime(Option<&'a Journey>),
    /// Nothing yet.
    Late,
}

impl Visit {
    /// Whether the script that tells us the visitor's choice goes into the page, if it can be edited.
    #[must_use]
    pub const fn is_bridged(&self) -> bool {
        self.is_bridged
    }

    /// Whether a click parameter arrived: a 304 could not carry its cookie, so the site must not be
    /// asked conditionally.
    #[must_use]
    pub fn has_click_parameter(&self) -> bool {
        self.clicks.iter().any(|click| click.is_landing)
    }

    /// Where the page stands for the visitor's browser: scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> (&'static str, &str, Option<u16>) {
        (if self.over_tls { "https" } else { "http" }, &self.host, self.port)
    }

    /// Whether something may have to go into the page, so that the site must be asked for all of it, plain.
    ///
    /// For HEAD: whether they may have to with GET, so that both get the same head.
    #[must_use]
    pub fn may_edit_page(&self) -> bool {
        let counts = self.disregard.is_none() || !self.has_body;
        let carries = |network: usize| {
            let rules = self.site.networks.get(network);
            let headers = self.record.as_ref().map(|record| record.request().headers);
            let carried = rules.zip(headers).is_some_and(|(rules, headers)| !rules.click.carried(headers).is_empty());
            carried || self.clicks.iter().any(|click| click.network == network && click.arrived.is_ok())
        };
        let shows = || !self.is_held && self.hits.iter().any(|hit| hit.may_show_pixels(&self.site, &carries));
        self.is_bridged || counts && (!self.sync_everywhere.is_empty() || self.may_show_late() || shows())
    }

    /// Whether the body of the answer may have to be read, so that all of it is needed.
    #[must_use]
    pub fn may_read_answer(&self) -> bool {
        let needs_proof = || self.hit_rules().any(|rule| !rule.proof.is_empty());
        self.reads(Source::is_in_body) || self.site.mode != Mode::Off && needs_proof()
    }

    /// Whether the body of the request has to be read.
    #[must_use]
    pub fn reads_request(&self) -> bool {
        self.reads(Source::is_in_request_body)
    }

    /// Keeps the conversions of this request from being stored, sent or fetched by pixels: its visitor
    /// previews the site.
    pub const fn hold_conversions(&mut self) {
        self.is_held = true;
    }

    /// Takes the body of the request, before the answer.
    pub fn take_body(&mut self, body: RequestBody) {
        self.body = body;
    }

    /// Whether anything about this request or its answer may be changed: not while tracking only watches.
    #[must_use]
    pub fn may_change(&self) -> bool {
        self.site.mode == Mode::On
    }

    /// The conversions that this request matches.
    pub fn conversions(&self) -> impl Iterator<Item = usize> {
        self.hits.iter().map(|hit| hit.conversion)
    }

    /// Whether the answer has a body when its head allows one.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        self.has_body
    }

    /// Plans what follows from the head of the site's final answer.
    ///
    /// `uuid` makes fresh identifiers. What waits for the body of the answer follows with
    /// [`finished`](Self::finished).
    pub fn answered(
        &mut self,
        reply: Reply<'_>,
        journey: Option<&Journey>,
        uuid: &mut dyn FnMut() -> Uuid,
    ) -> Answered {
        self.plan_head(reply, &Recalled::InTime(journey), uuid)
    }

    /// The same while the journey is still awaited: conversions are candidates until
    /// [`finished`](Self::finished).
    pub fn answered_too_soon(&mut self, reply: Reply<'_>, uuid: &mut dyn FnMut() -> Uuid) -> Answered {
        self.plan_head(reply, &Recalled::Late, uuid)
    }

    fn plan_head(&mut self, reply: Reply<'_>, journey: &Recalled<'_>, uuid: &mut dyn FnMut() -> Uuid) -> Answered {
        let mut plan = Answered { withdrawal: self.withdrawal.take(), ..Answered::default() };
        plan.consent = self.consents.counted();
        self.plan_forgetting(reply.now, &mut plan);
        self.plan_clicks(reply.status, reply.now, &mut plan);
        let had_visitor = self.visitor.is_some();
        self.plan_remembrance(reply, &mut plan, uuid);
        self.plan_hits(reply, None, journey, &mut plan, uuid);
        self.plan_captures(reply, None, &mut plan, uuid);
        if let (false, Some(visitor), Some(seal)) = (had_visitor, self.visitor, &self.site.seal) {
            let sealed = seal.seal(visitor);
            self.set_cookie(&self.site.visitor_cookie, &sealed, &mut plan);
        }
        self.plan_matches(reply.status, reply.room, &mut plan);
        if self.awaits_body() {
            self.answer = Some((reply.status, reply.headers.clone()));
        }
        plan
    }

    /// Whether something waits for the body of the answer.
    #[must_use]
    pub fn awaits_body(&self) -> bool {
        !self.hits.is_empty() || !self.captures.is_empty()
    }

    /// Plans what had to wait for the body of the answer.
    pub fn finished(
        &mut self,
        body: &AnswerBody,
        journey: Option<&Journey>,
        now: Timestamp,
        uuid: &mut dyn FnMut() -> Uuid,
    ) -> Answered {
        let mut plan = Answered::default();
        let Some((status, headers)) = self.answer.take() else { return plan };
        let reply = Reply { status, headers: &headers, may_have_body: false, room: Room::Closed, now };
        self.plan_hits(reply, Some(body), &Recalled::InTime(journey), &mut plan, uuid);
        self.plan_captures(reply, Some(body), &mut plan, uuid);
        plan
    }

    fn hit_rules(&self) -> impl Iterator<Item = &ConversionRule> {
        self.hits.iter().filter_map(|hit| self.site.conversions.get(hit.conversion))
    }

    /// Whether a hit or a capture reads something of this kind; where nothing is done, none does.
    fn reads(&self, is_meant: impl Fn(&Source) -> bool) -> bool {
        if self.site.mode == Mode::Off {
            return false;
        }
        let captures = self.captures.iter().filter_map(|passing| self.site.captures.get(passing.capture));
        self.hit_rules().any(|rule| rule.sources().iter().any(|source| is_meant(source)))
            || captures.into_iter().any(|rule| rule.sources().iter().any(|source| is_meant(source)))
    }
}

#[cfg(test)]
mod tests;
