//! Several conversions in one request: what shares it, and what becomes of each.
//!
//! Rokt's stand-in keeps books of every event it was sent and of every one it took. Where a story ends
//! with an audit of those books, another shows that the audit catches what it should.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value as Json, json};

use crate::support::{
    accounting::{assert_accounts, assert_accounts_with},
    await_fact,
    config::shop_of,
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    response::Response,
    server::{Request, lock},
};

const VERDICTS: &str = "throughline_postbacks_total";
const ATTEMPTS: &str = "throughline_postback_attempts_total";

/// What Rokt has heard.
#[derive(Debug, Default)]
struct Books(Mutex<BTreeMap<String, Entry>>);

/// What Rokt has heard of one order.
#[derive(Debug, Default)]
struct Entry {
    ids: BTreeSet<String>,
    sent: usize,
    taken: usize,
}

/// What should not be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Audit {
    missing: Vec<String>,
    /// Taken more than once, or under more than one id.
    repeated: Vec<String>,
}

impl Books {
    fn note(&self, event: &Json, is_taken: bool) {
        let mut books = lock(&self.0);
        let entry = books.entry(order(event)).or_default();
        entry.ids.insert(event["clientEventId"].as_str().expect("an id").to_owned());
        entry.sent += 1;
        entry.taken += usize::from(is_taken);
    }

    fn taken(&self) -> usize {
        lock(&self.0).values().filter(|entry| entry.taken > 0).count()
    }

    fn audit(&self, orders: impl IntoIterator<Item = usize>) -> Audit {
        let books = lock(&self.0);
        let is_missing = |order: &String| books.get(order).is_none_or(|entry| entry.taken == 0);
        let repeated = books.iter().filter(|(_, entry)| entry.taken > 1 || entry.ids.len() > 1);
        Audit {
            missing: orders.into_iter().map(|order| order.to_string()).filter(is_missing).collect(),
            repeated: repeated.map(|(order, _)| order.clone()).collect(),
        }
    }
}

fn events(request: &Request) -> Vec<Json> {
    request.json()["events"].as_array().expect("events").clone()
}

fn order(event: &Json) -> String {
    let data = event["objectData"].as_array().expect("object data");
    let order = data.iter().find(|pair| pair["name"] == "transactionid").expect("an order id");
    order["value"].as_str().expect("a text").to_owned()
}

fn answer(status: u16, document: &Json) -> Response {
    Response::new(status).header("Content-Type", "application/json").body(document.to_string())
}

fn unprocessed(records: &[Json]) -> Response {
    answer(200, &json!({ "data": { "unprocessedRecords": records } }))
}

/// A shop that reports to Rokt, where one request after the other is judged.
struct Shop {
    proxy: Proxy,
    network: AdNetwork,
    _origin: Origin,
}

impl Shop {
    fn open(judge: impl Fn(&Request, &[Json]) -> Response + Send + Sync + 'static) -> Self {
        let origin = Origin::start();
        let network = AdNetwork::judging(move |request| judge(request, &events(request)));
        let rokt = format!(
            r#"      rokt: {{ account_id: 1, public_key: "${{ROKT_PUBLIC}}", secret_key: "${{ROKT_SECRET}}", delivery: {{ concurrency: 2 }}, postback: {{ url: "http://{}/v2/events" }} }}"#,
            network.address()
        );
        let config = shop_of(&origin, &rokt, "          rokt: { conversiontype: purchase }");
        let proxy = Proxy::with(&config).env("ROKT_PUBLIC", "rpub-1").env("ROKT_SECRET", "rsec-2").start();
        Self { proxy, network, _origin: origin }
    }

    /// Orders with these numbers, bought by a few visitors at the same time.
    fn sells(&self, orders: std::ops::Range<usize>) {
        thread::scope(|scope| {
            for visitor in 0..4 {
                let orders = orders.clone();
                scope.spawn(move || {
                    let mut browser = self.proxy.visitor().on_one_connection();
                    browser.lands("/?rtid=0123456789abcdef0123456789abcdef");
                    for order in orders.skip(visitor).step_by(4) {
                        let page =
                            browser.get(&format!("/thank-you/{order}?total=1&email=buyer{order}%40mail.example"));
                        assert_eq!(page.status, 200);
                    }
                });
            }
        });
    }

    /// Two orders keep the network busy, one in each request, and the next wait for it together.
    fn is_busy_with_two_orders(&self) {
        for order in 0..2 {
            self.sells(order..order + 1);
            self.network.await_received(order + 1);
        }
    }
}

