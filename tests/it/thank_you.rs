//! A visitor buys.

use crate::support::{
    accounting::{assert_accounts, assert_accounts_with},
    config::{GOAL, THANKS, shop, shop_with},
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    response::Response,
};

const CONVERSIONS: &str = "throughline_conversions_total";

/// A shop with a network that takes everything, and more keys under its conversion.
fn start(conversion: &str) -> (Origin, AdNetwork, Proxy) {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let proxy = Proxy::with(&shop_with(&origin, &network, conversion)).start();
    (origin, network, proxy)
}

fn outcome(proxy: &Proxy, outcome: &str, count: u32) {
    proxy.await_metric(CONVERSIONS, &[("outcome", outcome)], count);
}

#[test]
fn a_purchase_is_reported_with_the_click_that_led_to_it() {
    let (_origin, network, proxy) = start("");
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    assert_eq!(visitor.get(THANKS).status, 200);
    let received = network.await_received(1);
    assert_eq!(received[0].target, format!("/tag.php?goal={GOAL}&value=49.90&tag=abc"));
    proxy.await_metric("throughline_postbacks_total", &[("verdict", "delivered")], 1);
    assert_accounts(&proxy);
}

#[test]
fn a_refresh_counts_once_even_after_a_crash() {
    let (_origin, network, mut proxy) = start("");
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.get(THANKS);
    visitor.get(THANKS);
    outcome(&proxy, "duplicate", 1);
    proxy.await_settled();
    proxy.restart();
    visitor.get(THANKS);
    outcome(&proxy, "duplicate", 1);
    assert_accounts(&proxy);
    assert_eq!(network.received().len(), 1);
    visitor.get("/thank-you/1002?total=5");
    assert_eq!(network.await_received(2).len(), 2, "another order is another conversion");
}

#[test]
fn a_purchase_before_a_crash_is_reported_after_it() {
    let origin = Origin::start();
    let network = AdNetwork::answering([Response::hang(), "OK".into()]);
    let mut proxy = Proxy::with(&shop(&origin, &network)).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.get(THANKS);
    network.await_received(1);
    proxy.restart();
    let received = network.await_received(2);
    assert_eq!(received[0].target, received[1].target);
    proxy.await_metric("throughline_postbacks_total", &[("verdict", "delivered")], 1);
    assert_accounts_with(&proxy, 1);
}

#[test]
fn the_click_of_the_thank_you_pages_own_address_wins_over_the_cookie() {
    let (_origin, network, proxy) = start("");
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=from-cookie");
    visitor.get(&format!("{THANKS}&exotracker=from-query"));
    assert_eq!(network.await_received(1)[0].parameter("tag"), Some("from-query"));
}

#[test]
fn a_click_named_under_send_wins_over_all() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let config = shop(&origin, &network).replace("{ goal:", "{ click_id: query.stored_click, goal:");
    let proxy = Proxy::with(&config).start();
    proxy.visitor().get(&format!("{THANKS}&exotracker=from-query&stored_click=from-send"));
    assert_eq!(network.await_received(1)[0].parameter("tag"), Some("from-send"));
}

#[test]
fn only_the_configured_method_status_and_condition_convert() {
    let (origin, network, proxy) = start("method: [POST]\nstatus: [200, 303]\nwhen: { query.route: checkout/success }");
    origin.change("/thank-you/3", Response::new(500));
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.get("/thank-you/1?route=checkout/success");
    assert!(proxy.metric("throughline_conversion_hits_total", &[]) < 0.5, "a GET does not match");
    let mut post = |target: &str| visitor.request("POST", target, &[], "a=1").status;
    assert_eq!(post("/thank-you/2?route=checkout/failure"), 200);
    assert_eq!(post("/thank-you/3?route=checkout/success"), 500);
    outcome(&proxy, "not_success", 2);
    assert_eq!(post("/thank-you/4?route=checkout/success"), 200);
    outcome(&proxy, "queued", 1);
    assert_eq!(network.await_received(1).len(), 1);
    assert_accounts(&proxy);
}

#[test]
fn what_no_person_looks_at_is_no_purchase() {
    let (_origin, network, proxy) = start("method: [GET]");
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.head("/thank-you/1");
    visitor.request("GET", "/thank-you/2", &[("Sec-Fetch-Dest", "image")], "");
    outcome(&proxy, "not_document", 2);
    visitor.request("GET", "/thank-you/3", &[("Sec-Purpose", "prefetch")], "");
    outcome(&proxy, "prefetch", 1);
    let mut preview = proxy.visitor().sending("User-Agent", "facebookexternalhit/1.1");
    let answer = preview.get("/thank-you/4?exotracker=abc");
    assert_eq!((answer.status, answer.headers.get("set-cookie")), (200, None));
    outcome(&proxy, "bot", 1);
    proxy.await_metric("throughline_clicks_total", &[("result", "bot")], 1);
    assert_accounts(&proxy);
    assert!(network.received().is_empty());
}

#[test]
fn without_a_click_there_is_nothing_to_report() {
    let (_origin, network, proxy) = start("");
    proxy.visitor().get(THANKS);
    outcome(&proxy, "no_click", 1);
    assert_accounts(&proxy);
    assert!(network.received().is_empty());
}

#[test]
fn values_come_from_query_path_header_and_cookie() {
    for (source, target, headers) in [
        ("query.sum", "/thank-you/1?sum=1%2E5", vec![]),
        ("path.order_id", "/thank-you/1.5", vec![]),
        ("header.X-Total", "/thank-you/1", vec![("x-total", "1.5")]),
        ("cookie.total", "/thank-you/1", vec![("Cookie", "_exoclick_cid=abc; total=1.5")]),
        ("[query.none, query.sum]", "/thank-you/1?sum=1.5", vec![]),
    ] {
        let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
        let config = shop(&origin, &network).replace("value: query.total", &format!("value: {source}"));
        let proxy = Proxy::with(&config).start();
        let mut visitor = proxy.visitor();
        visitor.lands("/?exotracker=abc");
        visitor.request("GET", target, &headers, "");
        assert_eq!(network.await_received(1)[0].parameter("value"), Some("1.5"), "{source}");
    }
}

#[test]
fn a_request_that_never_got_a_head_is_unanswered_and_no_hit() {
    let origin = Origin::start().route("/thank-you/1", Response::reset());
    let proxy = Proxy::with(&shop(&origin, &AdNetwork::answering(["OK"]))).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    assert_eq!(visitor.get("/thank-you/1").status, 502);
    proxy.await_metric("throughline_unanswered_total", &[("conversion", "purchase")], 1);
    assert!(proxy.metric("throughline_conversion_hits_total", &[]) < 0.5);
    assert_accounts(&proxy);
}

#[test]
fn a_visitor_who_leaves_early_has_still_bought() {
    let slow = Response::html("thanks").delayed(std::time::Duration::from_millis(300));
    let origin = Origin::start().route("/thank-you/1", slow);
    let network = AdNetwork::answering(["OK"]);
    let proxy = Proxy::with(&shop(&origin, &network)).start();
    let request = b"GET /thank-you/1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\r\nCookie: _exoclick_cid=abc\r\n\r\n";
    let mut gone = std::net::TcpStream::connect(proxy.address()).unwrap();
    std::io::Write::write_all(&mut gone, request).unwrap();
    origin.await_requests(1);
    drop(gone);
    assert_eq!(network.await_received(1)[0].parameter("tag"), Some("abc"));
    assert_accounts(&proxy);
}
