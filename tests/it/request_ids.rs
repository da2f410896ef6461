//! Ids of requests, and traces that pass: what the site and the visitor are told.

use serde_json::Value;

use crate::support::{
    await_fact,
    config::{THANKS, shop},
    edge::{Wire, get_with},
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    response::Response,
    visitor::Answer,
};

const BALANCER: &str = "127.0.0.2";
const NAME: &str = "X-Request-Id";

fn start(request_id: &str, origin: &Origin, network: &AdNetwork) -> Proxy {
    let keys = format!(
        "trusted_proxies: [{BALANCER}]\nlog: {{ request_id: {request_id}, access: {{ file: access.log, format: json }} }}\n"
    );
    Proxy::with(&(keys + &shop(origin, network))).start()
}

/// Asks from the balancer or from a stranger.
fn ask(proxy: &Proxy, is_trusted: bool, id: &str) -> Answer {
    let source = if is_trusted { BALANCER } else { "127.0.0.1" };
    let request = get_with("/", &[(NAME, id)]);
    Wire::from(source, proxy.address()).ask(request.as_bytes(), "GET").unwrap()
}

fn logged(proxy: &Proxy, count: usize) -> String {
    let lines = || std::fs::read_to_string(proxy.folder().join("access.log")).unwrap_or_default();
    let line = await_fact(|| lines().lines().nth(count - 1).map(str::to_owned), lines);
    serde_json::from_str::<Value>(&line).unwrap()["request_id"].as_str().unwrap().to_owned()
}

#[test]
fn the_id_of_a_trusted_proxy_is_kept_and_any_other_is_replaced() {
    for mode in ["upstream", "both"] {
        let origin = Origin::start();
        let proxy = start(mode, &origin, &AdNetwork::answering(["OK"]));
        let long = "x".repeat(129);
        let cases = [
            (true, "balancer-1", true),
            (true, "two words", false),
            (true, long.as_str(), false),
            (false, "stranger-1", false),
        ];
        for (number, (is_trusted, said, is_kept)) in cases.into_iter().enumerate() {
            let answer = ask(&proxy, is_trusted, said);
            let request = origin.last();
            let [told] = request.headers.all(NAME)[..] else { panic!("one id: {:?}", request.headers) };
            assert_eq!(told == said, is_kept, "{said}");
            assert!(is_kept || told.len() == 32 && told.bytes().all(|byte| byte.is_ascii_hexdigit()), "{told}");
            assert_eq!(answer.header(NAME), (mode == "both").then_some(told));
            assert_eq!(logged(&proxy, number + 1), told);
        }
    }
}

#[test]
fn a_visitor_who_is_told_the_id_is_told_with_our_own_answers_too() {
    let origin = Origin::start()
        .route("/ours", Response::new(200).header(NAME, "the site's own"))
        .route("/resets", Response::reset());
    let network = AdNetwork::answering(["OK"]);
    let proxy = start("both", &origin, &network);
    let mut visitor = proxy.visitor();
    for (number, (target, status)) in [("/ours", 200), ("/resets", 502)].into_iter().enumerate() {
        let answer = visitor.get(target);
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers.all(NAME), [logged(&proxy, number + 1)]);
    }
}

#[test]
fn without_the_key_ids_and_traces_pass_as_they_came() {
    let headers = [
        (NAME, "stranger 1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "congo=t61rcWkgMzE"),
    ];
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let proxy = start("off", &origin, &network);
    let answer = Wire::to(proxy.address()).ask(get_with("/", &headers).as_bytes(), "GET").unwrap();
    for (name, value) in headers {
        assert_eq!(origin.last().headers.all(name), [value]);
        assert_eq!(answer.header(name), None);
    }
    assert_eq!(logged(&proxy, 1).len(), 32, "its line has an id of its own");
    let mut buyer = proxy.visitor();
    buyer.lands("/?exotracker=abc");
    buyer.request("GET", THANKS, &headers, "");
    let sent = &network.await_received(1)[0];
    for (name, _) in headers {
        assert_eq!(sent.headers.get(name), None, "networks are told nothing of it");
    }
}