/// The first two requests take long enough for a shop to sell a hundred things meanwhile.
fn slowly(request_number: usize, response: Response) -> Response {
    if request_number < 2 { response.delayed(Duration::from_secs(6)) } else { response }
}

#[test]
fn a_slow_network_gets_few_requests_and_each_conversion_once() {
    let (books, count) = (Arc::new(Books::default()), AtomicUsize::new(0));
    let noted = Arc::clone(&books);
    let shop = Shop::open(move |_, events| {
        events.iter().for_each(|event| noted.note(event, true));
        slowly(count.fetch_add(1, Ordering::SeqCst), unprocessed(&[]))
    });
    shop.is_busy_with_two_orders();
    shop.sells(2..252);
    shop.proxy.await_metric(VERDICTS, &[("network", "rokt"), ("verdict", "delivered")], 252);
    assert_eq!(books.audit(0..252), Audit::default());
    let sizes: Vec<_> = shop.network.received().iter().map(|request| events(request).len()).collect();
    assert!(sizes.len() <= 20 && sizes.iter().all(|size| *size <= 100), "{sizes:?}");
    assert!(sizes.contains(&100), "{sizes:?}");
    for request in shop.network.received() {
        assert_eq!(request.json()["accountId"], "1");
        assert_eq!(request.headers.get("authorization"), Some("Basic cnB1Yi0xOnJzZWMtMg=="));
    }
    shop.proxy.await_metric(ATTEMPTS, &[("network", "rokt")], 252);
    assert_accounts(&shop.proxy);
}

#[test]
fn one_bad_event_among_a_hundred_is_rejected_alone() {
    let (books, count) = (Arc::new(Books::default()), AtomicUsize::new(0));
    let noted = Arc::clone(&books);
    let shop = Shop::open(move |_, events| {
        let (bad, good): (Vec<_>, Vec<_>) = events.iter().partition(|event| order(event) == "42");
        good.iter().for_each(|event| noted.note(event, true));
        let record =
            |event: &&Json| json!({ "error": { "code": "ValidationError", "message": "eventTime" }, "record": event });
        let records: Vec<_> = bad.iter().map(record).collect();
        slowly(count.fetch_add(1, Ordering::SeqCst), unprocessed(&records))
    });
    shop.is_busy_with_two_orders();
    shop.sells(2..102);
    shop.proxy.await_metric(VERDICTS, &[("verdict", "delivered")], 101);
    shop.proxy.await_metric(VERDICTS, &[("verdict", "rejected")], 1);
    assert_eq!(books.audit(0..102), Audit { missing: vec!["42".into()], repeated: vec![] });
    let requests = shop.network.received();
    assert!(requests.len() < 20, "{} requests", requests.len());
    let shared = requests.iter().find(|request| events(request).iter().any(|event| order(event) == "42")).unwrap();
    assert!(events(shared).len() > 1, "it was sent with others");

    let list = shop.proxy.outbox_list();
    let dead = list.lines().find(|line| line.contains("rejected")).unwrap_or_else(|| panic!("{list}"));
    let id = dead.split_whitespace().find(|word| word.len() == 36).unwrap();
    let shown = shop.proxy.outbox(&["show", id]);
    assert!(shown.contains("ValidationError") && shown.contains("eventTime"), "{shown}");
    assert!(!shown.contains("mail.example") && !shown.contains("emailsha256"), "{shown}");
    assert_accounts(&shop.proxy);
}

#[test]
fn a_request_refused_as_a_whole_is_taken_apart() {
    let (books, count) = (Arc::new(Books::default()), AtomicUsize::new(0));
    let noted = Arc::clone(&books);
    let shop = Shop::open(move |_, events| {
        let is_bad = events.iter().any(|event| order(event) == "7");
        events.iter().for_each(|event| noted.note(event, !is_bad));
        let refusal = json!({ "data": { "code": "RequestValidationError", "message": "events: eventTime" } });
        let response = if is_bad { answer(400, &refusal) } else { unprocessed(&[]) };
        slowly(count.fetch_add(1, Ordering::SeqCst), response)
    });
    shop.is_busy_with_two_orders();
    shop.sells(2..32);
    shop.proxy.await_metric(VERDICTS, &[("verdict", "delivered")], 31);
    shop.proxy.await_metric(VERDICTS, &[("verdict", "rejected")], 1);
    assert_eq!(books.audit(0..32), Audit { missing: vec!["7".into()], repeated: vec![] });
    let sizes: Vec<_> = shop
        .network
        .received()
        .iter()
        .map(events)
        .filter(|events| events.iter().any(|event| order(event) == "7"))
        .map(|events| events.len())
        .collect();
    assert!(matches!(sizes[..], [together, 1] if together > 1), "with others, then alone: {sizes:?}");
    assert_accounts(&shop.proxy);
}

