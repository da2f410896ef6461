//! What is said of single requests: their ids, and their lines in the access log.
//!
//! A request has an id only where somebody reads it. Who that is, the configuration says; both can change
//! while the proxy runs.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};
use uuid::Uuid;

use crate::{
    access::{AccessLog, RequestId, RequestIds, ToldTo},
    config::Log,
    metrics::Metrics,
};

/// The logbook of a process.
#[derive(Debug)]
pub struct Logbook {
    /// The access log.
    pub access: AccessLog,
    ids: RequestIds,
    tells_site: AtomicBool,
    tells_visitor: AtomicBool,
}

impl Logbook {
    /// Begins to write as configured.
    #[must_use]
    pub fn new(log: &Log, metrics: &Metrics) -> Self {
        let logbook = Self {
            access: AccessLog::new(metrics.events_dropped_total.with_label_values(&["access"])),
            ids: RequestIds::new(Uuid::new_v4()),
            tells_site: AtomicBool::new(false),
            tells_visitor: AtomicBool::new(false),
        };
        logbook.set(log);
        logbook
    }

    /// Puts another configuration in force.
    pub fn set(&self, log: &Log) {
        self.tells_site.store(log.request_id != ToldTo::Nobody, Relaxed);
        self.tells_visitor.store(log.request_id == ToldTo::SiteAndVisitor, Relaxed);
        self.access.set(log.access.as_ref());
    }

    /// The id of a request, if anybody reads it: the one that a trusted proxy says, or a new one.
    #[must_use]
    pub fn id(&self, headers: &HeaderMap, is_trusted: bool) -> Option<RequestId> {
        let is_read = self.tells_site.load(Relaxed) || self.access.is_on();
        is_read.then(|| {
            let said = if is_trusted { headers.get(NAME) } else { None };
            said.and_then(|said| RequestId::given(said.as_bytes())).unwrap_or_else(|| self.ids.make())
        })
    }

    /// Tells the site.
    pub fn tell_site(&self, id: Option<&RequestId>, request: &mut RequestHeader) {
        if self.tells_site.load(Relaxed)
            && let Some(id) = id
            && request.insert_header(NAME, id.header()).is_err()
        {
            tracing::debug!("a request has too many headers for another one");
        }
    }

    /// Tells the visitor, with the site's answer.
    pub fn tell_visitor(&self, id: Option<&RequestId>, response: &mut ResponseHeader) {
        if !response.status.is_informational()
            && let Some(id) = self.for_visitor(id)
            && response.insert_header(NAME, id).is_err()
        {
            tracing::debug!("an answer has too many headers for another one");
        }
    }

    /// What the visitor is told with an answer of ours.
    #[must_use]
    pub fn for_visitor(&self, id: Option<&RequestId>) -> Option<HeaderValue> {
        id.filter(|_| self.tells_visitor.load(Relaxed)).map(RequestId::header)
    }
}

/// The same, in answers of our own.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// As proxies write it; no standard names it.
const NAME: &str = "X-Request-Id";
