//! Traces that leave by OTLP over HTTP, as the `OTEL_*` variables say.
//!
//! The exporter has a thread and a bounded queue of its own (`OTEL_BSP_*`): a collector that is slow or gone
//! costs spans and no page anything. Names of attributes are those of OpenTelemetry's semantic conventions for
//! HTTP, version 1.38.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, Version};
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider, Span},
};

use super::{RequestFacts, TraceHeaders};

mod environment;

/// Begins to trace if the environment asks for it; a second call changes nothing.
pub fn start() {
    if !environment::asks_for_traces() || TRACING.get().is_some() {
        return;
    }
    // Fails when a provider is installed already, which is then the same one.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    // Given nothing but what the variables don't say.
    let exporter = SpanExporter::builder().with_http().with_headers(std::collections::HashMap::new()).build();
    match exporter {
        Ok(exporter) => {
            let provider = SdkTracerProvider::builder()
                .with_resource(environment::resource())
                .with_batch_exporter(exporter)
                .build();
            let tracer = provider.tracer("throughline");
            // Another call was faster.
            let _first = TRACING.set(Tracing { provider, tracer });
            tracing::info!("requests and postbacks are traced; the OTEL_ variables say how");
        }
        Err(error) => tracing::error!(%error, "nothing is traced: the OTEL_ variables cannot be followed"),
    }
}

/// Sends the spans that wait; waits a moment for that.
pub fn stop() {
    if let Some(tracing) = TRACING.get()
        && let Err(error) = tracing.provider.shutdown_with_timeout(PATIENCE)
    {
        tracing::warn!(%error, "the last spans could not be sent");
    }
}

/// The span of a request.
#[derive(Debug, Default)]
pub struct RequestSpan(Option<Box<Span>>);

/// The span of an attempt at a server.
#[derive(Debug, Default)]
pub struct AttemptSpan(Option<Box<Span>>);

/// The span of an attempt at a network.
#[derive(Debug, Default)]
pub struct PostbackSpan(Option<Span>);

impl RequestSpan {
    /// Begins with the head of a request.
    #[must_use]
    pub fn begin(method: &Method, headers: &HeaderMap, is_trusted: bool) -> Self {
        let Some(tracing) = TRACING.get() else { return Self(None) };
        let parent = if is_trusted {
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
        } else {
            Context::new()
        };
        let builder = SpanBuilder::from_name(known(method)).with_kind(SpanKind::Server);
        Self(Some(Box::new(tracing.tracer.build_with_context(builder, &parent))))
    }

