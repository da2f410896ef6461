//! Consent: what happens before a visitor has chosen, what the choice allows, and what goes with it.

use throughline::store::{
    Inspector,
    inspector::{Known, Person},
};

use crate::support::{
    accounting::assert_accounts,
    config::{GOAL, shop_of, with_site_key},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::{Proxy, Setup},
    response::Response,
    visitor::Visitor,
};

mod bridge;
mod pending;
mod signals;
mod withdrawal;

const CLICKS: &str = "throughline_clicks_total";
const CONSENT: &str = "throughline_consent_total";
const CONVERSIONS: &str = "throughline_conversions_total";
const SECRET: &str = "a secret of more than thirty-two characters";

/// One cookie and one header that say it.
const FROM: &str =
    r#"from: [{ cookie: my_consent, granted: "^yes", denied: "^no" }, { header: x-consent, granted: "^1$" }]"#;
/// The thank-you page, with the address of the buyer.
const THANKS: &str = "/thank-you/1001?total=49.90&email=a%40shop.example";
const ORIGIN: (&str, &str) = ("Origin", "http://shop.example");

/// A shop with one network that asks for consent as told.
struct Story {
    origin: Origin,
    network: AdNetwork,
    proxy: Proxy,
}

impl Story {
    fn asking(consent: &str) -> Self {
        Self::with(consent, AdNetwork::answering(["OK"]))
    }

    fn with(consent: &str, network: AdNetwork) -> Self {
        let origin = Origin::start();
        let proxy = setup(&origin, &network, consent).start();
        Self { origin, network, proxy }
    }

    fn counted(&self, metric: &str, label: (&str, &str), count: u32) {
        self.proxy.await_metric(metric, &[label], count);
    }

    /// What is on disk of somebody with this address.
    fn known_of(&self, email: &str) -> Known {
        let inspector = Inspector::open(&self.proxy.folder().join("state")).unwrap();
        inspector.find(&Person::Email(email.into())).unwrap()
    }

    fn knows(&self, email: &str) -> bool {
        let known = self.known_of(email);
        !known.rows.is_empty() || !known.journeys.is_empty()
    }
}

/// The configuration; `consent` stands between braces behind `consent:`.
fn config(origin: &Origin, network: &AdNetwork, consent: &str) -> String {
    let networks = format!(
        r#"      exoclick: {{ click: {{ param: exotracker }}, postback: {{ url: "http://{}/tag.php" }} }}"#,
        network.address()
    );
    let config = shop_of(origin, &networks, &format!("          exoclick: {{ goal: {GOAL} }}"));
    let config = with_site_key(
        &config,
        "captures: [{ name: checkout, path: /checkout, method: POST, fields: { email: form.email } }]",
    );
    with_site_key(&config, &format!("consent: {{ {consent} }}"))
}

fn setup(origin: &Origin, network: &AdNetwork, consent: &str) -> Setup {
    let config = config(origin, network, consent);
    Proxy::with(&format!("secret: ${{SEAL}}\n{config}")).env("SEAL", SECRET)
}

/// The same browser after a choice that the banner keeps in its own cookie.
fn choosing(visitor: Visitor, word: &str) -> Visitor {
    visitor.sending("Cookie", &format!("my_consent={word}"))
}

fn checks_out(visitor: &mut Visitor) {
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(visitor.request("POST", "/checkout", &form, "email=a%40shop.example").status, 200);
}

#[test]
fn before_the_choice_nothing_is_set_stored_or_shown() {
    let story = Story::asking(&format!("require: ad_storage, {FROM}"));
    let mut visitor = story.proxy.visitor();
    assert!(visitor.lands("/?exotracker=abc").set_cookies().is_empty());
    story.counted(CLICKS, ("result", "pending"), 1);
    checks_out(&mut visitor);
    story.counted("throughline_captures_total", ("result", "no_consent"), 1);
    let thanks = visitor.get(THANKS);
    assert_eq!((thanks.text().as_str(), thanks.set_cookies().len()), (PAGE, 0), "no pixel, no cookie");
    story.counted(CONVERSIONS, ("outcome", "no_consent"), 1);
    story.counted(CONSENT, ("decision", "pending"), 3);
    assert!(!story.knows("a@shop.example"));
    assert!(story.network.received().is_empty());
    assert_accounts(&story.proxy);
}

#[test]
fn with_consent_everything_is_as_without_the_question() {
    let story = Story::asking(&format!("require: ad_storage, {FROM}"));
    let mut visitor = choosing(story.proxy.visitor(), "yes");
    let landed = visitor.lands("/?exotracker=abc");
    assert_eq!(landed.set_cookie("_exoclick_cid").map(|cookie| cookie.value), Some("abc".into()));
    checks_out(&mut visitor);
    story.counted("throughline_captures_total", ("result", "remembered"), 1);
    visitor.get(THANKS);
    assert_eq!(story.network.await_received(1)[0].parameter("tag"), Some("abc"));
    assert!(story.knows("a@shop.example"), "the control of what is not there in the other stories");
    story.counted(CONSENT, ("decision", "granted"), 3);
    assert_accounts(&story.proxy);
}

#[test]
fn a_visitor_who_refuses_is_not_reported_by_pixels_either() {
    let story = Story::asking(&format!("require: ad_storage, {FROM}"));
    let mut visitor = choosing(story.proxy.visitor(), "no");
    assert_eq!(visitor.get(THANKS).text(), PAGE);
    story.counted(CONVERSIONS, ("outcome", "no_consent"), 1);
    assert!(story.proxy.metric("throughline_injections_total", &[("result", "injected")]) < 0.5);
    let mut agreed = choosing(story.proxy.visitor(), "yes");
    assert!(agreed.get("/thank-you/1002").text().contains("<img"), "who agrees and brings no click is");
    assert_accounts(&story.proxy);
}

#[test]
fn journeys_that_need_no_consent_are_told_by_their_requests() {
    let story = Story::asking(&format!("require: ad_storage, {FROM}, unless: {{ query.sn: \"1\" }}"));
    let mut visitor = story.proxy.visitor();
    visitor.lands("/?exotracker=abc&sn=2");
    story.counted(CLICKS, ("result", "pending"), 1);
    visitor.lands("/?exotracker=abc&sn=1");
    story.counted(CLICKS, ("result", "accepted"), 1);
    assert_eq!(visitor.cookie("_exoclick_cid").as_deref(), Some("abc"));
    visitor.get(&format!("{THANKS}&sn=1"));
    assert_eq!(story.network.await_received(1)[0].parameter("tag"), Some("abc"));
    story.counted(CONSENT, ("decision", "not_required"), 2);
    assert_accounts(&story.proxy);
}

#[test]
fn where_nobody_asks_nothing_is_counted() {
    let story = Story::asking("require: none");
    story.proxy.visitor().lands("/?exotracker=abc");
    story.counted(CLICKS, ("result", "accepted"), 1);
    assert!(!story.proxy.admin("/metrics").text().contains("throughline_consent_total{"));
    assert_eq!(story.origin.requests().len(), 1);
    // The script's address is nobody's, either.
    let posted = story.proxy.visitor().request("POST", "/.throughline/consent", &[ORIGIN], "granted");
    assert_eq!((posted.status, posted.set_cookies().len()), (404, 0));
    assert_eq!(story.origin.requests().len(), 1);
}

/// A page that its browser may keep.
fn cached(page: &str) -> Response {
    Response::html(page).header("Cache-Control", "public, max-age=60").header("ETag", "\"1\"")
}
