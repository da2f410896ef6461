//! The tracking module: a Pingora `HttpModule` that any `ProxyHttp` can install.
//!
//! The host adds it in `init_downstream_modules` and arms it in `early_request_filter`, saying whose
//! request it is; everything else happens here. Nothing returns an error for tracking's sake: whatever
//! goes wrong with it, the page goes on as if the module were not there. The one error there is ends a
//! compressed page that is broken itself; the host calls [`break_off`] when it handles its errors.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::Version;
use pingora::{
    Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::{HttpModule, HttpModuleBuilder, HttpModules, Module},
};
use uuid::Uuid;

use super::{
    commit::{self, Pixels, Written},
    consequences,
    preview::Notes,
    runtime::{TrackedSite, Tracker},
};
use crate::{
    html::{
        coding,
        page::{self, Page, Syntax, Untouchable},
    },
    metrics::site::Injection,
    store::clock,
    tracking::{
        body::BodyTee,
        late::Awaited,
        preview::{Conversions, Preview},
        visit::{Answered, Client, Reply, Request, Room, Visit},
    },
};

mod body;
mod breakage;
mod edit;
mod head;
mod insertion;
mod late;
mod reading;
mod recall;
mod script;

use breakage::{Breakage, Sent};
use edit::{Edit, Onward};
use insertion::Insertion;
use late::{Found, Lookup};
pub(crate) use reading::Body;
use reading::Reading;
use recall::{Recall, Recalled};
use script::Script;

pub use breakage::break_off;

/// Installs the module; one per proxy.
pub fn install(modules: &mut HttpModules) {
    modules.add_module(Box::new(Builder));
}

struct Builder;

impl HttpModuleBuilder for Builder {
    fn init(&self) -> Module {
        Box::new(Tracking {
            tracker: None,
            stage: Stage::Inert,
            is_http10: false,
            takes_plain: true,
            takes_gzip: false,
            waited: Duration::ZERO,
            upload: None,
            recall: None,
            late: None,
            endpoint: Endpoint::Unknown,
            reading: None,
            preview: None,
        })
    }
}

/// Tracking of one request.
pub struct Tracking {
    /// Known once it is armed.
    tracker: Option<Arc<Tracker>>,
    stage: Stage,
    is_http10: bool,
    /// Whether the client takes a page that is not encoded.
    takes_plain: bool,
    takes_gzip: bool,
    waited: Duration,
    /// The body of the request, where a rule reads it.
    upload: Option<Box<BodyTee>>,
    /// The visitor's journey, on its way from the store.
    recall: Option<Recall>,
    /// The verdicts on the visitor's earlier conversions, on their way from the store.
    late: Option<Lookup>,
    endpoint: Endpoint,
    /// The body of the answer, where a rule reads it.
    reading: Option<Box<Reading>>,
    /// What is shown of it, to a visitor who previews the site.
    preview: Option<Arc<Notes>>,
}

/// What the host does with requests for what is below our endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    /// Nothing that we know of: the site would be asked.
    Unknown,
    /// They are answered.
    Answered,
}

/// How far a request has come.
enum Stage {
    /// Nothing is tracked, or nothing any more.
    Inert,
    /// The host has said whose request it is.
    Armed(Arc<TrackedSite>, Client),
    /// There is something to do when the site has answered.
    Visiting(Arc<TrackedSite>, Box<Visit>),
    /// Pixels are going into the page.
    Editing(Box<Edit>),
    /// All that can be sent of the page has been.
    Over,
    /// The page can't go on, and must not look as if it had ended.
    Broken(Box<Breakage>),
}

impl Tracking {
    /// Makes this request tracked as one of `site`'s, which is one of `tracker`'s.
    pub fn arm(&mut self, tracker: &Arc<Tracker>, site: &Arc<TrackedSite>, client: Client) {
        self.tracker = Some(Arc::clone(tracker));
        self.stage = Stage::Armed(site.in_force(), client);
    }

    /// Lets pages have frames: the host answers what is below the site's endpoint.
    ///
    /// Without it, a verdict that comes late waits for the visitor's next page.
    pub fn allow_frames(&mut self) {
        self.endpoint = Endpoint::Answered;
    }

