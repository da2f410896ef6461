//! The web console on the admin port: who gets in, what it shows, what can be done there.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use url::form_urlencoded;

use crate::support::{
    await_fact,
    metrics::Samples,
    network::AdNetwork,
    origin::Origin,
    proxy::{Proxy, Setup},
    response::Response,
    visitor::{Answer, Visitor},
};

mod actions;
mod door;
mod live;
mod looks;
mod pages;

const TOKEN: &str = "CANARY-admin-token-of-the-tests";
/// A console off limits without the token.
const LOCKED: &str = "admin: { listen: 127.0.0.1:0, token: \"${ADMIN_TOKEN}\", hosts: [console.example] }";
const VERDICTS: &str = "throughline_postbacks_total";
const OUTCOMES: &str = "throughline_conversions_total";

/// A shop, a network that answers with a status, and the proxy between them with a locked console.
struct Story {
    origin: Origin,
    network: AdNetwork,
    status: Arc<AtomicU16>,
    proxy: Proxy,
}

impl Story {
    fn start() -> Self {
        Self::with(LOCKED)
    }

    /// The same with these keys at the top.
    fn with(keys: &str) -> Self {
        let (origin, status) = (Origin::start(), Arc::new(AtomicU16::new(200)));
        let answer = Arc::clone(&status);
        let network = AdNetwork::judging(move |_| Response::new(answer.load(Ordering::SeqCst)).body("said so"));
        let proxy = Self::setup(keys, &origin, &network).start();
        Self { origin, network, status, proxy }
    }

    fn setup(keys: &str, origin: &Origin, network: &AdNetwork) -> Setup {
        let config = format!(
            r##"{keys}
sites:
  - name: shop
    upstream: "http://{}"
    networks:
      mine:
        click: {{ param: cid, cookie: _cid }}
        postback: {{ url: "http://{}/pb", query: {{ e: "{{event_id}}", o: "{{order_id}}", v: "{{value}}", m: "{{email}}", key: "${{NET_KEY}}" }} }}
      other: {{ click: {{ param: oid, cookie: _oid }}, postback: {{ url: "http://{}/other", query: {{ o: "{{order_id}}" }} }} }}
    conversions:
      - name: purchase
        path: "/thank-you/{{order_id}}"
        value: query.total
        currency: EUR
        email: query.email
        send: {{ mine: {{ }}, other: {{ }} }}
      - name: lead
        path: /lead
        order_id: 'html("#order")'
        send: {{ mine: {{ }} }}
"##,
            origin.address(),
            network.address(),
            network.address()
        );
        Proxy::with(&config).env("ADMIN_TOKEN", TOKEN).env("NET_KEY", "CANARY-network-key")
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// A visitor with a click buys.
    fn sells(&self, order: &str) {
        let mut visitor = self.proxy.visitor().sending("Cookie", "_cid=abc");
        let page = format!("/thank-you/{order}?total=49.90&email=CANARY%40mail.example");
        assert_eq!(visitor.get(&page).status, 200);
    }

    /// Sells an order that its network rejects.
    fn buries(&self, order: &str) {
        self.answers(400);
        let before = self.metric(VERDICTS, &[("verdict", "rejected")]);
        self.sells(order);
        await_fact(
            || (self.metric(VERDICTS, &[("verdict", "rejected")]) > before + 0.5).then_some(()),
            || self.proxy.stderr(),
        );
        self.await_metric("throughline_outbox_pending", &[], 0);
        self.answers(200);
    }

    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut program = self.proxy.operator().sending("Authorization", &format!("Bearer {TOKEN}"));
        Samples::parse(&program.get("/metrics").text()).sum(name, labels)
    }

    fn await_metric(&self, name: &str, labels: &[(&str, &str)], value: u32) {
        await_fact(
            || ((self.metric(name, labels) - f64::from(value)).abs() < 0.5).then_some(()),
            || format!("{name}{labels:?} is {}, not {value}\n{}", self.metric(name, labels), self.proxy.stderr()),
        );
    }

    /// An operator who has logged in.
    fn operator(&self) -> Operator {
        let mut operator = Operator::of(&self.proxy);
        let answer = operator.submits("/console/login", &[("token", TOKEN), ("name", "Ada")]);
        assert_eq!((answer.status, answer.header("location")), (303, Some("/console/")), "{}", answer.text());
        operator
    }
}

/// A browser at the console.
struct Operator {
    browser: Visitor,
    origin: String,
}

impl Operator {
    fn of(proxy: &Proxy) -> Self {
        let host = proxy.admin_address().to_string();
        Self { browser: proxy.operator(), origin: format!("http://{host}") }
    }

    fn sees(&mut self, target: &str) -> String {
        let answer = self.browser.get(target);
        assert_eq!(answer.status, 200, "{target}: {:?} {}", answer.header("location"), answer.text());
        answer.text()
    }

    /// Sends a form as the browser would: with what the page that has it shows.
    fn submits(&mut self, target: &str, fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", self.origin.as_str())];
        self.browser.request("POST", target, &headers, &body)
    }

    /// Fills in the form of a page and sends it to this place.
    fn fills(&mut self, page: &str, target: &str, fields: &[(&str, &str)]) -> String {
        let csrf = csrf(&self.sees(page));
        let answer = self.submits(target, &[&[("csrf", csrf.as_str())], fields].concat());
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        answer.text()
    }
}

/// The proof that the forms of a page carry.
fn csrf(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap_or_else(|| panic!("no form in {page}"));
    rest.split_once('"').unwrap().0.to_owned()
}

/// What stands between these two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text}"));
    rest.split_once(after).unwrap_or_else(|| panic!("no {after:?} behind {before:?}")).0
}
