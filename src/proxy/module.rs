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

use super::{
    preview::Notes,
    runtime::{TrackedSite, Tracker},
};
use crate::{
    store::clock,
    tracking::{
        body::BodyTee,
        preview::{Conversions, Preview},
        visit::{Client, Request, Visit},
    },
};

mod body;
mod breakage;
mod edit;
mod head;
mod insertion;
mod late;
mod passage;
mod reading;
mod recall;
mod recipient;
mod script;

use breakage::Breakage;
use edit::Edit;
use late::Lookup;
use passage::Passage;
pub(crate) use reading::Body;
use reading::Reading;
use recall::Recall;
use recipient::Recipient;

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
            recipient: Recipient::speaking(Version::HTTP_11),
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
    recipient: Recipient,
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
            self.recipient = self.recipient.accepting(&request.headers);
            head::ask_for_whole_page(request, &visit, self.recipient.takes_plain);
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

    /// Takes the visit from the head of its answer to what follows it.
    async fn answered(&mut self, response: &mut ResponseHeader, ends: bool) {
        let Stage::Visiting(site, mut visit) = mem::replace(&mut self.stage, Stage::Inert) else { return };
        let Some(tracker) = self.tracker.clone() else { return };
        if let Some(upload) = self.upload.take() {
            guarded(|| visit.take_body(upload.finish()));
        }
        let client = (self.recipient, self.endpoint);
        let mut passage = Passage::new(tracker, site, visit, client, response, ends);
        let Some(decision) = passage.decide(self.recall.take()).await else { return };
        let commitment = passage.commit(decision, self.late.take()).await;
        self.waited = commitment.waited;
        let (reading, edit) = passage.go_on(commitment);
        self.reading = reading;
        self.stage = edit.map_or(Stage::Inert, Stage::Editing);
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
        self.recipient = Recipient::speaking(request.version);
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
        if self.recipient.is_http10 {
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
