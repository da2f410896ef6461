//! Traces of a build without the feature `otel`: nothing, at no cost.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::{RequestFacts, TraceHeaders};

/// Says nothing: there is nothing to start.
pub const fn start() {}

/// Nothing has been started.
pub const fn stop() {}

/// The span of a request.
#[derive(Debug, Default)]
pub struct RequestSpan(());

/// The span of an attempt at a server.
#[derive(Debug, Default)]
pub struct AttemptSpan(());

/// The span of an attempt at a network.
#[derive(Debug, Default)]
pub struct PostbackSpan(());

impl RequestSpan {
    /// Begins with the head of a request.
    #[must_use]
    pub const fn begin(_method: &Method, _headers: &HeaderMap, _is_trusted: bool) -> Self {
        Self(())
    }

    /// Whether anything is kept of it.
    #[must_use]
    pub const fn is_recording(&self) -> bool {
        false
    }

    /// Begins an attempt of this request.
    #[must_use]
    pub fn attempt(
        &self,
        _method: &Method,
        _server: impl FnOnce() -> Option<Arc<str>>,
        _earlier: usize,
    ) -> AttemptSpan {
        AttemptSpan(())
    }

    /// Ends it.
    pub const fn end(&mut self, _facts: RequestFacts<'_>) {}
}

impl AttemptSpan {
    /// What the server is told.
    #[must_use]
    pub const fn headers(&self) -> Option<TraceHeaders> {
        None
    }

    /// Notes the status of the answer.
    pub const fn answered(&mut self, _status: u16) {}

    /// Notes why there is none, or no whole one.
    pub const fn failed(&mut self, _why: &str) {}
}

impl PostbackSpan {
    /// Begins with the request to a network.
    #[must_use]
    pub const fn begin(_site: &str, _network: &str, _method: &Method, _host: Option<&str>) -> Self {
        Self(())
    }

    /// Ends it with the status of the answer, or with why there is none.
    pub fn end(self, _result: Result<u16, &'static str>) {}
}