#[test]
fn an_outage_repeats_all_under_the_same_ids() {
    let (books, count) = (Arc::new(Books::default()), AtomicUsize::new(0));
    let noted = Arc::clone(&books);
    let shop = Shop::open(move |_, events| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        // The two that keep it busy are taken, the next requests are not.
        let is_down = (2..5).contains(&number);
        events.iter().for_each(|event| noted.note(event, !is_down));
        let trouble = json!({ "data": { "code": "ServiceUnavailableError", "message": "" } });
        slowly(number, if is_down { answer(503, &trouble) } else { unprocessed(&[]) })
    });
    shop.is_busy_with_two_orders();
    shop.sells(2..102);
    shop.proxy.await_metric(VERDICTS, &[("verdict", "delivered")], 102);
    assert_eq!(books.audit(0..102), Audit::default());
    let repeated = lock(&books.0).values().filter(|entry| entry.sent > 1).count();
    assert!(repeated > 10, "only {repeated} orders met the outage");
    assert!(shop.proxy.metric(ATTEMPTS, &[("result", "retry")]) > 10.5);
    assert_accounts(&shop.proxy);
}

#[test]
fn a_kill_in_the_middle_loses_no_event_of_a_request() {
    let (books, count) = (Arc::new(Books::default()), AtomicUsize::new(0));
    let noted = Arc::clone(&books);
    let mut shop = Shop::open(move |_, events| {
        // Rokt has them all; that it has them is not heard in time.
        events.iter().for_each(|event| noted.note(event, true));
        let is_unheard = count.fetch_add(1, Ordering::SeqCst) < 4;
        if is_unheard { Response::hang() } else { unprocessed(&[]) }
    });
    shop.is_busy_with_two_orders();
    shop.sells(2..152);
    shop.proxy.restart();
    shop.network.await_received(4);
    // Two full requests were on their way; nobody has heard the answer.
    shop.proxy.restart();
    await_fact(
        || (books.taken() == 152).then_some(()),
        || format!("152 orders, not {}\n{}", books.taken(), shop.proxy.stderr()),
    );
    shop.proxy.await_settled();
    let audit = books.audit(0..152);
    assert_eq!(audit.missing, Vec::<String>::new());
    assert!(lock(&books.0).values().all(|entry| entry.ids.len() == 1), "one id each, whatever happens");
    let most = lock(&books.0).values().map(|entry| entry.taken).max().unwrap();
    assert!((2..=3).contains(&most), "repeated only where an answer was lost: {most}");
    assert_accounts_with(&shop.proxy, 152);
}

#[test]
fn the_audit_knows_what_is_missing_and_what_came_twice() {
    let books = Books::default();
    let event = |order: &str, id: &str| json!({ "clientEventId": id, "objectData": [{ "name": "transactionid", "value": order }] });
    for (order, id, is_taken) in
        [("0", "a", true), ("1", "b", false), ("1", "b", true), ("2", "c", true), ("2", "c", true), ("3", "d", false)]
    {
        books.note(&event(order, id), is_taken);
    }
    books.note(&event("4", "e"), true);
    books.note(&event("4", "f"), false);
    let audit = books.audit(0..6);
    assert_eq!(audit, Audit { missing: vec!["3".into(), "5".into()], repeated: vec!["2".into(), "4".into()] });
}

#[test]
fn the_audit_catches_a_network_that_takes_nothing() {
    let books = Arc::new(Books::default());
    let noted = Arc::clone(&books);
    let shop = Shop::open(move |_, events| {
        events.iter().for_each(|event| noted.note(event, false));
        let record = |event: &Json| json!({ "error": { "code": "ValidationError" }, "record": event });
        unprocessed(&events.iter().map(record).collect::<Vec<_>>())
    });
    shop.sells(0..8);
    shop.proxy.await_metric(VERDICTS, &[("verdict", "rejected")], 8);
    assert_eq!(books.audit(0..8).missing.len(), 8, "the proxy says so, too: none is delivered");
    assert!(shop.proxy.metric(VERDICTS, &[("verdict", "delivered")]) < 0.5);
    assert_accounts(&shop.proxy);
}
