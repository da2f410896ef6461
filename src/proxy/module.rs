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
    commit,
    runtime::{TrackedSite, Tracker},
};
use crate::{
    html::{
        coding,
        page::{self, Page, Untouchable},
    },
    metrics::site::Injection,
    store::clock,
    tracking::visit::{Answered, Client, Request, Room, Visit},
};

mod body;
mod breakage;
mod edit;
mod head;
mod insertion;

use insertion::Insertion;

use breakage::{Breakage, Sent};
use edit::{Edit, Onward};

pub use breakage::break_off;

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
            takes_plain: true,
            takes_gzip: false,
            waited: Duration::ZERO,
        })
    }
}

/// Tracking of one request.
pub struct Tracking {
    tracker: Arc<Tracker>,
    stage: Stage,
    is_http10: bool,
    /// Whether the client takes a page that is not encoded.
    takes_plain: bool,
    takes_gzip: bool,
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
    /// All that can be sent of the page has been.
    Over,
    /// The page can't go on, and must not look as if it had ended.
    Broken(Box<Breakage>),
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
            self.takes_plain = !coding::refuses_identity(&request.headers);
            self.takes_gzip = coding::accepts_gzip(&request.headers);
            head::ask_for_whole_page(request, &visit, self.takes_plain);
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
        let page = self.editable(status, response, visit.has_body() && !ends);
        if !visit.has_body()
            && visit.may_edit_page()
            && let Ok(page) = self.editable(status, response, true)
        {
            // What GET would answer may be another page for everybody, and longer.
            head::of_unknown_length(response, page, self.takes_gzip);
            head::keep_from_all_caches(response);
        }
        let plan = {
            let restricted = insertion::restricted_page(&response.headers, &visit);
            let lets_load =
                |url: &str| restricted.as_ref().is_none_or(|page| site.csp.lets_load(&response.headers, page, url));
            let room = if page.is_ok() { Room::For(&lets_load) } else { Room::Closed };
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
        let refused = page.as_ref().err().copied().map_or(Injection::Csp, Injection::Untouchable);
        unreached.into_iter().for_each(|network| site.metrics.injection(network, refused));
        let mut pixels = matches;
        if !rows.is_empty() || !claims.is_empty() {
            let start = clock::instant();
            let (shown, ()) = tokio::join!(
                commit::claim(&self.tracker, &site, claims, now),
                commit::commit(&self.tracker, &site, rows)
            );
            pixels.extend(shown);
            self.waited = start.elapsed();
        }
        if let Ok(page) = page
            && !pixels.is_empty()
        {
            let insertion = Insertion::new(pixels, insertion::page(&visit), site.csp, response);
            self.edit(site, insertion, page, response);
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
        head::keep_from_all_caches(response);
        let onward = page
            .coding
            .map(|_| if self.takes_gzip { Onward::Gzip(Box::default()) } else { Onward::Plain(Sent::new(response)) });
        self.stage = Stage::Editing(Box::new(Edit::new(site, insertion, page, onward)));
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
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
        Ok(())
    }

    fn response_body_filter(&mut self, body: &mut Option<Bytes>, ends: bool) -> Result<()> {
        self.write(body, ends)
    }

    fn response_trailer_filter(&mut self, _trailers: &mut Option<Box<http::HeaderMap>>) -> Result<Option<Bytes>> {
        self.finish_late()
    }

    fn response_done_filter(&mut self) -> Result<Option<Bytes>> {
        self.finish_late()
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