    /// Leaves this request alone, for answers of the host's own.
    pub fn disarm(&mut self) {
        self.stage = Stage::Inert;
        if let Some(notes) = self.preview.take() {
            notes.discard();
        }
    }

    /// Whether a conversion hangs on this request, so that it should be finished even when the
    /// visitor leaves.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        matches!(&self.stage, Stage::Visiting(_, visit) if visit.conversions().next().is_some())
    }

    /// The path pattern of the first conversion that hangs on this request.
    #[must_use]
    pub fn route(&self) -> Option<String> {
        let Stage::Visiting(site, visit) = &self.stage else { return None };
        let rule = site.rules.conversions.get(visit.conversions().next()?)?;
        rule.triggers.first()?.paths.first().map(ToString::to_string)
    }

    /// How long the page was held for the store.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    fn begin(&mut self, request: &mut RequestHeader) {
        let Stage::Armed(site, client) = mem::replace(&mut self.stage, Stage::Inert) else { return };
        let (site, conversions) = self.previewed(site, request);
        let visit = guarded(|| Visit::begin(&site.rules, &facts(request, client))).flatten();
        // Most requests leave nothing to be done.
        if let Some(mut visit) = visit
            && let Some(tracker) = self.tracker.clone()
        {
            if conversions == Conversions::Held {
                visit.hold_conversions();
            }
            let site = guarded(|| site.asked_for(&facts(request, client), &visit)).flatten().unwrap_or(site);
            self.takes_plain = !coding::refuses_identity(&request.headers);
            self.takes_gzip = coding::accepts_gzip(&request.headers);
            head::ask_for_whole_page(request, &visit, self.takes_plain);
            if visit.has_click_parameter() {
                head::spare_click_parameters(request, &site.rules);
            }
            self.upload = visit.reads_request().then(|| BodyTee::for_request(&request.headers)).flatten().map(Box::new);
            self.recall = Recall::start(&tracker, &visit);
            self.late = Lookup::start(&tracker, &site, &visit, &request.headers);
            self.stage = Stage::Visiting(site, Box::new(visit));
        }
    }

    /// The site as it answers a visitor who previews it, and as it is for all others.
    fn previewed(&mut self, site: Arc<TrackedSite>, request: &RequestHeader) -> (Arc<TrackedSite>, Conversions) {
        let headers = &request.headers;
        if !Preview::may_be_in(headers) {
            return (site, Conversions::Sent);
        }
        let rules = &site.rules;
        let opened = guarded(|| Preview::carried(headers, rules.seal.as_deref()?, &rules.name, clock::now())).flatten();
        let Some(preview) = opened else { return (site, Conversions::Sent) };
        let notes = Notes::new(&preview, rules, &request.method, request.uri.path(), headers);
        self.preview = Some(Arc::clone(&notes));
        (site.noting(notes), preview.conversions)
    }

    /// Forgets what has been seen of the request's body: another attempt sends it again.
    pub fn begin_again(&mut self) {
        if let Some(upload) = &mut self.upload {
            upload.reset();
        }
    }

    async fn answered(&mut self, response: &mut ResponseHeader, ends: bool) {
        let status = response.status.as_u16();
        let Stage::Visiting(site, mut visit) = mem::replace(&mut self.stage, Stage::Inert) else { return };
        let Some(tracker) = self.tracker.clone() else { return };
        let hits: Vec<usize> = visit.conversions().collect();
        let now = clock::now();
        if let Some(upload) = self.upload.take() {
            guarded(|| visit.take_body(upload.finish()));
        }
        let has_body = visit.has_body() && !ends;
        let page = self.editable(status, response, has_body);
        if !visit.has_body()
            && visit.may_edit_page()
            && let Ok(page) = self.editable(status, response, true)
        {
            // What GET would answer may be another page for everybody, and longer.
            head::of_unknown_length(response, page, self.takes_gzip);
            head::keep_from_all_caches(response);
        }
        let start = clock::instant();
        let journey = Recall::finish(self.recall.take(), &tracker, &visit, &response.headers).await;
        let reads = has_body && visit.may_read_answer();
        let body = reads.then(|| guarded(|| Body::following(&response.headers, &site)).flatten()).flatten();
        let plan = {
            let restricted = insertion::restricted_page(&response.headers, &visit);
            let lets_load =
                |url: &str| restricted.as_ref().is_none_or(|page| site.csp.lets_load(&response.headers, page, url));
            let room = if page.is_ok() { Room::For(&lets_load) } else { Room::Closed };
            let reply = Reply { status, headers: &response.headers, may_have_body: body.is_some(), room, now };
            guarded(|| match &journey {
                Recalled::InTime(journey) => visit.answered(reply, journey.as_deref(), &mut Uuid::now_v7),
                Recalled::Late(_) => visit.answered_too_soon(reply, &mut Uuid::now_v7),
            })
        };
        let Some(mut plan) = plan else {
            return hits.into_iter().for_each(|conversion| site.metrics.unanswered(conversion));
        };
        hits.iter().for_each(|conversion| site.metrics.hit(*conversion));
        head::set_cookies(response, &plan.set_cookies);
        consequences::at_once(&tracker, &site, &mut plan);
        let Answered { rows, claims, owing, matches, unreached, set_cookies, .. } = plan;
        let refused = page.as_ref().err().copied().map_or(Injection::Csp, Injection::Untouchable);
        unreached.into_iter().for_each(|network| site.metrics.injection(network, refused));
        let matched = |(network, urls)| Pixels { network, urls, awaits: None, result: Injection::Injected };
        let mut pixels: Vec<Pixels> = matches.into_iter().map(matched).collect();
        let awaited: Vec<Awaited> =
            rows.iter().filter(|row| row.awaits_verdict).map(|row| Awaited::of(&row.event)).chain(owing).collect();
        let lookup = self.late.take();
        let is_late = lookup.is_some();
        // What the journey has taken of the page's time is gone.
        let left = tracker.max_page_delay.saturating_sub(start.elapsed());
        let (shown, Written { committed, refused }, mut late) = tokio::join!(
            commit::claim(&tracker, &site, claims, now, left),
            commit::commit(&tracker, &site, rows, left),
            Found::of(lookup, &tracker, &site, &visit, page.is_ok().then_some(&response.headers), left)
        );
        pixels.extend(shown);
        pixels.append(&mut late.pixels);
        if !hits.is_empty() || is_late {
            self.waited = start.elapsed();
        }
        let awaited = awaited.into_iter().filter(|it| !refused.contains(&it.event_id)).collect();
        let frame = late
            .remember(awaited, &visit, &set_cookies, response)
            .filter(|_| self.endpoint == Endpoint::Answered && page.is_ok())
            .and_then(|late| visit.late_frame(&late))
            .filter(|path| site.csp.lets_own_frame(&response.headers, &insertion::page(&visit), path));
        // In XML its text would not be a script's.
        let can_run = page.is_ok_and(|page| page.syntax == Syntax::Html)
            && self.endpoint == Endpoint::Answered
            && visit.is_bridged();
        let prepared = can_run.then(|| guarded(|| Script::prepare(&site, &insertion::page(&visit), response)));
        let script = prepared.flatten().flatten();
        let is_edited = !pixels.is_empty() || frame.is_some() || script.is_some();
        let insertion = page.ok().filter(|_| is_edited).map(|page| {
            let insertion = Insertion::new(pixels, frame, insertion::page(&visit), site.csp, response);
            (page, insertion.with_script(script))
        });
        if visit.awaits_body() {
            let claims = insertion.as_ref().map(|(_, insertion)| insertion.awaited()).unwrap_or_default();
            let awaited = reading::Awaited { journey, committed, claims };
            let is_read = body.is_some();
            let reading = Reading::new(&tracker, &site, visit, awaited, body);
            if is_read {
                self.reading = Some(Box::new(reading));
            } else {
                // Only a late journey is awaited.
                drop(reading.finish());
            }
        }
        if let Some((page, insertion)) = insertion {
            self.edit(site, insertion, page, response);
        }
    }

    /// Lets rules look at the bytes of the answer, before anything is done with them.
    fn read(&mut self, body: Option<&Bytes>, ends: bool) {
        if let (Some(reading), Some(bytes)) = (&mut self.reading, body) {
            reading.look_at(bytes);
        }
        if ends && let Some(reading) = self.reading.take() {
            let ends = reading.finish();
            if let Stage::Editing(edit) = &mut self.stage {
                edit.heed(&ends);
            }
        }
    }

    /// Whether pixels can go into the page that begins with this head.
    fn editable(&self, status: u16, response: &ResponseHeader, has_body: bool) -> Result<Page, Untouchable> {
        let page = page::editable(status, &response.headers, has_body)?;
        // A plain one that breaks off must do so visibly, which takes chunks.
        let can_be_plain = self.takes_plain && !self.is_http10;
        let is_left_encoded = page.coding.is_some() && !self.takes_gzip && !can_be_plain;
        if is_left_encoded { Err(Untouchable::Encoded) } else { Ok(page) }
    }

    fn edit(&mut self, site: Arc<TrackedSite>, insertion: Insertion, page: Page, response: &mut ResponseHeader) {
        head::of_unknown_length(response, page, self.takes_gzip);
        head::in_chunks(response, self.is_http10);
        if !insertion.may_be_kept() {
            head::keep_from_all_caches(response);
        }
        let onward = page
            .coding
            .map(|_| if self.takes_gzip { Onward::Gzip(Box::default()) } else { Onward::Plain(Sent::new(response)) });
        self.stage = Stage::Editing(Box::new(Edit::new(site, insertion, page, onward)));
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        if let Some(reading) = self.reading.take() {
            // A page that was cut off still counts with what it has shown.
            drop(reading.finish());
        }
        match &self.stage {
            Stage::Visiting(site, visit) => {
                visit.conversions().for_each(|conversion| site.metrics.unanswered(conversion));
            }
            Stage::Editing(edit) => edit.abandoned(),
            Stage::Inert | Stage::Armed(..) | Stage::Over | Stage::Broken(_) => {}
        }
    }
}

