//! The body of an answer that a conversion or a capture reads while it passes.
//!
//! Nothing is changed here and nothing is held back. A body that can't be read, or not to its end, is
//! one that shows less; the page goes on.

use std::sync::Arc;

use http::{HeaderMap, header};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{
    super::runtime::{TrackedSite, Tracker},
    guarded,
    recall::Recalled,
};
use crate::{
    html::{
        coding::{Coding, Decoder},
        extract::Extractor,
    },
    proxy::consequences::{self, Committed},
    store::clock,
    tracking::{
        body::{RequestBody, ResponseTee},
        event::EventId,
        journey::Journey,
        visit::{AnswerBody, ClaimEnd, Visit},
    },
};

/// A body that is read.
pub(super) struct Reading {
    tracker: Arc<Tracker>,
    site: Arc<TrackedSite>,
    visit: Box<Visit>,
    awaited: Awaited,
    body: Option<Body>,
    /// Whether nothing more of it can be read.
    stopped: bool,
}

/// What was known when the head of the answer came.
pub(super) struct Awaited {
    /// The visitor's journey.
    pub(super) journey: Recalled,
    /// Over when all candidates are written down.
    pub(super) committed: Committed,
    /// The claims whose pixels wait for proof.
    pub(super) claims: Vec<EventId>,
}

/// How a body is read.
pub(crate) struct Body {
    decoder: Option<Decoder>,
    reader: Reader,
}

enum Reader {
    Page(Box<Extractor>),
    Json(ResponseTee),
}

impl Body {
    /// Prepares to read the body that follows this head; `None` when it is of no kind that is read.
    pub(crate) fn following(headers: &HeaderMap, site: &TrackedSite) -> Option<Self> {
        let coding = match headers.get(header::CONTENT_ENCODING) {
            None => None,
            Some(value) if value.as_bytes().eq_ignore_ascii_case(b"identity") => None,
            Some(value) => Some(Coding::parse(value.to_str().ok()?)?),
        };
        let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let media = content_type.split(';').next().unwrap_or_default().trim();
        let is_page = ["text/html", "application/xhtml+xml"].iter().any(|page| media.eq_ignore_ascii_case(page));
        let reader = if is_page {
            Reader::Page(Box::new(site.page.as_ref()?.extractor(charset(content_type))))
        } else {
            Reader::Json(ResponseTee::for_response(headers)?)
        };
        Some(Self { decoder: coding.map(Decoder::new), reader })
    }

    /// Looks at the next bytes as they came from the site; `None` when nothing more can be read.
    pub(crate) fn look_at(&mut self, chunk: &[u8]) -> Option<()> {
        let Some(decoder) = &mut self.decoder else {
            self.reader.look_at(chunk);
            return Some(());
        };
        let plain = decoder.write(chunk);
        self.reader.look_at(&plain.bytes);
        // What came before the fault is a true beginning.
        plain.fault.is_none().then_some(())
    }

    /// What it has shown.
    pub(crate) fn finish(self, site: &TrackedSite) -> AnswerBody {
        match (self.reader, &site.page) {
            (Reader::Page(extractor), Some(plan)) => plan.read(*extractor),
            (Reader::Page(_), None) => AnswerBody::default(),
            (Reader::Json(tee), _) => AnswerBody { json: RequestBody::from(tee.finish()), ..AnswerBody::default() },
        }
    }
}

impl Reader {
    fn look_at(&mut self, chunk: &[u8]) {
        match self {
            Self::Page(extractor) => extractor.write(chunk),
            Self::Json(tee) => tee.push(chunk),
        }
    }
}

impl Reading {
    pub(super) fn new(
        tracker: &Arc<Tracker>,
        site: &Arc<TrackedSite>,
        visit: Box<Visit>,
        awaited: Awaited,
        body: Option<Body>,
    ) -> Self {
        let (tracker, site) = (Arc::clone(tracker), Arc::clone(site));
        Self { tracker, site, visit, awaited, body, stopped: false }
    }

    /// Looks at the next bytes as they came from the site.
    pub(super) fn look_at(&mut self, chunk: &[u8]) {
        if self.stopped || chunk.is_empty() {
            return;
        }
        let body = &mut self.body;
        let looked = guarded(|| body.as_mut().is_some_and(|body| body.look_at(chunk).is_some()));
        match looked {
            Some(true) => {}
            // A damaged stream ends here for us, with what it has shown.
            Some(false) => self.stopped = true,
            // A reader that panicked is in no state to say anything.
            None => self.body = None,
        }
    }

    /// Ends the body, whole or not, and carries out what it decides; yields the claims that waited for it.
    pub(super) fn finish(self) -> Vec<ClaimEnd> {
        let Self { tracker, site, visit, awaited, body, .. } = self;
        let shown = guarded(|| body.map(|body| body.finish(&site))).flatten().unwrap_or_default();
        let Awaited { journey, committed, claims } = awaited;
        let end = End { tracker, site, visit, committed, claims, shown };
        match (journey, Handle::try_current()) {
            (Recalled::InTime(journey), _) => end.decide(journey.as_deref()),
            (Recalled::Late(journey), Ok(runtime)) => {
                // Nothing was claimed without the journey, so nobody waits for an answer.
                runtime.spawn(async move { drop(end.decide(journey.arrived().await.as_ref())) });
                Vec::new()
            }
            (Recalled::Late(_), Err(_)) => end.decide(None),
        }
    }
}

/// A body that has ended.
struct End {
    tracker: Arc<Tracker>,
    site: Arc<TrackedSite>,
    visit: Box<Visit>,
    committed: Committed,
    claims: Vec<EventId>,
    shown: AnswerBody,
}

impl End {
    fn decide(self, journey: Option<&Journey>) -> Vec<ClaimEnd> {
        let Self { tracker, site, mut visit, committed, claims, shown } = self;
        let plan = guarded(|| visit.finished(&shown, journey, clock::now(), &mut Uuid::now_v7));
        let Some(mut plan) = plan else { return Vec::new() };
        let mut ends = std::mem::take(&mut plan.claim_ends);
        // The others were decided when their keys turned out to be taken.
        ends.retain(|end| claims.contains(&end.event_id));
        consequences::of_the_end(&tracker, &site, plan, &ends, committed);
        ends
    }
}

/// What a `Content-Type` says of the character set.
fn charset(content_type: &str) -> Option<&str> {
    let parameters = content_type.split(';').skip(1);
    let named = parameters.filter_map(|parameter| parameter.split_once('='));
    let charset =
        named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset")).map(|(_, value)| value).next()?;
    Some(charset.trim().trim_matches('"'))
}
