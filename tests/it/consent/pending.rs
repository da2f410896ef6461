//! Clicks that come before the choice.

use throughline::tracking::{visit::HOLD_COOKIE, visitor::Seal};

use crate::support::accounting::assert_accounts;

use super::{CLICKS, CONSENT, FROM, SECRET, Story, THANKS, choosing};

const LANDING: &str = "http://shop.example/?exotracker=abc";

fn asking(pending: &str) -> Story {
    Story::asking(&format!("require: ad_storage, {FROM}, pending: {pending}"))
}

#[test]
fn a_click_is_taken_from_the_page_that_still_shows_it() {
    for (target, headers) in [
        ("/style.css", vec![("Referer", LANDING), ("Sec-Fetch-Dest", "style")]),
        ("/cart", vec![("Referer", LANDING)]),
        ("/api", vec![("Referer", LANDING), ("Sec-Fetch-Dest", "empty")]),
    ] {
        let story = asking("referer");
        let mut visitor = story.proxy.visitor();
        assert!(visitor.lands("/?exotracker=abc").set_cookies().is_empty());
        assert!(visitor.request("GET", target, &headers, "").set_cookies().is_empty(), "nothing was chosen yet");
        let mut visitor = choosing(visitor, "yes");
        for elsewhere in ["https://other.example/?exotracker=x", "http://shop.example:81/?exotracker=x"] {
            visitor.request("GET", target, &[("Referer", elsewhere)], "");
            assert_eq!(visitor.cookie("_exoclick_cid"), None, "{elsewhere}");
        }
        let answer = visitor.request("GET", target, &headers, "");
        assert_eq!(answer.set_cookie("_exoclick_cid").map(|cookie| cookie.value), Some("abc".into()), "{target}");
        assert!(answer.header("cache-control").is_some_and(|control| control.contains("private")));
        assert!(visitor.request("GET", target, &headers, "").set_cookies().is_empty(), "once is enough");
        story.counted(CLICKS, ("result", "pending"), 1);
        story.counted(CLICKS, ("result", "accepted"), 1);
        visitor.get(THANKS);
        assert_eq!(story.network.await_received(1)[0].parameter("tag"), Some("abc"));
        assert_accounts(&story.proxy);
    }
}

#[test]
fn whoever_refuses_keeps_no_click_of_the_page_before() {
    let story = asking("referer");
    let mut visitor = story.proxy.visitor();
    visitor.lands("/?exotracker=abc");
    let mut visitor = choosing(visitor, "no");
    assert!(visitor.request("GET", "/cart", &[("Referer", LANDING)], "").set_cookies().is_empty());
    story.counted(CONSENT, ("decision", "denied"), 0);
    visitor.get(THANKS);
    story.counted(super::CONVERSIONS, ("outcome", "no_consent"), 1);
    assert!(story.network.received().is_empty());
    assert_accounts(&story.proxy);
}

#[test]
fn a_held_click_is_sealed_until_the_choice() {
    let story = asking("hold");
    let mut visitor = story.proxy.visitor();
    let landed = visitor.lands("/?exotracker=abc");
    let held = landed.set_cookie(HOLD_COOKIE).expect("the sealed click");
    assert!(!held.value.contains("abc") && !held.value.contains("exoclick"), "{}", held.value);
    assert_eq!((held.attribute("max-age"), held.attribute("expires")), (None, None), "it ends with the browser");
    assert_eq!((held.attribute("httponly"), held.attribute("path")), (Some(""), Some("/")));
    assert!(landed.set_cookie("_exoclick_cid").is_none());
    story.counted(CLICKS, ("result", "held"), 1);
    assert!(visitor.get("/cart").set_cookies().is_empty(), "still nothing was chosen");
    let mut visitor = choosing(visitor, "yes");
    let answer = visitor.get("/cart");
    assert_eq!(answer.set_cookie("_exoclick_cid").map(|cookie| cookie.value), Some("abc".into()));
    assert_eq!(answer.set_cookie(HOLD_COOKIE).unwrap().attribute("max-age"), Some("0"));
    assert_eq!(visitor.cookie(HOLD_COOKIE), None);
    visitor.get(THANKS);
    assert_eq!(story.network.await_received(1)[0].parameter("tag"), Some("abc"));
    assert_accounts(&story.proxy);
}