#[async_trait]
impl HttpModule for Tracking {
    async fn request_header_filter(&mut self, request: &mut RequestHeader) -> Result<()> {
        self.is_http10 = request.version == Version::HTTP_10;
        self.begin(request);
        Ok(())
    }

    async fn response_header_filter(&mut self, response: &mut ResponseHeader, ends: bool) -> Result<()> {
        let status = response.status.as_u16();
        // Early hints and the like run through here too; the answer is still to come.
        if status < 200 && status != 101 {
            return Ok(());
        }
        head::in_our_version(response);
        if self.is_http10 {
            head::without_chunks(response);
        }
        if matches!(self.stage, Stage::Visiting(..)) {
            // Boxed, so that the many answers without a visit don't carry the room for its waiting.
            Box::pin(self.answered(response, ends)).await;
        }
        if let Some(notes) = self.preview.as_ref().filter(|_| status != 101) {
            head::show_preview(response, notes.header());
        }
        Ok(())
    }

    async fn request_body_filter(&mut self, body: &mut Option<Bytes>, _ends: bool) -> Result<()> {
        if let (Some(upload), Some(bytes)) = (&mut self.upload, body) {
            upload.push(bytes);
        }
        Ok(())
    }

    fn response_body_filter(&mut self, body: &mut Option<Bytes>, ends: bool) -> Result<()> {
        if self.reading.is_some() {
            self.read(body.as_ref(), ends);
        }
        self.write(body, ends)
    }

    fn response_trailer_filter(&mut self, _trailers: &mut Option<Box<http::HeaderMap>>) -> Result<Option<Bytes>> {
        self.read(None, true);
        self.finish_late()
    }

    fn response_done_filter(&mut self) -> Result<Option<Bytes>> {
        self.read(None, true);
        self.finish_late()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// What tracking sees of a request.
pub(super) fn facts(request: &RequestHeader, client: Client) -> Request<'_> {
    Request {
        method: &request.method,
        path: request.uri.path(),
        query: request.uri.query().unwrap_or_default(),
        headers: &request.headers,
        authority: request.uri.host(),
        client,
    }
}

/// Runs a decision; a panic in it costs this request its tracking and nothing else.
fn guarded<T>(decide: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(decide)).ok()
}
