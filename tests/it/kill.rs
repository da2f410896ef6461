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
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::support::{
    await_fact,
    chaos::{Chaos, Fault, Ledger, Mix},
    crowd::{Crowd, random, shop_of_its_own},
    proxy::Proxy,
    server::{Request, lock},
    site::Site,
    tell,
};

/// How many visitors buy at the same time at one proxy.
const VISITORS: usize = 6;

/// The longest life of a process between two kills.
const LIFE: Duration = Duration::from_millis(600);

/// How often the control may be killed before it must have lost an order.
const CONTROL_ROUNDS: u32 = 40;

#[test]
fn every_order_that_was_thanked_for_survives_being_killed() {
    assert_survival(1, 15, 5);
}

#[test]
#[ignore = "takes eight minutes"]
fn every_order_that_was_thanked_for_survives_a_thousand_kills() {
    let noted = assert_survival(4, 250, 200);
    assert!(noted >= 200_000, "only {noted} orders");
}

/// Kills proxies beside each other, each so often and only after so many more orders; yields how
/// many orders visitors had noted.
fn assert_survival(proxies: usize, rounds: usize, orders: usize) -> usize {
    let theatres: Vec<_> = (0..proxies).map(|_| thread::spawn(move || survive(rounds, orders))).collect();
    let noted = theatres.into_iter().map(|theatre| theatre.join().expect("nothing lost")).sum();
    tell(&format!("{proxies} times {rounds} kills, {noted} orders noted, none lost, none twice"));
    noted
}

fn survive(rounds: usize, orders: usize) -> usize {
    // One of twenty is too few for the proxy to take the network for dead.
    let Theatre { mut proxy, network, records, site: _site } = Theatre::open("10s", 5_000);
    let crowd = Crowd::enter(&proxy, VISITORS);
    for round in 1..=rounds {
        thread::sleep(random(LIFE));
        await_fact(|| (crowd.noted() >= round * orders).then_some(()), || format!("orders in round {round}"));
        let late = proxy.metric("throughline_late_commits_total", &[]);
        assert!(late < 0.5, "round {round}: {late} commits missed 10 s; this disk proves nothing");
        // The metrics were read at a moment of the proxy's choice; the kill comes at one of its own.
        thread::sleep(random(Duration::from_millis(20)));
        proxy.restart();
    }
    let noted = crowd.leave();
    await_quiet(&proxy, &network);
    assert!(noted.len() >= rounds * orders, "only {} orders in {rounds} rounds", noted.len());
    assert_eq!(records.audit(&noted, &network.ledger()), Audit::default());
    noted.len()
}

#[test]
fn the_audit_catches_a_proxy_that_thanks_before_it_has_written() {
    let Theatre { mut proxy, network, records, site: _site } = Theatre::open("0s", 0);
    for round in 1..=CONTROL_ROUNDS {
        let crowd = Crowd::enter(&proxy, VISITORS);
        thread::sleep(Duration::from_millis(100) + random(Duration::from_millis(100)));
        proxy.kill();
        let noted = crowd.leave();
        proxy.restart();
        await_quiet(&proxy, &network);
        let audit = records.audit(&noted, &network.ledger());
        if !audit.lost.is_empty() {
            tell(&format!("round {round}: {} of {} orders lost", audit.lost.len(), noted.len()));
            return;
        }
    }
    panic!("{CONTROL_ROUNDS} kills and no loss: the kill test would not notice one");
}

#[test]
fn the_audit_knows_orders_under_two_event_ids() {
    let records = Records::default();
    for (order, event) in [("a", "1"), ("b", "2"), ("b", "2"), ("c", "3"), ("c", "4")] {
        records.note(order, event);
    }
    let audit = records.audit(&["a".to_owned()].into(), &Ledger::default());
    assert_eq!(audit, Audit { lost: vec!["a".into()], twice: vec!["c".into()] });
}

/// The proxy with the site and the network around it.
struct Theatre {
    site: Site,
    network: Chaos,
    proxy: Proxy,
    records: Arc<Records>,
}

impl Theatre {
    /// A network that refuses so many of 100,000 orders when it first hears of them, and takes them
    /// later: with more refusals in a row the waits between attempts would outlast the test.
    fn open(max_page_delay: &str, refused: u64) -> Self {
        let (site, records) = (Site::start(), Arc::new(Records::default()));
        let notes = Arc::clone(&records);
        let mix = Mix::seeded(1).with(Fault::ServerError, refused).at_most(1);
        let network = Chaos::knowing(mix, move |request: &Request| {
            let parameter = |name| request.parameter(name).expect("a postback of this story").to_owned();
            let order = parameter("o");
            notes.note(&order, &parameter("e"));
            vec![order]
        });
        let shop = shop_of_its_own(site.address(), &network.address().to_string());
        let proxy = Proxy::with(&format!("max_page_delay: {max_page_delay}\n{shop}")).start();
        Self { site, network, proxy, records }
    }
}

/// Under which event ids each order came.
#[derive(Debug, Default)]
struct Records(Mutex<BTreeMap<String, BTreeSet<String>>>);

/// What should not have happened.
#[derive(Debug, Default, PartialEq, Eq)]
struct Audit {
    /// Orders that visitors noted and the network never took in.
    lost: Vec<String>,
    /// Orders that came under more than one event id.
    twice: Vec<String>,
}

impl Records {
    fn note(&self, order: &str, event: &str) {
        lock(&self.0).entry(order.to_owned()).or_default().insert(event.to_owned());
    }

    fn audit(&self, noted: &BTreeSet<String>, ledger: &Ledger) -> Audit {
        let orders = lock(&self.0);
        let twice = orders.iter().filter(|(_, events)| events.len() > 1);
        Audit { lost: ledger.missing(noted), twice: twice.map(|(order, _)| order.clone()).collect() }
    }
}

/// Waits until the outbox is empty; the usual deadline begins again whenever another attempt came.
fn await_quiet(proxy: &Proxy, network: &Chaos) {
    let attempts = || network.requests();
    let mut seen = usize::MAX;
    while attempts() != seen {
        seen = attempts();
        await_fact(
            || (proxy.metric("throughline_outbox_pending", &[]) < 0.5 || attempts() != seen).then_some(()),
            || format!("an empty outbox, not\n{}{}", proxy.outbox_list(), proxy.stderr()),
        );
    }
}
