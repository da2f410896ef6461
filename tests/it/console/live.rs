//! What comes live: decisions about the requests of a visitor who previews the site.

use std::io::BufRead;

use super::{Operator, Story, between};
use crate::support::visitor::Exchange;

/// The next event of a stream.
fn next(stream: &mut Exchange) -> String {
    let mut line = String::new();
    while !line.starts_with("data:") {
        line.clear();
        assert!(stream.stream.read_line(&mut line).unwrap() > 0, "the stream has ended");
    }
    line
}

fn watch(operator: &mut Operator, target: &str) -> Exchange {
    let stream = operator.browser.open("GET", target, &[("Accept", "text/event-stream")], "").unwrap();
    assert_eq!((stream.answer.status, stream.answer.header("content-type")), (200, Some("text/event-stream")));
    stream
}

#[test]
fn a_preview_is_made_and_watched_and_nobody_elses_requests_are_shown() {
    let story = Story::start();
    let mut operator = story.operator();
    let wish = [("site", "shop"), ("for", "1h"), ("hold", "yes"), ("address", "http://shop.example")];
    let page = operator.fills("/console/live", "/console/live", &wish);
    let link = between(&page, "<a href=\"http://shop.example", "\"").to_owned();
    let id = between(&page, "Preview <code>", "<").to_owned();
    assert!(link.starts_with("/.throughline/preview/") && page.contains(&format!("stream?preview={id}")), "{page}");
    let mut all = watch(&mut operator, "/console/live/stream");
    let mut one = watch(&mut operator, &format!("/console/live/stream?preview={id}"));
    let _other = watch(&mut operator, "/console/live/stream?preview=00000000");

    story.sells("A-1");
    let mut previewer = story.proxy.visitor();
    previewer.get(&link);
    previewer.lands("/?cid=abc");
    previewer.get("/thank-you/A-2?total=1");
    let mut seen = String::new();
    while !(seen.contains("Verdict: purchase to mine") && seen.contains("delivered") && seen.contains(&id)) {
        seen += &next(&mut all);
    }
    assert!(seen.contains("queued") && seen.contains("Response: purchase to mine"), "{seen}");
    let landing = next(&mut one);
    assert!(landing.contains("\"GET /\"") && landing.contains(&id) && !landing.contains("A-1"), "{landing}");
    let sale = next(&mut one);
    assert!(sale.contains("GET /thank-you/A-2") && sale.contains("purchase/mine=held"), "{sale}");
    assert!(!sale.contains("total"), "paths without queries: {sale}");
    assert_eq!(story.network.await_received(1).len(), 1, "what is held is not sent");
    for (fields, said) in [
        (&[("site", "nosuch")][..], "no site is called `nosuch`"),
        (&[("site", "shop"), ("for", "2d")], "a day at most"),
        (&[("site", "shop"), ("address", "ftp://a")], "it must begin with http"),
    ] {
        let page = operator.fills("/console/live", "/console/live", fields);
        assert!(page.contains(said), "{fields:?}: {page}");
    }
}

#[test]
fn nobody_watches_without_a_session() {
    let story = Story::start();
    assert_eq!(story.proxy.operator().get("/console/live/stream").status, 303);
}
