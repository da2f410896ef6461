//! What the pages say, and that they say it of hostile values, too.

use super::{OUTCOMES, Story, VERDICTS};
use crate::support::await_fact;

/// An order id as an attacker would choose it, as a path holds it and as text of HTML.
const HOSTILE: &str = "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E";
const AS_TEXT: &str = "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;";

#[test]
fn the_overview_tells_how_each_network_fares() {
    let story = Story::start();
    let mut operator = story.operator();
    story.proxy.visitor().lands("/?cid=abc");
    story.sells("A-1");
    story.await_metric(VERDICTS, &[("verdict", "delivered")], 1);
    story.buries("A-2");
    story.sells("A-1");
    story.await_metric(OUTCOMES, &[("outcome", "duplicate")], 1);
    let page = operator.sees("/console/");
    for said in [
        "<h2>shop",
        "Requests in the last hour: ",
        "Clicks in the last hour: 1; at most 1 in a minute",
        "Postbacks in the last hour: 2; 1 failed; at most",
        "<li>accepted <b>1</b></li>",
        "<li>queued <b>2</b></li>",
        "<li>duplicate <b>1</b></li>",
        "<li>no click <b>3</b></li>",
        "<li>delivered <b>1</b></li>",
        "<li>rejected <b>1</b></li>",
        "/console/outbox?state=dead&amp;site=shop&amp;network=mine",
        "Late commits",
    ] {
        assert!(page.contains(said), "{said} in {page}");
    }
    assert!(!page.contains("tracking off") && !page.contains("left alone"), "{page}");
}

#[test]
fn an_order_has_its_story_and_hostile_values_are_shown_as_text() {
    let story = Story::start();
    let mut operator = story.operator();
    story.proxy.visitor().lands("/?cid=abc");
    story.buries(HOSTILE);
    story.await_metric(OUTCOMES, &[("outcome", "queued")], 1);
    // The record is written about a second after the page.
    let found = await_fact(
        || Some(operator.sees(&format!("/console/search?q={HOSTILE}"))).filter(|page| page.contains("path.order_id")),
        || "where the order id was read".to_owned(),
    );
    for said in
        [AS_TEXT, "49.90 EUR", "Thank-you page", "Attempt 1", "status 400", "Verdict", "What to do", "path.order_id"]
    {
        assert!(found.contains(said), "{said} in {found}");
    }
    let newest = operator.sees("/console/search");
    let list = operator.sees(&format!("/console/outbox/{HOSTILE}"));
    for page in [&found, &newest, &list] {
        assert!(page.contains(AS_TEXT) && !page.contains("<script>"), "{page}");
        assert!(!page.contains("CANARY"), "{page}");
    }
    assert!(operator.sees("/console/search?q=abc").contains(AS_TEXT), "by click ID");
    assert!(operator.sees("/console/search?q=nothing-of-ours").contains("Nothing is known of it"));
    assert!(
        operator
            .sees(&format!("/console/search?q={}", "x".repeat(2000)))
            .contains("No order id or click ID is so long")
    );
    assert!(operator.sees("/console/search?outcome=no_click").contains("no click"));
}

#[test]
fn the_configuration_shows_secrets_by_their_names() {
    let story = Story::start();
    let mut operator = story.operator();
    let page = operator.sees("/console/configuration");
    for said in [
        "${ADMIN_TOKEN}",
        "${NET_KEY}",
        "console.example",
        "/thank-you/{order_id}",
        "max_page_delay",
        "throughline.yaml",
    ] {
        assert!(page.contains(said), "{said} in {page}");
    }
    assert!(!page.contains("CANARY"), "{page}");
}

#[test]
fn a_request_is_explained_as_the_command_explains_it() {
    let story = Story::start();
    let mut operator = story.operator();
    let asked = [
        ("url", "https://shop.example/thank-you/1001?total=49.90&email=a%40b.example"),
        ("cookies", "_cid=abc\r\nchoice=yes"),
        ("headers", "Accept-Language: de"),
        ("status", "200"),
    ];
    let page = operator.fills("/console/explain", "/console/explain", &asked);
    for said in
        ["Conversion purchase", "queued", "cid", "1001", "49.90", "query.total", "key=***", "no click", "_cid=abc"]
    {
        assert!(page.contains(said), "{said} in {page}");
    }
    assert!(!page.contains("CANARY"), "{page}");
    assert!(story.network.received().is_empty(), "nothing is sent");
    for (asked, said) in [
        (("url", "https://shop.example/nothing"), "the path /nothing is not"),
        (("url", "not an address"), "write it whole"),
        (("status", "99"), "from 101 to 599"),
        (("headers", "no colon"), "write it as `NAME: VALUE`"),
        (("remembered", "x"), "is not NAME=VALUE"),
        (("address", "somewhere"), "invalid IP address"),
    ] {
        let fields = [("url", "https://shop.example/thank-you/1"), asked];
        let fields = if asked.0 == "url" { &fields[1..] } else { &fields[..] };
        let page = operator.fills("/console/explain", "/console/explain", fields);
        assert!(page.contains(said), "{asked:?}: {page}");
    }
    let live = [("url", "https://shop.example/thank-you/1"), ("live", "yes")];
    operator.fills("/console/explain", "/console/explain", &live);
    assert_eq!(story.origin.last().path(), "/thank-you/1");
    let hostile = [("url", "https://shop.example/x"), ("cookies", "a=\"><script>alert(1)</script>")];
    let page = operator.fills("/console/explain", "/console/explain", &hostile);
    assert!(!page.contains("<script>"), "{page}");
}
