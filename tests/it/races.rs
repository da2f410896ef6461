//! Many visitors with the same orders at the same moment: each order counts once.
//!
//! Sixty-four visitors ask for the same thank-you pages again and again, while the process is killed
//! and started on the same folder. In the control somebody empties the table of keys while it is
//! dead; then orders count again, which the same audit must see.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rusqlite::Connection;

use crate::support::{
    await_fact, crowd::shop_of_its_own, origin::nobody, proxy::Proxy, server::lock, site::Site, tell,
};

mod model;

/// Who races for what.
#[derive(Clone, Copy, Debug)]
struct Race {
    visitors: usize,
    orders: usize,
    /// How often each order is asked for.
    times: usize,
    kills: usize,
}

#[test]
fn a_crowd_with_the_same_orders_has_each_counted_once() {
    let race = Race { visitors: 64, orders: 40, times: 50, kills: 2 };
    assert_eq!(race.run(|_| ()), race.each_once());
}

#[test]
#[ignore = "takes a minute"]
fn a_thousand_orders_raced_for_fifty_times_are_a_thousand_rows() {
    let race = Race { visitors: 64, orders: 1_000, times: 50, kills: 8 };
    assert_eq!(race.run(|_| ()), race.each_once());
}

#[test]
fn the_audit_notices_a_store_that_forgets_its_keys() {
    let race = Race { visitors: 8, orders: 10, times: 20, kills: 1 };
    let rows = race.run(|proxy| {
        let store = Connection::open(proxy.folder().join("state/throughline.sqlite")).unwrap();
        assert!(store.execute("DELETE FROM dedup", []).unwrap() > 0);
    });
    assert!(rows.values().any(|rows| *rows > 1), "{rows:?}");
}

impl Race {
    /// Runs it and counts the rows of each order; `between` happens while the process is dead.
    fn run(self, between: impl Fn(&Proxy)) -> BTreeMap<String, usize> {
        let site = Site::start();
        // Rows stay in the outbox, where they can be counted.
        let mut proxy = Proxy::with(&shop_of_its_own(site.address(), &nobody().to_string())).start();
        let all = self.orders * self.times;
        let (next, thanked) = (AtomicUsize::new(0), Mutex::new(0));
        thread::scope(|scope| {
            for _ in 0..self.visitors {
                let mut visitor = proxy.visitor().on_one_connection().sending("Cookie", "_own_cid=abc");
                let (next, thanked) = (&next, &thanked);
                scope.spawn(move || {
                    loop {
                        let turn = next.fetch_add(1, Ordering::SeqCst);
                        if turn >= all {
                            break;
                        }
                        let target = format!("/thank-you/{}", self.order(turn));
                        // Between two lives of the proxy nobody answers.
                        while !visitor.try_request("GET", &target, &[], "").is_ok_and(|page| page.is_complete()) {
                            thread::sleep(Duration::from_millis(5));
                        }
                        *lock(thanked) += 1;
                    }
                });
            }
            for kill in 1..=self.kills {
                let goal = all * kill / (self.kills + 1);
                await_progress(&thanked, goal);
                proxy.kill();
                between(&proxy);
                proxy.restart();
            }
            await_progress(&thanked, all);
        });
        tell(&format!("{self:?}: {} pages", lock(&thanked)));
        rows(&proxy)
    }

    /// Half of the pages of an order are asked for at once, the others in later rounds.
    fn order(self, turn: usize) -> usize {
        let first = self.orders * (self.times / 2);
        if turn < first { turn / (self.times / 2) } else { turn % self.orders }
    }

    fn each_once(self) -> BTreeMap<String, usize> {
        (0..self.orders).map(|order| (order.to_string(), 1)).collect()
    }
}

/// How many rows there are of each order, waiting or over.
fn rows(proxy: &Proxy) -> BTreeMap<String, usize> {
    let store = Connection::open(proxy.folder().join("state/throughline.sqlite")).unwrap();
    let orders = "SELECT payload ->> '$.fields.order_id' FROM outbox
                  UNION ALL SELECT payload ->> '$.fields.order_id' FROM history";
    let mut statement = store.prepare(orders).unwrap();
    let orders = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    orders.fold(BTreeMap::new(), |mut rows, order| {
        *rows.entry(order.unwrap()).or_default() += 1;
        rows
    })
}

/// Waits for so many pages; the usual deadline begins again whenever another came.
fn await_progress(thanked: &Mutex<usize>, goal: usize) {
    while *lock(thanked) < goal {
        let seen = *lock(thanked);
        await_fact(|| (*lock(thanked) > seen).then_some(()), || format!("page {seen} of {goal}"));
    }
}
