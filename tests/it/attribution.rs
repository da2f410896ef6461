//! Whose click it was.

use crate::support::{accounting::assert_accounts, network::AdNetwork, origin::Origin, proxy::Proxy, visitor::Visitor};

const OUTCOMES: &str = "throughline_conversions_total";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

struct Story {
    network: AdNetwork,
    proxy: Proxy,
    _origin: Origin,
}

impl Story {
    /// Two networks, each with its clicks, and channels that somebody else is paid for.
    fn with(keep: &str, credit: &str) -> Self {
        let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
        let network_of = |key: &str, more: &str| {
            let (param, cookie) = (format!("{key}id"), format!("_{key}"));
            let address = network.address();
            format!(
                r#"      {key}:
        click: {{ param: {param}, cookie: {cookie}, keep: {keep}{more} }}
        postback: {{ url: "http://{address}/{key}", query: {{ order: "{{order_id}}", cids: '{{click_ids|join:","}}' }} }}
"#
            )
        };
        let config = format!(
            r#"sites:
  - upstream: "http://{}"
    consent: {{ require: none }}
    channels: [gclid, {{ param: utm_medium, is: [cpc, affiliate] }}]
    networks:
{}{}    captures:
      - {{ name: checkout, path: /checkout, method: POST, fields: {{ email: form.email }} }}
    conversions:
      - name: purchase
        path: /thanks
        order_id: query.order
        credit: {credit}
        send: {{ a: {{}}, b: {{}} }}
"#,
            origin.address(),
            network_of("a", ""),
            network_of("b", ", ttl: 1s")
        );
        let proxy = Proxy::with(&config).start();
        Self { network, proxy, _origin: origin }
    }

    /// A visitor who came by these, in this order.
    fn came_by(&self, queries: &[&str]) -> Visitor {
        let mut visitor = self.proxy.visitor();
        for query in queries {
            // Each a moment of its own.
            std::thread::sleep(std::time::Duration::from_millis(3));
            visitor.lands(&format!("/?{query}"));
        }
        visitor
    }

    /// The outcome of the next conversion for a network.
    fn assert_outcome(&self, network: &str, outcome: &str, count: u32) {
        self.proxy.await_metric(OUTCOMES, &[("network", network), ("outcome", outcome)], count);
    }

    fn end(&self) {
        self.proxy.await_settled();
        assert_accounts(&self.proxy);
    }
}

#[test]
fn the_last_paid_visit_gets_the_credit() {
    for (queries, outcome) in [
        (&["aid=1"][..], "queued"),
        (&["aid=1", "gclid=x"], "not_credited"),
        (&["gclid=x", "aid=1"], "queued"),
        (&["aid=1", "gclid="], "queued"),
        (&["aid=1", "utm_medium=cpc"], "not_credited"),
        (&["aid=1", "utm_medium=email"], "queued"),
        (&["aid=1", "utm_medium=affiliate", "aid=1"], "queued"),
        (&["aid=1", "bid=2"], "not_credited"),
        (&["bid=2", "aid=1"], "queued"),
        (&["aid=1&gclid=x"], "queued"),
    ] {
        for at_checkout in [false, true] {
            let story = Story::with("last", "last_paid_click");
            let mut visitor = story.came_by(queries);
            if at_checkout {
                std::thread::sleep(std::time::Duration::from_millis(3));
                visitor.request("POST", "/checkout", &[FORM], "email=a%40example.com");
            }
            visitor.get("/thanks?order=7");
            story.assert_outcome("a", outcome, 1);
            story.end();
        }
    }
}

#[test]
fn credit_is_always_given_unless_it_is_asked_for() {
    let story = Story::with("last", "always");
    story.came_by(&["aid=1", "gclid=x"]).get("/thanks?order=7");
    story.assert_outcome("a", "queued", 1);
    story.end();
}

#[test]
fn of_several_clicks_those_are_recalled_that_the_network_keeps() {
    for (keep, kept) in [("all", "1%2C2%2C3"), ("last", "3"), ("first", "1")] {
        let story = Story::with(keep, "always");
        let mut visitor = story.came_by(&["aid=1", "aid=2", "aid=3"]);
        visitor.get("/thanks?order=1");
        let ours = format!("_tl={}", visitor.cookie("_tl").unwrap());
        visitor.request("GET", "/thanks?order=2", &[("Cookie", &ours)], "");
        for told in story.network.await_received(2) {
            assert_eq!(told.parameter("cids"), Some(kept), "{keep}, order {:?}", told.parameter("order"));
        }
        story.end();
    }
}

#[test]
fn a_click_is_recalled_no_longer_than_its_network_pays_for_it() {
    let story = Story::with("last", "always");
    let mut visitor = story.came_by(&["aid=1", "bid=2"]);
    let ours = format!("_tl={}", visitor.cookie("_tl").unwrap());
    std::thread::sleep(std::time::Duration::from_millis(1100));
    visitor.request("GET", "/thanks?order=1", &[("Cookie", &ours)], "");
    story.assert_outcome("a", "queued", 1);
    story.assert_outcome("b", "no_click", 1);
    story.end();
}

#[test]
fn a_checkout_makes_no_click_younger() {
    let story = Story::with("last", "always");
    let mut visitor = story.came_by(&["bid=2"]);
    // A browser that has lost the lifetime of the cookie, but not the cookie.
    let cookies = format!("_tl={}; _b=2", visitor.cookie("_tl").unwrap());
    std::thread::sleep(std::time::Duration::from_millis(1100));
    visitor.request("POST", "/checkout", &[FORM, ("Cookie", &cookies)], "email=a%40example.com");
    let ours = format!("_tl={}", visitor.cookie("_tl").unwrap());
    visitor.request("GET", "/thanks?order=1", &[("Cookie", &ours)], "");
    story.assert_outcome("b", "no_click", 1);
    story.end();
}

#[test]
fn a_click_from_before_the_journey_is_known_from_its_cookie() {
    let story = Story::with("last", "always");
    let mut visitor = story.proxy.visitor();
    visitor.request("POST", "/checkout", &[FORM, ("Cookie", "_a=old")], "email=a%40example.com");
    let ours = format!("_tl={}", visitor.cookie("_tl").unwrap());
    visitor.request("GET", "/thanks?order=1", &[("Cookie", &ours)], "");
    assert_eq!(story.network.await_received(1)[0].parameter("cids"), Some("old"));
    story.end();
}
