//! Traces for OpenTelemetry: a span for each request, for each attempt at a server and for each at a network.
//!
//! Built with the feature `otel`, the standard `OTEL_*` variables alone switch it on, say where spans go and
//! how many are kept. Built without it, everything here is empty and costs nothing, so that whoever is traced
//! need not know. A span holds names of the configuration, methods, statuses and times; never an address of a
//! page, a value or an id of a visitor, a click or an order.
//!
//! `traceparent` and `tracestate` (W3C Trace Context) are believed of trusted proxies alone. While traces are
//! off they pass like any other header. Networks are never told of them.

use http::{HeaderValue, Method, Version};

#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod otlp;

#[cfg(not(feature = "otel"))]
pub use off::{AttemptSpan, PostbackSpan, RequestSpan, start, stop};
#[cfg(feature = "otel")]
pub use otlp::{AttemptSpan, PostbackSpan, RequestSpan, start, stop};

/// What is told of a request when it is over.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The version of HTTP.
    pub version: Version,
    /// Whether the visitor spoke TLS, with us or with a proxy before us.
    pub over_tls: bool,
    /// The site that it was for.
    pub site: Option<&'a str>,
    /// The pattern of the rule that it matched.
    pub route: Option<&'a str>,
    /// The status of the answer.
    pub status: u16,
    /// Why it failed or was refused.
    pub failure: Option<&'a str>,
}

/// What a server is told of the trace that it takes part in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceHeaders {
    /// `traceparent`.
    pub parent: HeaderValue,
    /// `tracestate`, if it says anything.
    pub state: Option<HeaderValue>,
}