#[test]
fn a_second_click_before_the_choice_does_not_push_out_another_networks() {
    use crate::support::{
        config::{shop_of_three, with_site_key},
        origin::Origin,
        proxy::Proxy,
    };
    let origin = Origin::start();
    let consent = format!("consent: {{ require: ad_storage, {FROM}, pending: hold }}");
    let proxy = Proxy::with(&with_site_key(&shop_of_three(&origin), &consent)).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=first");
    visitor.lands("/?exode=second");
    visitor.lands("/?exode=third");
    let mut visitor = choosing(visitor, "yes");
    visitor.get("/");
    assert_eq!(visitor.cookie("_exoclick_cid").as_deref(), Some("first"));
    assert_eq!(visitor.cookie("_exo_de").as_deref(), Some("third"));
}

#[test]
fn a_held_click_goes_with_a_refusal() {
    let story = asking("hold");
    let mut visitor = story.proxy.visitor();
    visitor.lands("/?exotracker=abc");
    let mut visitor = choosing(visitor, "no");
    let answer = visitor.get("/cart");
    let erased = answer.set_cookie(HOLD_COOKIE).expect("its end");
    assert_eq!((erased.value.as_str(), erased.attribute("max-age")), ("", Some("0")));
    assert_eq!((visitor.cookie(HOLD_COOKIE), visitor.cookie("_exoclick_cid")), (None, None));
    // Nor does it come back.
    let mut visitor = choosing(visitor, "yes");
    visitor.get("/cart");
    assert_eq!(visitor.cookie("_exoclick_cid"), None);
    assert_accounts(&story.proxy);
}

#[test]
fn a_click_is_held_no_longer_than_allowed() {
    let seal = Seal::new([SECRET]).unwrap();
    // Half an hour is the default.
    for (minutes, is_kept) in [(29, true), (31, false)] {
        let story = asking("hold");
        let mut visitor = story.proxy.visitor();
        let value = visitor.lands("/?exotracker=abc").set_cookie(HOLD_COOKIE).unwrap().value;
        let mut held: serde_json::Value = serde_json::from_str(&seal.open_text(HOLD_COOKIE, &value).unwrap()).unwrap();
        let at = held[0]["at"].as_i64().unwrap();
        held[0]["at"] = (at - minutes * 60_000).into();
        let older = seal.seal_text(HOLD_COOKIE, &held.to_string());
        let mut later = story.proxy.visitor().sending("Cookie", &format!("my_consent=yes; {HOLD_COOKIE}={older}"));
        let answer = later.get("/cart");
        assert_eq!(answer.set_cookie("_exoclick_cid").is_some(), is_kept, "{minutes} minutes");
        assert_eq!(answer.set_cookie(HOLD_COOKIE).unwrap().attribute("max-age"), Some("0"));
    }
}

#[test]
fn a_forged_hold_brings_no_click_and_is_deleted() {
    let story = asking("hold");
    let mut visitor = story.proxy.visitor().sending("Cookie", &format!("my_consent=yes; {HOLD_COOKIE}=abc"));
    let answer = visitor.get("/cart");
    assert!(answer.set_cookie("_exoclick_cid").is_none());
    assert_eq!(answer.set_cookie(HOLD_COOKIE).unwrap().attribute("max-age"), Some("0"));
}

#[test]
fn a_dropped_click_is_lost() {
    let story = asking("drop");
    let mut visitor = story.proxy.visitor();
    assert!(visitor.lands("/?exotracker=abc").set_cookies().is_empty());
    story.counted(CLICKS, ("result", "dropped"), 1);
    let mut visitor = choosing(visitor, "yes");
    assert!(visitor.request("GET", "/cart", &[("Referer", LANDING)], "").set_cookies().is_empty());
    visitor.get(THANKS);
    story.counted(super::CONVERSIONS, ("outcome", "no_click"), 1);
    assert_accounts(&story.proxy);
}
