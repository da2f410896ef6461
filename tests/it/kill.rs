//! SIGKILL at random moments: what a visitor was thanked for is on disk, and is reported.
//!
//! Visitors buy without a pause while the proxy is killed and started again on the same folder. They
//! note an order only when its thank-you page has arrived to its last byte; an order without a whole
//! page is bought again after the restart, as people do. At the end the network's own records are
//! audited: every noted order must have arrived, and no order under two event ids.
//!
//! The negative control acknowledges before the commit, with nothing but configuration:
//! `max_page_delay: 0s` lets every page go while its conversion is still on its way to the disk. The
//! same auditor must then report a loss. A kill hits that window when pages left during the last
//! fsync, which under load is the rule and not the exception; some rounds are allowed all the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::support::{
    await_fact,
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    response::Response,
    server::{Request, lock},
    visitor::Visitor,
};

/// How many visitors buy at the same time.
const VISITORS: usize = 6;

/// The longest life of a process between two kills.
const LIFE: Duration = Duration::from_millis(600);

/// How often the control may be killed before it must have lost an order.
const CONTROL_ROUNDS: u32 = 40;

#[test]
fn every_order_that_was_thanked_for_survives_a_hundred_kills() {
    let rounds = env::var("THROUGHLINE_KILL_ROUNDS").map_or(100, |rounds| rounds.parse().expect("a number of rounds"));
    // One of twenty is too few for the proxy to take the network for dead.
    let theatre = Theatre::open("10s", 20);
    let Theatre { mut proxy, records, origin: _origin, network: _network } = theatre;
    let crowd = Crowd::enter(&proxy);
    for round in 0..rounds {
        thread::sleep(random(LIFE));
        let late = proxy.metric("throughline_late_commits_total", &[]);
        assert!(late < 0.5, "round {round}: {late} commits missed 10 s; this disk proves nothing");
        // The metrics were read at a moment of the proxy's choice; the kill comes at one of its own.
        thread::sleep(random(Duration::from_millis(20)));
        proxy.restart();
    }
    let noted = crowd.leave();
    records.await_quiet(&proxy);
    let audit = records.audit(&noted);
    println!("{rounds} kills, {} orders noted, {} attempts", noted.len(), records.attempts());
    assert!(noted.len() > rounds, "only {} orders in {rounds} rounds", noted.len());
    assert_eq!(audit, Audit::default());
}

#[test]
fn the_audit_catches_a_proxy_that_thanks_before_it_has_written() {
    let Theatre { mut proxy, records, origin: _origin, network: _network } = Theatre::open("0s", u32::MAX);
    for round in 1..=CONTROL_ROUNDS {
        let crowd = Crowd::enter(&proxy);
        thread::sleep(Duration::from_millis(100) + random(Duration::from_millis(100)));
        proxy.kill();
        let noted = crowd.leave();
        proxy.restart();
        records.await_quiet(&proxy);
        let audit = records.audit(&noted);
        if !audit.lost.is_empty() {
            println!("round {round}: {} of {} orders lost", audit.lost.len(), noted.len());
            return;
        }
    }
    panic!("{CONTROL_ROUNDS} kills and no loss: the kill test would not notice one");
}

#[test]
fn the_audit_knows_lost_orders_and_double_ones() {
    let records = Records::default();
    for (order, event, taken) in
        [("a", "1", true), ("b", "2", false), ("b", "2", true), ("c", "3", true), ("c", "4", true), ("d", "5", false)]
    {
        records.note(order, event, taken);
    }
    let audit = records.audit(&["a", "b", "c", "d", "e"].map(String::from).into());
    assert_eq!(audit, Audit { lost: vec!["d".into(), "e".into()], twice: vec!["c".into()] });
}

/// The proxy with the site and the network around it.
struct Theatre {
    origin: Origin,
    network: AdNetwork,
    proxy: Proxy,
    records: Arc<Records>,
}

impl Theatre {
    /// A network that refuses every `trouble`-th order when it first hears of it, and takes it later:
    /// with more refusals in a row the waits between attempts would outlast the test.
    fn open(max_page_delay: &str, trouble: u32) -> Self {
        let (origin, records) = (Origin::start(), Arc::new(Records::default()));
        let (notes, orders) = (Arc::clone(&records), AtomicU32::new(1));
        let network = AdNetwork::judging(move |request: &Request| {
            let parameter = |name| request.parameter(name).expect("a postback of this story");
            let order = parameter("o");
            let taken = notes.knows(order) || !orders.fetch_add(1, Ordering::Relaxed).is_multiple_of(trouble);
            notes.note(order, parameter("e"), taken);
            if taken { "OK".into() } else { Response::new(500) }
        });
        let config = format!(
            r#"max_page_delay: {max_page_delay}
sites:
  - upstream: "http://{}"
    networks:
      own:
        click: {{ param: cid }}
        postback: {{ url: "http://{}/pb", query: {{ e: "{{event_id}}", o: "{{order_id}}", c: "{{click_id}}" }} }}
    conversions:
      - name: purchase
        path: "/thank-you/{{order_id}}"
        send: {{ own: {{ }} }}
"#,
            origin.address(),
            network.address()
        );
        Self { proxy: Proxy::with(&config).start(), origin, network, records }
    }
}

