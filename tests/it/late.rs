//! A verdict comes after its page: the hidden frame below our endpoint learns of it, or the visitor's
//! next page does.

use std::sync::{Arc, Mutex};

use throughline::{
    store::{Inspector, inspector::Filter},
    tracking::{
        late::{Awaited, LateSync},
        visitor::Seal,
    },
};

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    browser::Browser,
    config::{GOAL, THANKS, shop_of, with_site_key},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
    server::lock,
    visitor::{Answer, Visitor},
};

mod endpoint;
mod frames;

const SECRET: &str = "a secret of more than thirty-two characters";
const INVALID: &str = "ERROR: Tag is invalid!";

/// A shop whose network counts one pixel, which this stand-in shows.
struct Story {
    origin: Origin,
    pixel: AdNetwork,
    network: AdNetwork,
    proxy: Proxy,
}

impl Story {
    fn with(network: AdNetwork) -> Self {
        Self::changed(network, |config| config)
    }

    /// The same with a change to the configuration.
    fn changed(network: AdNetwork, change: impl FnOnce(String) -> String) -> Self {
        let (origin, pixel) = (Origin::start(), AdNetwork::answering(["pixel"]));
        let networks = format!(
            r#"      exoclick: {{ click: {{ param: exotracker }}, postback: {{ url: "http://{}/tag.php" }}, sync: {{ pixels: ["http://{}/pixel"] }} }}"#,
            network.address(),
            pixel.address()
        );
        let config = shop_of(&origin, &networks, &format!("          exoclick: {{ goal: {GOAL} }}"));
        let config = change(format!("secret: ${{SEAL}}\n{config}"));
        let proxy = Proxy::with(&config).env("SEAL", SECRET).start();
        Self { origin, pixel, network, proxy }
    }

    /// A visitor with a click ID buys, and the network is asked about it.
    fn bought(&self) -> (Visitor, Awaited) {
        let mut visitor = self.proxy.visitor();
        visitor.lands("/?exotracker=forged");
        visitor.get(THANKS);
        self.network.await_received(1);
        let inspector = Inspector::open(&self.proxy.folder().join("state")).unwrap();
        let row = inspector.list(&Filter::default()).unwrap().remove(0);
        (visitor, Awaited { event_id: row.event_id.unwrap(), time: row.time })
    }

    /// The first conversion of a visitor with a click ID, and its page.
    fn thanked(&self) -> (Visitor, Answer) {
        let mut visitor = self.proxy.visitor();
        visitor.lands("/?exotracker=forged");
        let page = visitor.get(THANKS);
        (visitor, page)
    }

    /// How many of this network's pixels stand in a page.
    fn shown(&self, page: &Answer) -> usize {
        page.text().matches(&format!("<img src=\"http://{}/pixel?goal={GOAL}", self.pixel.address())).count()
    }

    fn late(&self) -> f64 {
        self.proxy.metric("throughline_injections_total", &[("result", "late")])
    }
}

/// A network that says that it does not know the click ID, once the gate is open.
fn answering_behind(gate: &Arc<Mutex<()>>) -> AdNetwork {
    let gate = Arc::clone(gate);
    AdNetwork::judging(move |_| {
        drop(lock(&gate));
        INVALID.into()
    })
}

fn seal() -> Seal {
    Seal::new([SECRET]).unwrap()
}

/// The address of a frame that awaits this.
fn frame(awaited: Awaited) -> String {
    format!("/.throughline/frame/{}", LateSync::new([awaited]).unwrap().token(&seal(), "default"))
}

/// Where a waiting frame asks next.
fn next(answer: &Answer) -> Option<String> {
    let text = answer.text();
    let (_, rest) = text.split_once("<meta http-equiv=\"refresh\" content=\"2;url=")?;
    Some(format!("/.throughline/frame/{}", rest.split_once('"').unwrap().0))
}

fn is_empty(answer: &Answer) -> bool {
    answer.status == 200 && next(answer).is_none() && !answer.text().contains("<img")
}

/// What every answer below the endpoint says.
fn assert_kept_to_ourselves(answer: &Answer, what: &str) {
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-frame-options", "SAMEORIGIN"),
        ("x-robots-tag", "noindex"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name} of {what}");
    }
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; ") && policy.ends_with("; frame-ancestors 'self'"), "{policy}");
    assert!(answer.set_cookies().is_empty(), "{what}");
}

