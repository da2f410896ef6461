//! Traces as a collector of OpenTelemetry gets them.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;

use crate::support::{
    await_fact,
    config::{THANKS, shop},
    edge::{Wire, get_with},
    network::AdNetwork,
    origin::{Origin, PAGE, nobody},
    proxy::{Proxy, Setup},
};

const BALANCER: &str = "127.0.0.2";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A span, with its attributes as text.
struct Seen {
    service: String,
    span: Span,
    attributes: BTreeMap<String, String>,
}

impl Seen {
    fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    fn is_error(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn text(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let value = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), value(attribute))).collect()
}

/// All spans that a collector has got.
fn spans(collector: &AdNetwork) -> Vec<Seen> {
    let mut seen = Vec::new();
    for request in collector.received() {
        assert_eq!(
            (request.path(), request.headers.get("content-type")),
            ("/v1/traces", Some("application/x-protobuf"))
        );
        for of_resource in ExportTraceServiceRequest::decode(&*request.body).unwrap().resource_spans {
            let resource = of_resource.resource.map(|resource| text(&resource.attributes)).unwrap_or_default();
            for span in of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
                let attributes = text(&span.attributes);
                seen.push(Seen { service: resource["service.name"].clone(), span, attributes });
            }
        }
    }
    seen
}

fn await_spans(collector: &AdNetwork, count: usize) -> Vec<Seen> {
    await_fact(|| (spans(collector).len() >= count).then_some(()), || format!("{count} spans"));
    let seen = spans(collector);
    let names: Vec<_> = seen.iter().map(|seen| &seen.span.name).collect();
    assert_eq!(seen.len(), count, "{names:?}");
    seen
}