    /// Whether anything is kept of it.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.0.as_ref().is_some_and(|span| span.is_recording())
    }

    /// Begins an attempt of this request, of which there were `earlier` ones.
    #[must_use]
    pub fn attempt(&self, method: &Method, server: impl FnOnce() -> Option<Arc<str>>, earlier: usize) -> AttemptSpan {
        let (Some(tracing), Some(span)) = (TRACING.get(), &self.0) else { return AttemptSpan(None) };
        let builder = SpanBuilder::from_name(known(method)).with_kind(SpanKind::Client);
        let parent = Context::new().with_remote_span_context(span.span_context().clone());
        let mut attempt = tracing.tracer.build_with_context(builder, &parent);
        if attempt.is_recording() {
            attempt.set_attribute(KeyValue::new("http.request.method", known(method)));
            if let Some(server) = server() {
                attempt.set_attributes(address(&server));
            }
            if earlier > 0 {
                attempt.set_attribute(KeyValue::new("http.request.resend_count", number(earlier)));
            }
        }
        AttemptSpan(Some(Box::new(attempt)))
    }

    /// Ends it.
    pub fn end(&mut self, facts: RequestFacts<'_>) {
        let Some(mut span) = self.0.take().filter(|span| span.is_recording()) else { return };
        let method = known(facts.method);
        span.set_attribute(KeyValue::new("http.request.method", method));
        span.set_attribute(KeyValue::new("url.scheme", if facts.over_tls { "https" } else { "http" }));
        span.set_attribute(KeyValue::new("network.protocol.version", version(facts.version)));
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(facts.status)));
        if let Some(site) = facts.site {
            span.set_attribute(KeyValue::new("throughline.site", site.to_owned()));
        }
        if let Some(route) = facts.route {
            span.update_name(format!("{method} {route}"));
            span.set_attribute(KeyValue::new("http.route", route.to_owned()));
        }
        if let Some(failure) = facts.failure {
            span.set_attribute(KeyValue::new("error.type", failure.to_owned()));
        }
        // What a visitor does wrong is no error of a server's.
        if facts.status >= 500 {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

impl AttemptSpan {
    /// What the server is told.
    #[must_use]
    pub fn headers(&self) -> Option<TraceHeaders> {
        let context = self.0.as_ref()?.span_context();
        Some(TraceHeaders { parent: parent_of(context)?, state: state_of(context) })
    }

    /// Notes the status of the answer.
    pub fn answered(&mut self, status: u16) {
        if let Some(span) = self.0.as_mut().filter(|span| span.is_recording()) {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
            if status >= 400 {
                span.set_status(Status::error(""));
            }
        }
    }

    /// Notes why there is none, or no whole one.
    pub fn failed(&mut self, why: &str) {
        if let Some(span) = self.0.as_mut().filter(|span| span.is_recording()) {
            span.set_attribute(KeyValue::new("error.type", why.to_owned()));
            span.set_status(Status::error(""));
        }
    }
}

impl PostbackSpan {
    /// Begins with the request to a network.
    #[must_use]
    pub fn begin(site: &str, network: &str, method: &Method, host: Option<&str>) -> Self {
        let Some(tracing) = TRACING.get() else { return Self(None) };
        let builder = SpanBuilder::from_name(format!("postback {network}")).with_kind(SpanKind::Client);
        // A trace of its own: the visitor's is long over, and the network is not told of any.
        let mut span = tracing.tracer.build_with_context(builder, &Context::new());
        if span.is_recording() {
            span.set_attribute(KeyValue::new("http.request.method", known(method)));
            span.set_attribute(KeyValue::new("throughline.site", site.to_owned()));
            span.set_attribute(KeyValue::new("throughline.network", network.to_owned()));
            if let Some(host) = host {
                span.set_attribute(KeyValue::new("server.address", host.to_owned()));
            }
        }
        Self(Some(span))
    }

    /// Ends it with the status of the answer, or with why there is none.
    pub fn end(self, result: Result<u16, &'static str>) {
        let Some(mut span) = self.0.filter(opentelemetry::trace::Span::is_recording) else { return };
        let is_good = matches!(result, Ok(..400));
        span.set_attribute(match result {
            Ok(status) => KeyValue::new("http.response.status_code", i64::from(status)),
            Err(reason) => KeyValue::new("error.type", reason),
        });
        if !is_good {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// What there is one of.
struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// W3C Trace Context, section 3.2.
fn parent_of(context: &SpanContext) -> Option<HeaderValue> {
    if !context.is_valid() {
        return None;
    }
    let sampled = u8::from(context.is_sampled());
    HeaderValue::try_from(format!("00-{}-{}-{sampled:02x}", context.trace_id(), context.span_id())).ok()
}

fn state_of(context: &SpanContext) -> Option<HeaderValue> {
    let state = context.trace_state().header();
    HeaderValue::try_from(state).ok().filter(|state| !state.is_empty())
}

fn address(server: &str) -> [KeyValue; 2] {
    let (host, port) = match server.parse::<SocketAddr>() {
        Ok(address) => (address.ip().to_string(), i64::from(address.port())),
        Err(_) => (server.to_owned(), 0),
    };
    [KeyValue::new("server.address", host), KeyValue::new("server.port", port)]
}

/// Methods of RFC 9110 and PATCH (RFC 5789); any other could be anything.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "CONNECT" => "CONNECT",
        _ => "_OTHER",
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

static TRACING: OnceLock<Tracing> = OnceLock::new();
/// How long the end of the process waits for the last spans.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

    use super::*;

    #[test]
    fn a_server_is_told_of_its_trace_as_w3c_writes_it() {
        let context = |flags: TraceFlags, state: TraceState| {
            let (trace, span) = (TraceId::from(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736), SpanId::from(0xf067));
            SpanContext::new(trace, span, flags, true, state)
        };
        let state = TraceState::from_key_value([("congo", "t61rcWkgMzE")]).unwrap();
        let sampled = context(TraceFlags::SAMPLED, state);
        assert_eq!(parent_of(&sampled).unwrap(), "00-4bf92f3577b34da6a3ce929d0e0e4736-000000000000f067-01");
        assert_eq!(state_of(&sampled).unwrap(), "congo=t61rcWkgMzE");
        let silent = context(TraceFlags::default(), TraceState::default());
        assert_eq!(parent_of(&silent).unwrap(), "00-4bf92f3577b34da6a3ce929d0e0e4736-000000000000f067-00");
        assert_eq!(state_of(&silent), None);
        assert_eq!(parent_of(&SpanContext::empty_context()), None);
    }
}