#[test]
fn a_thank_you_page_awaits_its_verdict_in_a_frame_and_a_cookie() {
    let story = Story::with(AdNetwork::answering([INVALID]));
    let (mut visitor, page) = story.thanked();
    assert!(page.is_complete());
    assert_eq!(page.text_without_frame(), PAGE);
    assert!(page.text().ends_with("</iframe></body></html>\n"), "{}", page.text());
    let cookie = page.set_cookie("_tl_sync").expect("a cookie");
    assert_eq!((cookie.attribute("max-age"), cookie.attribute("httponly")), (Some("3600"), Some("")));
    assert!(page.header("cache-control").unwrap().contains("private"));
    assert!(story.origin.last().headers.get("accept-encoding").is_none());
    story.proxy.await_settled();
    let frame = visitor.get(&page.frame().expect("a frame"));
    assert_eq!((story.shown(&frame), frame.status), (1, 200), "{}", frame.text());
    // What the frame has shown, the next page does not; and the cookie has served.
    let next = visitor.get("/");
    assert_eq!(next.text(), PAGE);
    assert_eq!(next.set_cookie("_tl_sync").unwrap().attribute("max-age"), Some("0"));
    assert_eq!(visitor.cookie("_tl_sync"), None);
    assert_accounts(&story.proxy);
}

#[test]
fn the_next_page_shows_the_pixels_that_the_frame_never_did() {
    let story = Story::with(AdNetwork::answering([INVALID]));
    let (mut visitor, page) = story.thanked();
    story.proxy.await_settled();
    // None of these is a page that a person looks at.
    visitor.request("GET", "/image", &[("Sec-Fetch-Dest", "image"), ("Accept", "image/png")], "");
    visitor.request("GET", "/ahead", &[("Sec-Purpose", "prefetch")], "");
    visitor.request("POST", "/form", &[], "a=1");
    story.origin.change("/json", Response::new(200).header("Content-Type", "application/json").body("{}"));
    assert_eq!(visitor.get("/json").text(), "{}");
    assert!(visitor.cookie("_tl_sync").is_some() && story.late() < 0.5);
    let next = visitor.request("GET", "/next", &[("If-None-Match", "\"1\"")], "");
    assert_eq!((story.shown(&next), next.frame()), (1, None), "{}", next.text());
    assert!(next.text().ends_with("</body></html>\n") && next.is_complete());
    assert_eq!(story.origin.last().headers.get("if-none-match"), None, "a 304 shows nothing");
    let control = next.header("cache-control").unwrap();
    assert!(control.contains("private") && control.contains("no-cache"), "{control}");
    assert_eq!(visitor.cookie("_tl_sync"), None);
    let last = visitor.get("/last");
    assert_eq!((last.text().as_str(), last.set_cookies().len()), (PAGE, 0));
    assert!(is_empty(&visitor.get(&page.frame().unwrap())), "it comes too late");
    story.proxy.await_metric("throughline_injections_total", &[("result", "late")], 1);
    assert_accounts(&story.proxy);
}

#[test]
fn a_delivered_conversion_leaves_nothing_behind() {
    let story = Story::with(AdNetwork::answering(["OK"]));
    let (mut visitor, page) = story.thanked();
    story.proxy.await_settled();
    assert!(is_empty(&visitor.get(&page.frame().unwrap())));
    let next = visitor.get("/");
    assert_eq!((next.text().as_str(), visitor.cookie("_tl_sync")), (PAGE, None));
    assert!(visitor.get("/").set_cookies().is_empty());
    assert!(story.late() < 0.5);
}

#[test]
fn while_a_verdict_is_open_pages_stay_as_they_are_and_a_refresh_awaits_nothing_new() {
    let story = Story::with(AdNetwork::answering([Response::hang()]));
    let (mut visitor, page) = story.thanked();
    assert!(page.frame().is_some());
    let carried = visitor.cookie("_tl_sync");
    for target in [THANKS, "/", THANKS] {
        let again = visitor.get(target);
        assert_eq!((again.text().as_str(), again.set_cookie("_tl_sync")), (PAGE, None), "{target}");
    }
    assert!(carried.is_some() && visitor.cookie("_tl_sync") == carried);
    // Another browser with the same order.
    let again = story.proxy.visitor().get(&format!("{THANKS}&exotracker=other"));
    assert_eq!((again.text().as_str(), again.set_cookie("_tl_sync")), (PAGE, None));
    story.proxy.await_metric("throughline_conversions_total", &[("outcome", "duplicate")], 3);
}

#[test]
fn two_orders_are_awaited_together() {
    let gate = Arc::new(Mutex::new(()));
    let closed = lock(&gate);
    let story = Story::with(answering_behind(&gate));
    let (mut visitor, _) = story.thanked();
    let second = visitor.get("/thank-you/1002?total=5");
    assert!(second.frame().is_some() && story.shown(&second) == 0);
    drop(closed);
    story.proxy.await_settled();
    let next = visitor.get("/");
    assert_eq!(story.shown(&next), 2, "{}", next.text());
    assert!(next.text().contains("value=49.90") && next.text().contains("value=5"), "{}", next.text());
    assert_eq!(visitor.cookie("_tl_sync"), None);
}

#[test]
fn an_optimistic_network_and_a_head_request_await_nothing() {
    let optimistic = |config: String| config.replace("sync: {", "optimistic: true, sync: {");
    let story = Story::changed(AdNetwork::answering([INVALID]), optimistic);
    let (visitor, page) = story.thanked();
    assert_eq!((page.text().as_str(), visitor.cookie("_tl_sync")), (PAGE, None));
    assert_eq!(page.header("content-length"), Some(&*PAGE.len().to_string()), "nothing was edited");
    let story = Story::with(AdNetwork::answering([INVALID]));
    let mut visitor = story.proxy.visitor();
    visitor.lands("/?exotracker=forged");
    let head = visitor.head(THANKS);
    assert_eq!((head.header("content-length"), head.set_cookie("_tl_sync")), (None, None), "as GET, but no conversion");
}