/// What the network wrote down of each attempt.
#[derive(Debug, Default)]
pub(crate) struct Records(Mutex<BTreeMap<String, Order>>);

#[derive(Debug, Default)]
struct Order {
    events: BTreeSet<String>,
    attempts: usize,
    taken: bool,
}

/// What should not have happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    /// Orders that visitors noted and the network never took in.
    pub(crate) lost: Vec<String>,
    /// Orders that came under more than one event id.
    pub(crate) twice: Vec<String>,
}

impl Records {
    pub(crate) fn note(&self, order: &str, event: &str, taken: bool) {
        let mut orders = lock(&self.0);
        let order = orders.entry(order.to_owned()).or_default();
        order.events.insert(event.to_owned());
        order.attempts += 1;
        order.taken |= taken;
    }

    fn knows(&self, order: &str) -> bool {
        lock(&self.0).contains_key(order)
    }

    pub(crate) fn audit(&self, noted: &BTreeSet<String>) -> Audit {
        let orders = lock(&self.0);
        let taken = |order: &String| orders.get(order).is_some_and(|order| order.taken);
        let twice = orders.iter().filter(|(_, order)| order.events.len() > 1);
        Audit {
            lost: noted.iter().filter(|order| !taken(order)).cloned().collect(),
            twice: twice.map(|(order, _)| order.clone()).collect(),
        }
    }

    fn attempts(&self) -> usize {
        lock(&self.0).values().map(|order| order.attempts).sum()
    }

    /// Waits until the outbox is empty; the usual deadline begins again whenever another attempt came.
    fn await_quiet(&self, proxy: &Proxy) {
        let mut seen = usize::MAX;
        while self.attempts() != seen {
            seen = self.attempts();
            await_fact(
                || (pending(proxy) < 0.5 || self.attempts() != seen).then_some(()),
                || format!("an empty outbox, not\n{}{}", proxy.outbox_list(), proxy.stderr()),
            );
        }
    }
}

/// What waits, by a scrape that shows the metric at all.
fn pending(proxy: &Proxy) -> f64 {
    proxy.metric("throughline_outbox_pending", &[])
}

/// Visitors who buy until they are told to leave.
struct Crowd {
    leaving: Arc<AtomicBool>,
    visitors: Vec<JoinHandle<BTreeSet<String>>>,
}

impl Crowd {
    fn enter(proxy: &Proxy) -> Self {
        let leaving = Arc::new(AtomicBool::new(false));
        let enter = |_| {
            let (visitor, leaving) = (proxy.visitor(), Arc::clone(&leaving));
            thread::spawn(move || buy(visitor, &leaving))
        };
        Self { visitors: (0..VISITORS).map(enter).collect(), leaving }
    }

    /// Yields the orders that were noted.
    fn leave(self) -> BTreeSet<String> {
        self.leaving.store(true, Ordering::SeqCst);
        self.visitors.into_iter().flat_map(|visitor| visitor.join().expect("a visitor")).collect()
    }
}

/// One order after another, each until its page has arrived; every eighth page is reloaded at once.
fn buy(visitor: Visitor, leaving: &AtomicBool) -> BTreeSet<String> {
    let name = RandomState::new().build_hasher().finish();
    let mut visitor = visitor.on_one_connection().sending("Cookie", "_own_cid=abc");
    let mut noted = BTreeSet::new();
    let mut number = 0;
    while !leaving.load(Ordering::SeqCst) {
        let order = format!("{name:x}-{number}");
        let page = visitor.try_request("GET", &format!("/thank-you/{order}"), &[], "");
        if page.is_ok_and(|page| page.status == 200 && page.is_complete()) {
            if number % 8 == 0 {
                drop(visitor.try_request("GET", &format!("/thank-you/{order}"), &[], ""));
            }
            noted.insert(order);
            number += 1;
        } else {
            // Between two lives of the proxy nobody answers; the same order is tried again.
            thread::sleep(Duration::from_millis(5));
        }
    }
    noted
}

/// A duration up to `longest`, different in every run.
fn random(longest: Duration) -> Duration {
    let share = RandomState::new().build_hasher().finish() % 1000;
    longest * u32::try_from(share).expect("less than a thousand") / 1000
}
