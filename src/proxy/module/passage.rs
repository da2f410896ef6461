//! The head of the site's answer on its way past a visit, in four steps: what the answer is, what is decided
//! on it, what of that is written down while it waits, and what goes into the page behind it.
//!
//! Each step leaves a value for the next. What can be decided without waiting and without doing anything
//! belongs to [`Visit`].

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pingora::http::ResponseHeader;
use uuid::Uuid;

use super::{
    Endpoint,
    edit::Edit,
    guarded, head,
    insertion::{self, Insertion},
    late::{Found, Lookup},
    reading::{self, Body, Reading},
    recall::{Recall, Recalled},
    recipient::Recipient,
    script::Script,
};
use crate::{
    html::page::{Page, Syntax, Untouchable},
    metrics::site::Injection,
    proxy::{
        commit::{self, Pixels, Written},
        consequences::{self, Committed},
        runtime::{TrackedSite, Tracker},
    },
    store::clock,
    tracking::{
        late::Awaited,
        timestamp::Timestamp,
        visit::{Answered, Reply, Room, Visit},
    },
};

/// An answer that waits for what its visit makes of it.
pub(super) struct Passage<'a> {
    tracker: Arc<Tracker>,
    site: Arc<TrackedSite>,
    visit: Box<Visit>,
    recipient: Recipient,
    endpoint: Endpoint,
    response: &'a mut ResponseHeader,
    has_body: bool,
    /// The page that follows, or why nothing can go into it.
    page: Result<Page, Untouchable>,
    /// The conversions that it is a hit of.
    hits: Vec<usize>,
    /// When it came.
    now: Timestamp,
    since: Instant,
}

/// What is decided on an answer.
pub(super) struct Decision {
    plan: Answered,
    journey: Recalled,
    /// How the body is read, where it is.
    body: Option<Body>,
}

/// What is known when the answer must go on.
pub(super) struct Commitment {
    pixels: Vec<Pixels>,
    /// The path of the frame that awaits verdicts.
    frame: Option<String>,
    committed: Committed,
    journey: Recalled,
    body: Option<Body>,
    /// How long a conversion, or a late verdict, has held the answer.
    pub(super) waited: Duration,
}

impl<'a> Passage<'a> {
    /// Looks at what the answer is; it `ends` with its head if it has no body.
    pub(super) fn new(
        tracker: Arc<Tracker>,
        site: Arc<TrackedSite>,
        visit: Box<Visit>,
        (recipient, endpoint): (Recipient, Endpoint),
        response: &'a mut ResponseHeader,
        ends: bool,
    ) -> Self {
        let (hits, now) = (visit.conversions().collect(), clock::now());
        let has_body = visit.has_body() && !ends;
        let page = recipient.editable(response, has_body);
        if !visit.has_body()
            && visit.may_edit_page()
            && let Ok(page) = recipient.editable(response, true)
        {
            // What GET would answer may be another page for everybody, and longer.
            recipient.expect_other_bytes(page, response);
            head::keep_from_all_caches(response);
        }
        let since = clock::instant();
        Self { tracker, site, visit, recipient, endpoint, response, has_body, page, hits, now, since }
    }

    /// Has the visit decide, as soon as its journey is there or can't be waited for any longer.
    ///
    /// `None` when the decision ended in a panic: the answer goes on as if there were no visit.
    pub(super) async fn decide(&mut self, recall: Option<Recall>) -> Option<Decision> {
        let journey = Recall::finish(recall, &self.tracker, &self.visit, &self.response.headers).await;
        let Self { site, visit, page, hits, now, .. } = self;
        let headers = &self.response.headers;
        let reads = self.has_body && visit.may_read_answer();
        let body = reads.then(|| guarded(|| Body::following(headers, site)).flatten()).flatten();
        let restricted = insertion::restricted_page(headers, visit);
        let lets_load = |url: &str| restricted.as_ref().is_none_or(|page| site.csp.lets_load(headers, page, url));
        let room = if page.is_ok() { Room::For(&lets_load) } else { Room::Closed };
        let (status, may_have_body) = (self.response.status.as_u16(), body.is_some());
        let reply = Reply { status, headers, may_have_body, room, now: *now };
        let plan = guarded(|| match &journey {
            Recalled::InTime(journey) => visit.answered(reply, journey.as_deref(), &mut Uuid::now_v7),
            Recalled::Late(_) => visit.answered_too_soon(reply, &mut Uuid::now_v7),
        });
        if plan.is_none() {
            hits.iter().for_each(|conversion| site.metrics.unanswered(*conversion));
        }
        Some(Decision { plan: plan?, journey, body })
    }

