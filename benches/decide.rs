//! What the decisions of the core cost: reading a request, planning the answer, building a postback
//! and judging what the network says.

use std::{hint::black_box, net::Ipv4Addr, path::Path, sync::Arc};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, header};
use throughline::{
    config::{Config, Environment},
    tracking::{
        timestamp::Timestamp,
        verdict::Answer,
        visit::{Client, Reply, Request, Room, Visit},
    },
};
use uuid::Uuid;

#[expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark of a configuration that stands below")]
fn decide(criterion: &mut Criterion) {
    let config = Config::parse(Path::new("bench.yaml"), CONFIGURATION, Environment::Process).expect("a configuration");
    let site = &config.sites[0];
    let rules = Arc::new(site.rules.clone());
    let (stranger, clicked) = (headers(None), headers(Some("_exoclick_cid=0123456789abcdef0123456789abcdef")));
    let begin = |path, query, headers| Visit::begin(&rules, &request(path, query, headers));
    let thanked = || begin("/thank-you/1001", "total=49.90", &clicked).expect("a hit");
    let answered = |mut visit: Visit| {
        let (headers, now) = (HeaderMap::new(), Timestamp::from_millis(1_700_000_000_000));
        let reply = Reply { status: 200, headers: &headers, may_have_body: false, room: Room::For(&|_| true), now };
        visit.answered(reply, None, &mut uuid)
    };

    let mut group = criterion.benchmark_group("begin");
    for (name, path, query, headers) in [
        ("plain", "/products/blue-shoes", "page=2&sort=price", &stranger),
        ("landing", "/", "utm_source=exo&exotracker=0123456789abcdef0123456789abcdef", &stranger),
        ("thank_you_with_click", "/thank-you/1001", "total=49.90", &clicked),
        ("thank_you_without_click", "/thank-you/1001", "total=49.90", &stranger),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| begin(black_box(path), black_box(query), headers)));
    }
    group.finish();

    let mut group = criterion.benchmark_group("answered");
    for (name, path, query, headers) in [
        ("landing", "/", "exotracker=0123456789abcdef0123456789abcdef", &stranger),
        ("thank_you_with_click", "/thank-you/1001", "total=49.90", &clicked),
        ("thank_you_without_click", "/thank-you/1001", "total=49.90", &stranger),
    ] {
        let visit = || begin(path, query, headers).expect("something to do");
        group.bench_function(name, |bencher| bencher.iter_batched(visit, answered, BatchSize::SmallInput));
    }
    group.finish();

    let event = answered(thanked()).rows.remove(0).event;
    let postback = &rules.conversions[0].send[0].postback;
    criterion.bench_function("render", |bencher| bencher.iter(|| postback.render(black_box(&event))));

    let verdicts = &site.networks[0].verdicts;
    let mut group = criterion.benchmark_group("judge");
    for (name, body) in [("delivered", "OK"), ("already_known", "ERROR: This conversion has already been notified")] {
        let answer = Answer { status: 200, body: Some(body.as_bytes()) };
        group.bench_function(name, |bencher| bencher.iter(|| verdicts.judge(black_box(answer))));
    }
    group.finish();
}

fn request<'a>(path: &'a str, query: &'a str, headers: &'a HeaderMap) -> Request<'a> {
    let client = Client { address: Ipv4Addr::LOCALHOST.into(), over_tls: true };
    Request { method: &Method::GET, path, query, headers, authority: Some("shop.example"), client }
}

fn headers(cookie: Option<&'static str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("shop.example"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0"));
    if let Some(cookie) = cookie {
        headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
    }
    headers
}

/// Always the same one, so that the generator's cost stays out.
const fn uuid() -> Uuid {
    Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001)
}

const CONFIGURATION: &str = r#"
sites:
  - upstream: "http://127.0.0.1:8080"
    networks:
      exoclick: { click: { param: exotracker } }
    conversions:
      - name: purchase
        path: "/thank-you/{order_id}"
        value: query.total
        currency: EUR
        send:
          exoclick: { goal: 0123456789abcdef0123456789abcdef }
"#;

criterion_group!(benches, decide);
criterion_main!(benches);