#[test]
fn a_page_that_forbids_frames_gets_none_and_the_next_page_makes_up_for_it() {
    const CSP: &str = "Content-Security-Policy";
    let element = "<meta http-equiv=\"Content-Security-Policy\" content=\"frame-src 'none'\">";
    let with_element = PAGE.replacen("<head>", &format!("<head>{element}"), 1);
    for (mode, page, policy, becomes) in [
        ("respect", PAGE, Some("frame-src 'none'"), Some("frame-src 'none'")),
        ("amend", PAGE, Some("frame-src https://x.example"), Some("frame-src https://x.example 'self'")),
        ("amend", &*with_element, None, None),
    ] {
        let story =
            Story::changed(AdNetwork::answering([INVALID]), |config| with_site_key(&config, &format!("csp: {mode}")));
        let response = Response::html(page);
        let response = policy.iter().fold(response, |response, policy| response.header(CSP, policy));
        story.origin.change("/thank-you/1001", response);
        let (mut visitor, answer) = story.thanked();
        assert_eq!((answer.text_without_frame().as_str(), answer.header(CSP)), (page, becomes), "{mode} {policy:?}");
        assert_eq!(answer.frame().is_some(), policy != becomes, "{mode} {policy:?}");
        story.proxy.await_settled();
        assert_eq!(story.shown(&visitor.get("/")), 1, "{mode} {policy:?}");
    }
}

#[test]
fn a_visitor_who_refuses_gets_no_late_pixels() {
    let asks = |config: String| {
        let consent =
            "consent: { require: ad_storage, from: [{ cookie: choice, granted: \"^yes\", denied: \"^no\" }] }";
        with_site_key(&config, consent)
    };
    let story = Story::changed(AdNetwork::answering([INVALID]), asks);
    let says = |choice: &str, cookie: &str| format!("choice={choice}; {cookie}");
    let mut buyer = story.proxy.visitor();
    let page = buyer.request("GET", THANKS, &[("Cookie", &says("yes", "_exoclick_cid=forged"))], "");
    let carried = format!("_tl_sync={}", page.set_cookie("_tl_sync").expect("a cookie").value);
    story.proxy.await_settled();
    for (choice, shown) in [("no", 0), ("", 0), ("yes", 1)] {
        let next = story.proxy.visitor().request("GET", "/", &[("Cookie", &says(choice, &carried))], "");
        assert_eq!(story.shown(&next), shown, "{choice}: {}", next.text());
    }
}

#[test]
fn a_cookie_that_is_not_ours_is_removed_and_shows_nothing() {
    let story = Story::with(AdNetwork::answering([INVALID]));
    let next = story.proxy.visitor().request("GET", "/", &[("Cookie", "_tl_sync=forged")], "");
    assert_eq!(next.text(), PAGE);
    assert_eq!(next.set_cookie("_tl_sync").unwrap().attribute("max-age"), Some("0"));
}

#[test]
fn a_browser_reports_by_itself_what_the_network_did_not_know() {
    for frames in ["'self'", "'none'"] {
        let story = Story::changed(AdNetwork::answering([INVALID]), |config| with_site_key(&config, "csp: respect"));
        let policy = format!("frame-src {frames}");
        story.origin.change("/thank-you/1001", Response::html(PAGE).header("Content-Security-Policy", &policy));
        let mut browser = Browser::start();
        let window = browser.window();
        let site = format!("http://{}", story.proxy.address());
        let tab = browser.open(&window, &format!("{site}/?exotracker=forged"));
        browser.evaluate(&tab, &format!("location = {THANKS:?}"));
        browser.await_loaded(&tab, &format!("{site}/thank-you/1001"));
        story.proxy.await_settled();
        assert!(browser.cookie(&window, "_tl_sync").is_some(), "{frames}");
        if frames == "'self'" {
            story.pixel.await_received(1);
        } else {
            assert!(story.pixel.received().is_empty(), "no frame, no pixel yet");
        }
        browser.evaluate(&tab, "location = '/next'");
        browser.await_loaded(&tab, &format!("{site}/next"));
        let pixel = &story.pixel.await_received(1)[0];
        assert_eq!((pixel.parameter("goal"), pixel.parameter("value")), (Some(GOAL), Some("49.90")));
        await_fact(
            || browser.cookie(&window, "_tl_sync").is_none().then_some(()),
            || format!("the end of the cookie: {frames}"),
        );
        browser.reload(&tab);
        assert_eq!(story.pixel.received().len(), 1, "once only: {frames}");
        story.proxy.await_metric("throughline_injections_total", &[("result", "late")], 1);
    }
}