    /// Carries out what was decided, and holds the answer until it is written down or can't be waited for.
    pub(super) async fn commit(&mut self, decision: Decision, lookup: Option<Lookup>) -> Commitment {
        let Decision { mut plan, journey, body } = decision;
        self.hits.iter().for_each(|conversion| self.site.metrics.hit(*conversion));
        head::set_cookies(self.response, &plan.set_cookies);
        consequences::at_once(&self.tracker, &self.site, &mut plan);
        let Answered { rows, claims, owing, matches, unreached, set_cookies, .. } = plan;
        self.count_unreached(unreached);
        let matched = |(network, urls)| Pixels { network, urls, awaits: None, result: Injection::Injected };
        let mut pixels: Vec<Pixels> = matches.into_iter().map(matched).collect();
        let awaited: Vec<Awaited> =
            rows.iter().filter(|row| row.awaits_verdict).map(|row| Awaited::of(&row.event)).chain(owing).collect();
        let is_held = !self.hits.is_empty() || lookup.is_some();
        let Self { tracker, site, visit, page, response, .. } = &*self;
        // What the journey has taken of the page's time is gone.
        let left = tracker.max_page_delay.saturating_sub(self.since.elapsed());
        let (shown, Written { committed, refused }, mut late) = tokio::join!(
            commit::claim(tracker, site, claims, self.now, left),
            commit::commit(tracker, site, rows, left),
            Found::of(lookup, tracker, site, visit, page.is_ok().then_some(&response.headers), left)
        );
        pixels.extend(shown);
        pixels.append(&mut late.pixels);
        let waited = if is_held { self.since.elapsed() } else { Duration::ZERO };
        let awaited = awaited.into_iter().filter(|it| !refused.contains(&it.event_id)).collect();
        let frame = self.remember(late, awaited, &set_cookies);
        Commitment { pixels, frame, committed, journey, body, waited }
    }

    /// Puts together what goes into the page, and yields who reads the body that follows and who edits it.
    pub(super) fn go_on(mut self, commitment: Commitment) -> (Option<Box<Reading>>, Option<Box<Edit>>) {
        let Commitment { pixels, frame, committed, journey, body, .. } = commitment;
        let insertion = self.page.ok().and_then(|page| Some((page, self.insertion(page, pixels, frame)?)));
        let Self { tracker, site, visit, recipient, response, .. } = self;
        let mut reading = None;
        if visit.awaits_body() {
            let claims = insertion.as_ref().map(|(_, insertion)| insertion.awaited()).unwrap_or_default();
            let is_read = body.is_some();
            let awaited = reading::Awaited { journey, committed, claims };
            let awaiting = Reading::new(&tracker, &site, visit, awaited, body);
            if is_read {
                reading = Some(Box::new(awaiting));
            } else {
                // Only a late journey is awaited.
                drop(awaiting.finish());
            }
        }
        let edit = insertion.map(|(page, insertion)| {
            recipient.expect_other_bytes(page, response);
            head::in_chunks(response, recipient.is_http10);
            if !insertion.may_be_kept() {
                head::keep_from_all_caches(response);
            }
            Box::new(Edit::new(site, insertion, page, recipient.recoding(page, response)))
        });
        (reading, edit)
    }

    /// Counts the pixels that have no room in this page.
    fn count_unreached(&self, networks: Vec<usize>) {
        let refused = self.page.as_ref().err().copied().map_or(Injection::Csp, Injection::Untouchable);
        networks.into_iter().for_each(|network| self.site.metrics.injection(network, refused));
    }

    /// Gives the visitor a cookie with the verdicts that are awaited from now on, and yields the path of a
    /// frame that awaits them, if the page can have one.
    fn remember(&mut self, late: Found, awaited: Vec<Awaited>, set_cookies: &[String]) -> Option<String> {
        let late = late.remember(awaited, &self.visit, set_cookies, self.response)?;
        if self.endpoint == Endpoint::Unknown || self.page.is_err() {
            return None;
        }
        let path = self.visit.late_frame(&late)?;
        let page = insertion::page(&self.visit);
        self.site.csp.lets_own_frame(&self.response.headers, &page, &path).then_some(path)
    }

    fn insertion(&mut self, page: Page, pixels: Vec<Pixels>, frame: Option<String>) -> Option<Insertion> {
        let Self { site, visit, response, .. } = self;
        // In XML its text would not be a script's.
        let can_run = page.syntax == Syntax::Html && self.endpoint == Endpoint::Answered && visit.is_bridged();
        let prepared = can_run.then(|| guarded(|| Script::prepare(site, &insertion::page(visit), response)));
        let script = prepared.flatten().flatten();
        let is_edited = !pixels.is_empty() || frame.is_some() || script.is_some();
        is_edited.then(|| Insertion::new(pixels, frame, insertion::page(visit), site.csp, response).with_script(script))
    }
}
