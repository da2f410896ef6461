//! The tracking module: a Pingora `HttpModule` that any `ProxyHttp` can install.
//!
//! The host adds it in `init_downstream_modules` and arms it in `early_request_filter`, saying whose
//! request it is; everything else happens here. Nothing in this file returns an error: whatever goes
//! wrong with tracking, the page goes on as if the module were not there.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Version, header};
use pingora::{
    Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::{HttpModule, HttpModuleBuilder, HttpModules, Module},
};
use uuid::Uuid;

use super::{
    commit,
    runtime::{TrackedSite, Tracker},
};
use crate::{
    html::{
        inject::Injector,
        page::{self, Untouchable},
    },
    metrics::site::Injection,
    store::clock,
    tracking::visit::{Answered, Client, Request, Room, Visit},
};

mod head;
mod insertion;

use insertion::Insertion;

/// Installs the module; one per proxy.
pub fn install(modules: &mut HttpModules, tracker: &Arc<Tracker>) {
    modules.add_module(Box::new(Builder { tracker: Arc::clone(tracker) }));
}

struct Builder {
    tracker: Arc<Tracker>,
}

impl HttpModuleBuilder for Builder {
    fn init(&self) -> Module {
        Box::new(Tracking {
            tracker: Arc::clone(&self.tracker),
            stage: Stage::Inert,
            is_http10: false,
            waited: Duration::ZERO,
        })
    }
}

/// Tracking of one request.
pub struct Tracking {
    tracker: Arc<Tracker>,
    stage: Stage,
    is_http10: bool,
    waited: Duration,
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
}

struct Edit {
    site: Arc<TrackedSite>,
    injector: Injector,
    insertion: Insertion,
}

impl Edit {
    fn count(&self, result: Injection) {
        self.insertion.networks().for_each(|network| self.site.metrics.injection(network, result));
    }
}

impl Tracking {
    /// Makes this request tracked as one of `site`'s.
    pub fn arm(&mut self, site: &Arc<TrackedSite>, client: Client) {
        self.stage = Stage::Armed(Arc::clone(site), client);
    }

    /// Leaves this request alone, for answers of the host's own.
    pub fn disarm(&mut self) {
        self.stage = Stage::Inert;
    }