fn traced(config: &str, collector: &AdNetwork) -> Setup {
    Proxy::with(&format!("trusted_proxies: [{BALANCER}]\n{config}"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", collector.address()))
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
}

#[test]
fn a_trace_of_a_trusted_proxy_goes_on_through_us_to_the_site() {
    let (origin, collector) = (Origin::start(), AdNetwork::answering([""]));
    let proxy = traced(&shop(&origin, &AdNetwork::answering(["OK"])), &collector).start();
    let said = [("traceparent", &*format!("00-{TRACE}-{PARENT}-01")), ("tracestate", "congo=t61rcWkgMzE")];
    let request = get_with("/page?exotracker=CANARY-click", &said);
    assert_eq!(Wire::from(BALANCER, proxy.address()).ask(request.as_bytes(), "GET").unwrap().text(), PAGE);
    let seen = await_spans(&collector, 2);
    let of_kind = |kind: SpanKind| seen.iter().find(|seen| seen.span.kind == kind as i32).expect("a span");
    let (server, client) = (of_kind(SpanKind::Server), of_kind(SpanKind::Client));
    assert_eq!((server.trace(), server.parent()), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!((client.trace(), client.parent()), (TRACE.to_owned(), server.id()));
    assert_eq!(server.service, "throughline");
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("throughline.site", "default"),
    ] {
        assert_eq!(server.attribute(name), Some(value), "{name}");
    }
    assert_eq!(client.attribute("server.port"), Some(&*origin.address().port().to_string()));
    assert_eq!(client.attribute("http.response.status_code"), Some("200"));
    let told = origin.last().headers;
    assert_eq!(told.all("traceparent"), [format!("00-{TRACE}-{}-01", client.id())]);
    assert_eq!(told.all("tracestate"), ["congo=t61rcWkgMzE"]);
    for request in collector.received() {
        assert!(!String::from_utf8_lossy(&request.body).contains("CANARY"), "no span holds a click ID");
    }
}

#[test]
fn a_strangers_trace_is_not_believed_and_a_conversion_has_its_route_and_its_postback() {
    let (origin, network, collector) = (Origin::start(), AdNetwork::answering(["OK"]), AdNetwork::answering([""]));
    let proxy = traced(&shop(&origin, &network), &collector).env("OTEL_SERVICE_NAME", "edge").start();
    let mut buyer = proxy.visitor().sending("Cookie", "_exoclick_cid=abc");
    let said = [("traceparent", &*format!("00-{TRACE}-{PARENT}-01")), ("tracestate", "congo=t61rcWkgMzE")];
    assert_eq!(buyer.request("GET", THANKS, &said, "").status, 200);
    let seen = await_spans(&collector, 3);
    assert!(seen.iter().all(|seen| seen.trace() != TRACE && seen.service == "edge"));
    let told = origin.last().headers;
    assert!(!told.get("traceparent").unwrap().contains(TRACE) && told.get("tracestate").is_none(), "{told:?}");
    let named = |name: &str| seen.iter().find(|seen| seen.span.name == name).expect(name);
    let server = named("GET /thank-you/{order_id}");
    assert_eq!(server.attribute("http.route"), Some("/thank-you/{order_id}"));
    let postback = named("postback exoclick");
    assert_ne!(postback.trace(), server.trace());
    for (name, value) in
        [("throughline.network", "exoclick"), ("server.address", "127.0.0.1"), ("http.response.status_code", "200")]
    {
        assert_eq!(postback.attribute(name), Some(value), "{name}");
    }
    assert_eq!(network.await_received(1)[0].headers.get("traceparent"), None);
}

#[test]
fn each_attempt_at_a_dead_server_is_a_span_with_its_error() {
    let (origin, collector) = (Origin::start(), AdNetwork::answering([""]));
    let config =
        format!("sites:\n  - upstream: {{ servers: [\"http://{}\", \"http://{}\"] }}\n", nobody(), origin.address());
    let proxy = traced(&config, &collector).start();
    // They take turns: one of two begins with the one that is dead.
    (0..2).for_each(|_| assert_eq!(proxy.visitor().get("/").text(), PAGE));
    let seen = await_spans(&collector, 5);
    let failed: Vec<&Seen> = seen.iter().filter(|seen| seen.is_error()).collect();
    let [failed] = failed[..] else { panic!("one failed attempt") };
    assert_eq!(failed.attribute("error.type"), Some("ConnectRefused"));
    let next = seen.iter().find(|seen| seen.attribute("http.request.resend_count") == Some("1")).expect("another");
    assert_eq!((next.parent(), next.trace()), (failed.parent(), failed.trace()));
}

#[test]
fn nothing_is_sampled_or_sent_where_the_environment_says_so() {
    for (name, value, tells_site) in [
        ("OTEL_TRACES_SAMPLER", "always_off", true),
        ("OTEL_TRACES_EXPORTER", "none", false),
        ("OTEL_SDK_DISABLED", "true", false),
    ] {
        let (origin, collector) = (Origin::start(), AdNetwork::answering([""]));
        let mut proxy = traced(&shop(&origin, &AdNetwork::answering(["OK"])), &collector).env(name, value).start();
        assert_eq!(proxy.visitor().get("/").text(), PAGE);
        let told = origin.last().headers.get("traceparent").map(str::to_owned);
        assert_eq!(told.is_some(), tells_site, "{name}");
        assert!(told.is_none_or(|told| told.ends_with("-00")), "the site need not sample either");
        assert_eq!(proxy.terminate().code(), Some(0));
        assert!(collector.received().is_empty(), "{name}");
    }
}

#[test]
fn a_collector_that_is_away_costs_no_page_and_the_last_spans_leave_at_the_end() {
    let (origin, collector) = (Origin::start(), AdNetwork::answering([""]));
    let config = shop(&origin, &AdNetwork::answering(["OK"]));
    let mut proxy = traced(&config, &collector).env("OTEL_BSP_SCHEDULE_DELAY", "600000").start();
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
    assert_eq!(proxy.terminate().code(), Some(0));
    await_spans(&collector, 2);
    let away = Proxy::with(&config)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", nobody()))
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .start();
    (0..20).for_each(|_| assert_eq!(away.visitor().get("/").text(), PAGE));
}
