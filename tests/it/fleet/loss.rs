//! Nodes are killed one after the other while visitors buy at all of them.
//!
//! Visitors note an order when its thank-you page has arrived to its last byte, and then load that page
//! at another node, as a load balancer would have it. At the end the network's own records are audited:
//! every noted order must have arrived, and no order under two event ids.
//!
//! Two negative controls: three instances that share nothing accept every order twice, and a node that
//! never comes back with what it had not forwarded loses orders. The same auditor must notice both.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use super::{
    records::{Audit, Records},
    *,
};
use crate::support::{server::Request, tell, visitor::Visitor};

mod database;

#[test]
fn three_nodes_lose_nothing_and_accept_nothing_twice_while_they_are_killed_in_turn() {
    survive(6, Duration::from_secs(2));
}

#[test]
#[ignore = "takes five minutes"]
fn three_nodes_lose_nothing_and_accept_nothing_twice_in_thirty_kills() {
    survive(30, Duration::from_secs(8));
}

fn survive(kills: usize, life: Duration) {
    let stage = Stage::open(3, Kind::Fleet);
    let noted = stage.buying(|nodes| {
        for kill in 0..kills {
            thread::sleep(life);
            nodes[kill % 3].lock().unwrap().restart();
        }
    });
    if kills < 10 {
        // The full run waits for the minute after which the leases of the dead are anybody's.
        stage.database.sql("UPDATE throughline_outbox SET lease_until_ms = 0 WHERE lease IS NOT NULL");
    }
    let audit = stage.audit(&noted);
    tell(&format!("{kills} kills, {} orders noted", noted.len()));
    assert!(noted.len() > kills * 5, "only {} orders in {kills} kills", noted.len());
    assert_eq!(audit, Audit::default());
}

#[test]
fn the_audit_notices_instances_that_share_nothing() {
    let stage = Stage::open(2, Kind::Strangers);
    let noted = stage.buying(|_| thread::sleep(Duration::from_millis(500)));
    let audit = stage.audit(&noted);
    assert!(!audit.twice.is_empty() && audit.lost.is_empty(), "{audit:?} of {}", noted.len());
}

#[test]
fn the_audit_notices_a_node_that_never_comes_back() {
    let database = Postgres::alone(&[]).database();
    let stage = Stage::on(2, Kind::Fleet, database);
    let mut buyer = Buyer::of(&stage.nodes);
    stage.database.server().stop();
    let order = buyer.buys_only_at(0).expect("a page");
    stage.nodes[0].lock().unwrap().kill();
    stage.database.server().start();
    let other = buyer.buys_only_at(1).expect("a page");
    let noted = BTreeSet::from([order.clone(), other.clone()]);
    await_fact(|| stage.records.audit(&BTreeSet::from([other.clone()])).lost.is_empty().then_some(()), String::new);
    assert_eq!(stage.records.audit(&noted), Audit { lost: vec![order], twice: Vec::new() });
}

/// What the instances have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fleet,
    Strangers,
}

struct Stage {
    nodes: Vec<Mutex<Proxy>>,
    records: Arc<Records>,
    database: Database,
    _others: (Origin, AdNetwork, AdNetwork),
}

impl Stage {
    fn open(count: usize, kind: Kind) -> Self {
        Self::on(count, kind, Postgres::shared().database())
    }

    fn on(count: usize, kind: Kind, database: Database) -> Self {
        let records = Arc::new(Records::default());
        let written = Arc::clone(&records);
        let network = AdNetwork::judging(move |request: &Request| {
            let parameter = |name| request.parameter(name).expect("a postback of this story");
            written.note(parameter("o"), parameter("e"), true);
            "OK".into()
        });
        let (origin, pixel) = (Origin::start(), AdNetwork::answering(["pixel"]));
        let start = |_| match kind {
            Kind::Fleet => node(&origin, &network, &pixel, &database).start(),
            Kind::Strangers => {
                let alone = configuration(&origin, &network, &pixel, "state: { path: ./state }");
                Proxy::with(&alone).env("SEAL", SECRET).start()
            }
        };
        let nodes = (0..count).map(start).map(Mutex::new).collect();
        Self { nodes, records, database, _others: (origin, network, pixel) }
    }

    /// Has visitors buy for as long as this takes; yields the orders that were noted.
    fn buying(&self, meanwhile: impl FnOnce(&[Mutex<Proxy>])) -> BTreeSet<String> {
        let leaving = AtomicBool::new(false);
        thread::scope(|scope| {
            let buyers: Vec<_> = (0..4)
                .map(|number| {
                    let (mut buyer, leaving) = (Buyer::of(&self.nodes), &leaving);
                    scope.spawn(move || {
                        let mut noted = BTreeSet::new();
                        let mut turn = number;
                        while !leaving.load(Ordering::SeqCst) {
                            turn += 1;
                            noted.extend(buyer.buys_at(turn));
                            // Busy enough for a shop, and something is left of the machine.
                            thread::sleep(Duration::from_millis(20));
                        }
                        noted
                    })
                })
                .collect();
            meanwhile(&self.nodes);
            leaving.store(true, Ordering::SeqCst);
            buyers.into_iter().flat_map(|buyer| buyer.join().expect("a buyer")).collect()
        })
    }

    /// Waits until nothing is under way, and looks what is missing.
    fn audit(&self, noted: &BTreeSet<String>) -> Audit {
        // What a killed node had in its hands is another's after a minute.
        let deadline = Instant::now() + Duration::from_mins(2);
        let waiting = || {
            let waiting = |node: &Mutex<Proxy>| {
                let samples = node.lock().unwrap().metrics();
                let sum = |name| samples.sum(name, &[]);
                sum("throughline_forward_pending") + sum("throughline_outbox_pending")
            };
            self.nodes.iter().map(waiting).sum::<f64>()
        };
        while waiting() > 0.5 || !self.records.audit(noted).lost.is_empty() {
            if Instant::now() > deadline {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        self.records.audit(noted)
    }
}

/// A visitor who buys at one node and comes back at another.
struct Buyer {
    /// The same browser at each node, wherever that is after a restart.
    at: Vec<Visitor>,
}

impl Buyer {
    fn of(nodes: &[Mutex<Proxy>]) -> Self {
        let following = |node: &Mutex<Proxy>| {
            node.lock().unwrap().visitor().sending("X-Consent", "1").sending("Cookie", "_own_cid=abc")
        };
        Self { at: nodes.iter().map(following).collect() }
    }

    /// Yields the order when its page has arrived; the page is loaded again at the next node.
    fn buys_at(&mut self, node: usize) -> Option<String> {
        let order = new_order();
        let has_arrived = self.loads(node, &order);
        // Also of an order whose first page broke off: the visitor does what visitors do.
        let has_arrived_again = self.loads(node + 1, &order);
        (has_arrived || has_arrived_again).then_some(order)
    }

    fn buys_only_at(&mut self, node: usize) -> Option<String> {
        let order = new_order();
        self.loads(node, &order).then_some(order)
    }

    fn loads(&mut self, node: usize, order: &str) -> bool {
        let count = self.at.len();
        let page = self.at[node % count].try_request("GET", &format!("/thank-you/{order}"), &[], "");
        page.is_ok_and(|page| page.status == 200 && page.is_complete())
    }
}

fn new_order() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("o{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}
