//! The hidden frame that asks for the verdict.

use std::sync::{Arc, Mutex};

use throughline::{
    html::frame::frame_markup,
    store::clock,
    tracking::{
        event::EventId,
        late::{Awaited, LateSync, ROUNDS},
    },
};

use super::{INVALID, Story, answering_behind, assert_kept_to_ourselves, frame, is_empty, next, seal};
use crate::support::{
    accounting::assert_accounts, await_fact, browser::Browser, config::GOAL, network::AdNetwork, origin::PAGE,
    response::Response, server::lock,
};

#[test]
fn a_click_id_that_the_network_does_not_know_gets_its_pixels_once() {
    let story = Story::with(AdNetwork::answering([INVALID]));
    let (mut visitor, awaited) = story.bought();
    story.proxy.await_settled();
    // Who only looks, or looks ahead, takes nothing.
    let head = visitor.head(&frame(awaited));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(is_empty(&visitor.request("GET", &frame(awaited), &[("Sec-Purpose", "prefetch")], "")));
    let shown = visitor.request("GET", &frame(awaited), &[("Sec-Fetch-Dest", "iframe")], "");
    assert_kept_to_ourselves(&shown, "the pixels");
    let pixel = format!("http://{}", story.pixel.address());
    assert!(
        shown.text().contains(&format!("<img src=\"{pixel}/pixel?goal={GOAL}&amp;value=49.90\"")),
        "{}",
        shown.text()
    );
    assert!(shown.header("content-security-policy").unwrap().contains(&format!("img-src https: {pixel};")));
    assert!(is_empty(&visitor.get(&frame(awaited))), "another token for the same conversion shows nothing more");
    story.proxy.await_metric("throughline_injections_total", &[("result", "late")], 1);
    assert_accounts(&story.proxy);
}

#[test]
fn a_click_id_that_the_network_knows_gets_none() {
    let story = Story::with(AdNetwork::answering(["OK"]));
    let (mut visitor, awaited) = story.bought();
    story.proxy.await_settled();
    let answer = visitor.get(&frame(awaited));
    assert!(is_empty(&answer), "{}", answer.text());
    assert_kept_to_ourselves(&answer, "the empty document");
    assert!(story.proxy.metric("throughline_injections_total", &[("result", "late")]) < 0.5);
}

#[test]
fn a_frame_asks_five_times_more_and_then_gives_up() {
    let story = Story::with(AdNetwork::answering([Response::hang()]));
    let (mut visitor, awaited) = story.bought();
    let unknown = Awaited { event_id: EventId::parse("00000000-0000-4000-8000-000000000001").unwrap(), ..awaited };
    for awaited in [awaited, unknown] {
        let mut answer = visitor.get(&frame(awaited));
        for round in 0..ROUNDS {
            assert_kept_to_ourselves(&answer, "the waiting document");
            let address = next(&answer).unwrap_or_else(|| panic!("round {round}: {}", answer.text()));
            answer = visitor.get(&address);
        }
        assert!(is_empty(&answer), "{}", answer.text());
    }
}

#[test]
fn an_old_token_or_one_for_another_site_is_unknown() {
    let story = Story::with(AdNetwork::answering([INVALID]));
    let (mut visitor, awaited) = story.bought();
    story.proxy.await_settled();
    let now = clock::now().as_millis();
    let old =
        Awaited { time: throughline::tracking::timestamp::Timestamp::from_millis(now - 25 * 3_600_000), ..awaited };
    assert_eq!(visitor.get(&frame(old)).status, 404);
    let elsewhere = LateSync::new([awaited]).unwrap().token(&seal(), "tickets");
    assert_eq!(visitor.get(&format!("/.throughline/frame/{elsewhere}")).status, 404);
    assert!(visitor.get(&frame(awaited)).text().contains("<img"), "the right one was not used up");
}

#[test]
fn a_browser_waits_in_the_frame_and_loads_the_pixels_when_the_verdict_stands() {
    let gate = Arc::new(Mutex::new(()));
    let closed = lock(&gate);
    let story = Story::with(answering_behind(&gate));
    let (_visitor, awaited) = story.bought();
    let markup = String::from_utf8(frame_markup(&frame(awaited))).unwrap();
    story.origin.change("/later", Response::html(PAGE.replace("</body>", &format!("{markup}</body>"))));
    let mut browser = Browser::start();
    let window = browser.window();
    let site = format!("http://{}", story.proxy.address());
    let tab = browser.open(&window, &format!("{site}/later"));
    let shows = "document.querySelector('iframe').contentDocument.querySelector('meta[http-equiv]') !== null";
    await_fact(|| browser.evaluate(&tab, shows).as_bool().filter(|shows| *shows), || "the waiting document".into());
    assert!(story.pixel.received().is_empty());
    drop(closed);
    let pixel = &story.pixel.await_received(1)[0];
    assert_eq!(pixel.parameter("goal"), Some(GOAL));
    assert_eq!(pixel.headers.get("referer"), Some(&*format!("{site}/")), "the site, and not the frame's address");
    let extent = "(it => it.offsetWidth + it.offsetHeight)(document.querySelector('iframe'))";
    assert_eq!(browser.evaluate(&tab, extent), 0, "nobody sees it");
    story.proxy.await_metric("throughline_injections_total", &[("result", "late")], 1);
}
