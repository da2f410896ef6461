//! What is below our endpoint is answered by us, and by nobody else.

use super::{INVALID, Story, assert_kept_to_ourselves, frame};
use crate::support::{
    config::{shop, with_site_key},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    streams::Multiplexed,
};

#[test]
fn nothing_below_the_endpoint_reaches_the_site_or_is_tracked() {
    let origin = Origin::start();
    let config = shop(&origin, &AdNetwork::answering(["OK"])).replace("/thank-you/{order_id}", "/**");
    let proxy = Proxy::with(&config).start();
    let mut visitor = proxy.visitor().on_one_connection();
    for (method, path, status) in [
        ("GET", "/.throughline", 404),
        ("GET", "/.throughline/", 404),
        ("GET", "/.throughline?exotracker=abc", 404),
        ("GET", "/.throughline/frame", 404),
        ("GET", "/.throughline/frame/", 404),
        ("GET", "/.throughline/frame/a/b", 404),
        ("GET", "/.throughline/frame/forged?exotracker=abc", 404),
        ("HEAD", "/.throughline/frame/forged", 404),
        ("POST", "/.throughline/unknown", 404),
        ("POST", "/.throughline/frame/forged", 405),
        ("DELETE", "/.throughline/frame/forged", 405),
    ] {
        let answer = visitor.request(method, path, &[], if method == "POST" { "a body" } else { "" });
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("allow"), (status == 405).then_some("GET, HEAD"), "{method} {path}");
        assert!(answer.is_complete());
        assert_kept_to_ourselves(&answer, path);
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
    for metric in ["throughline_clicks_total", "throughline_conversion_hits_total", "throughline_unanswered_total"] {
        assert!(proxy.metric(metric, &[]) < 0.5, "{metric}");
    }
    assert_eq!(visitor.get("/.throughlines?exotracker=abc").text_without_frame(), PAGE, "that is the site's own");
    assert!(proxy.metric("throughline_clicks_total", &[]) > 0.5);
}

#[test]
fn the_endpoint_stands_where_the_operator_wants_it() {
    let origin = Origin::start();
    let config = with_site_key(&shop(&origin, &AdNetwork::answering(["OK"])), "endpoint: /x/ours");
    let proxy = Proxy::with(&config).start();
    assert_eq!(proxy.visitor().get("/x/ours/frame/a").status, 404);
    assert!(origin.requests().is_empty());
    assert_eq!(proxy.visitor().get("/.throughline/frame/a").text(), PAGE);
    assert_eq!(proxy.visitor().get("/x/our").text(), PAGE);
}

#[test]
fn the_endpoint_answers_over_http_2_too() {
    let story = Story::with(AdNetwork::answering([INVALID]));
    let (_visitor, awaited) = story.bought();
    story.proxy.await_settled();
    let mut visitor = Multiplexed::plain(story.proxy.address());
    assert_eq!(visitor.get("/.throughline/frame/forged").status, 404);
    let answer = visitor.get(&frame(awaited));
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert!(answer.text().contains("<img"), "{}", answer.text());
    let refused = http::Request::post(format!("http://shop.example{}", frame(awaited))).body(()).unwrap();
    let asked = visitor.send(refused);
    assert_eq!(visitor.hear(asked).status, 405);
}