    /// Whether a conversion hangs on this request, so that it should be finished even when the
    /// visitor leaves.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        matches!(&self.stage, Stage::Visiting(_, visit) if visit.conversions().next().is_some())
    }

    /// How long the page was held for the store.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    fn begin(&mut self, request: &mut RequestHeader) {
        let Stage::Armed(site, client) = mem::replace(&mut self.stage, Stage::Inert) else { return };
        let facts = Request {
            method: &request.method,
            path: request.uri.path(),
            query: request.uri.query().unwrap_or_default(),
            headers: &request.headers,
            authority: request.uri.host(),
            client,
        };
        let visit = guarded(|| Visit::begin(&site.rules, &facts)).flatten();
        if let Some(visit) = visit {
            head::ask_for_whole_page(request, &visit);
            if visit.has_click_parameter() {
                head::spare_click_parameters(request, &site.rules);
            }
            self.stage = Stage::Visiting(site, Box::new(visit));
        }
    }

    async fn answered(&mut self, response: &mut ResponseHeader, ends: bool) {
        let status = response.status.as_u16();
        let Stage::Visiting(site, mut visit) = mem::replace(&mut self.stage, Stage::Inert) else { return };
        let hits: Vec<usize> = visit.conversions().collect();
        let now = clock::now();
        let editable = page::editable(status, &response.headers, visit.has_body() && !ends);
        if !visit.has_body() && visit.may_edit_page() && page::editable(status, &response.headers, true).is_ok() {
            // What GET would answer may be longer.
            response.remove_header(&header::CONTENT_LENGTH);
        }
        let plan = {
            let restricted = insertion::restricted_page(&response.headers, &visit);
            let lets_load =
                |url: &str| restricted.as_ref().is_none_or(|page| site.csp.lets_load(&response.headers, page, url));
            let room = if editable.is_ok() { Room::For(&lets_load) } else { Room::Closed };
            guarded(|| visit.answered(status, room, now, &mut Uuid::now_v7))
        };
        let Some(plan) = plan else {
            return hits.into_iter().for_each(|conversion| site.metrics.unanswered(conversion));
        };
        hits.into_iter().for_each(|conversion| site.metrics.hit(conversion));
        let Answered { set_cookies, clicks, decided, rows, claims, matches, unreached, undeduplicated } = plan;
        head::set_cookies(response, &set_cookies);
        clicks.into_iter().for_each(|(network, result)| site.metrics.click(network, result));
        decided.into_iter().for_each(|it| site.metrics.outcome(it.conversion, it.send, it.outcome));
        undeduplicated.into_iter().for_each(|conversion| site.metrics.undeduplicated(conversion));
        let refused = editable.err().map_or(Injection::Csp, Injection::Untouchable);
        unreached.into_iter().for_each(|network| site.metrics.injection(network, refused));
        let mut pixels = matches;
        if !rows.is_empty() || !claims.is_empty() {
            let start = monotonic();
            let (shown, ()) = tokio::join!(
                commit::claim(&self.tracker, &site, claims, now),
                commit::commit(&self.tracker, &site, rows)
            );
            pixels.extend(shown);
            self.waited = start.elapsed();
        }
        if pixels.is_empty() {
            return;
        }
        let insertion = Insertion::new(pixels, insertion::page(&visit), site.csp, response);
        head::of_unknown_length(response, self.is_http10);
        head::keep_from_all_caches(response);
        self.stage = Stage::Editing(Box::new(Edit { site, injector: Injector::new(), insertion }));
    }

    fn write(&mut self, body: &mut Option<Bytes>, ends: bool) {
        let Stage::Editing(edit) = &mut self.stage else { return };
        let chunk = body.take().unwrap_or_default();
        let looked = guarded(|| edit.insertion.look_at(&chunk));
        let Some(passed) = looked.and_then(|()| guarded(|| edit.injector.write(&chunk))) else {
            // The held bytes are outside of what failed; the page goes on unedited.
            *body = Some([edit.injector.held(), &chunk].concat().into());
            edit.count(Injection::Interrupted);
            self.stage = Stage::Inert;
            return;
        };
        let kept = chunk.slice(..passed.keep.min(chunk.len()));
        let tail = if ends { self.finish() } else { Vec::new() };
        *body = joined(passed.before, kept, tail);
    }

    /// The held end of the page with the pixels in it.
    fn finish(&mut self) -> Vec<u8> {
        let Stage::Editing(mut edit) = mem::replace(&mut self.stage, Stage::Inert) else { return Vec::new() };
        if !edit.injector.has_content() {
            edit.count(Injection::Untouchable(Untouchable::Empty));
            return edit.injector.finish(&[]);
        }
        let Some(forbidden) = guarded(|| edit.insertion.drop_forbidden()) else {
            edit.count(Injection::Interrupted);
            return edit.injector.finish(&[]);
        };
        forbidden.into_iter().for_each(|network| edit.site.metrics.injection(network, Injection::Csp));
        edit.count(Injection::Injected);
        edit.injector.finish(&edit.insertion.markup())
    }

    fn finish_late(&mut self) -> Option<Bytes> {
        Some(Bytes::from(self.finish())).filter(|tail| !tail.is_empty())
    }
}

/// One chunk out of its parts; the usual one, a chunk that passes whole, is not copied.
fn joined(before: Vec<u8>, kept: Bytes, tail: Vec<u8>) -> Option<Bytes> {
    let whole = match (before.is_empty(), kept.is_empty(), tail.is_empty()) {
        (true, _, true) => kept,
        (false, true, true) => before.into(),
        (true, true, false) => tail.into(),
        _ => [&before[..], &kept, &tail].concat().into(),
    };
    (!whole.is_empty()).then_some(whole)
}

impl Drop for Tracking {
    fn drop(&mut self) {
        match &self.stage {
            Stage::Visiting(site, visit) => {
                visit.conversions().for_each(|conversion| site.metrics.unanswered(conversion));
            }
            Stage::Editing(edit) => edit.count(Injection::Interrupted),
            Stage::Inert | Stage::Armed(..) => {}
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
        if self.is_http10 {
            head::without_chunks(response);
        }
        if matches!(self.stage, Stage::Visiting(..)) {
            // Boxed, so that the many answers without a visit don't carry the room for its waiting.
            Box::pin(self.answered(response, ends)).await;
        }
        Ok(())
    }

    fn response_body_filter(&mut self, body: &mut Option<Bytes>, ends: bool) -> Result<()> {
        self.write(body, ends);
        Ok(())
    }

    fn response_trailer_filter(&mut self, _trailers: &mut Option<Box<http::HeaderMap>>) -> Result<Option<Bytes>> {
        Ok(self.finish_late())
    }

    fn response_done_filter(&mut self) -> Result<Option<Bytes>> {
        Ok(self.finish_late())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Runs a decision; a panic in it costs this request its tracking and nothing else.
fn guarded<T>(decide: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(decide)).ok()
}

#[expect(clippy::disallowed_methods, reason = "how long a page was held is measured here")]
fn monotonic() -> Instant {
    Instant::now()
}
