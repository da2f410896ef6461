//! A network that fails in every way, and a worker that is killed: everything arrives all the same.
//!
//! Three of ten attempts meet a fault. The network's ledger tells afterwards what never came, and
//! what came again although its answer had been sent whole: that happens only when the worker dies
//! between their 200 and our commit, so it is bounded by what was under way at the kills.
//!
//! The control takes rows out of the outbox while the process is dead. The same ledger must miss them.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::support::{
    await_fact,
    chaos::{Chaos, Fault, Ledger, Mix},
    crowd::{Crowd, shop_of_its_own},
    fault::{FaultProxy, Way},
    proxy::Proxy,
    server::Request,
    site::Site,
    tell,
};

/// A season of sales.
struct Season {
    orders: usize,
    kills: usize,
    mix: Mix,
    /// For the last ones: with three faults, a row waits up to 80 s.
    patience: Duration,
}

#[test]
fn a_network_that_fails_three_times_of_ten_gets_everything() {
    let mix = Mix::seeded(4).with(Fault::ServerError, 14_000).with(Fault::ResetBefore, 8_000);
    let mix = mix.with(Fault::CutHead, 8_000).at_most(1);
    let season = Season { orders: 1_000, kills: 2, mix, patience: A_BREAK };
    let (noted, ledger) = season.play(|_| ());
    assert_eq!(ledger.missing(&noted), Vec::<String>::new());
    assert!(ledger.repeats() <= UNDER_WAY * season.kills, "{} came again", ledger.repeats());
}

#[test]
#[ignore = "takes four minutes"]
fn a_hundred_thousand_conversions_reach_a_network_in_its_worst_week() {
    let mix = Mix::bad_week(4).at_most(3);
    let season = Season { orders: 100_000, kills: 12, mix, patience: Duration::from_mins(4) };
    let (noted, ledger) = season.play(|_| ());
    assert_eq!(ledger.missing(&noted), Vec::<String>::new());
    assert!(ledger.repeats() <= UNDER_WAY * season.kills, "{} came again", ledger.repeats());
    assert!(ledger.faults().len() >= 7, "every fault happened: {:?}", ledger.faults());
}

#[test]
fn the_ledger_misses_what_an_outbox_has_lost() {
    let season = Season { orders: 200, kills: 1, mix: Mix::seeded(4), patience: A_BREAK };
    let (noted, ledger) = season.play(|proxy| {
        let store = Connection::open(proxy.folder().join("state/throughline.sqlite")).unwrap();
        // Never leased: what was under way may have arrived before the wire broke.
        let waiting = "SELECT id FROM outbox WHERE lease IS NULL OR attempts = 0 ORDER BY id DESC LIMIT 3";
        assert_eq!(store.execute(&format!("DELETE FROM outbox WHERE id IN ({waiting})"), []).unwrap(), 3);
    });
    assert!(!ledger.missing(&noted).is_empty());
}

impl Season {
    /// Sells, kills and waits; `between` happens while the process is dead.
    fn play(&self, between: impl Fn(&Proxy)) -> (BTreeSet<String>, Ledger) {
        let site = Site::start();
        let order = |request: &Request| vec![request.parameter("o").expect("a postback of this story").to_owned()];
        let network = Chaos::knowing(self.mix.clone(), order);
        let wire = FaultProxy::to(network.address());
        let shop = shop_of_its_own(site.address(), &wire.address().to_string());
        let mut proxy = Proxy::with(&format!("delivery: {{ concurrency: {UNDER_WAY} }}\n{shop}")).start();
        let crowd = Crowd::enter(&proxy, VISITORS);
        for kill in 1..=self.kills {
            let goal = self.orders * kill / (self.kills + 1);
            await_progress(|| crowd.noted() >= goal, || (crowd.noted(), network.requests()));
            // What is under way at the kill must not arrive after it: the wire breaks as well.
            wire.set(Way::BlackHole);
            let seen = crowd.noted();
            await_progress(|| crowd.noted() >= seen + IN_THE_DARK, || crowd.noted());
            proxy.kill();
            wire.set(Way::Reset);
            between(&proxy);
            wire.set(Way::Pass);
            proxy.restart();
        }
        await_progress(|| crowd.noted() >= self.orders, || (crowd.noted(), network.requests()));
        let noted = crowd.leave();
        let deadline = Instant::now() + self.patience;
        while proxy.metric("throughline_outbox_pending", &[]) > 0.5 {
            assert!(Instant::now() < deadline, "still waiting:\n{}\n{}", proxy.outbox_list(), proxy.stderr());
            thread::sleep(Duration::from_millis(100));
        }
        let ledger = network.ledger();
        tell(&format!(
            "{} orders, {} kills, {} attempts, {} repeats of whole answers, faults {:?}",
            noted.len(),
            self.kills,
            ledger.attempts(),
            ledger.repeats(),
            ledger.faults()
        ));
        (noted, ledger)
    }
}

/// Waits for a fact; the usual deadline begins again whenever something moves.
fn await_progress<T: PartialEq>(mut fact: impl FnMut() -> bool, moves: impl Fn() -> T) {
    loop {
        let seen = moves();
        let is_true = await_fact(
            || if fact() { Some(true) } else { (moves() != seen).then_some(false) },
            || "sales to go on".into(),
        );
        if is_true {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

const VISITORS: usize = 12;
/// A network that fails ten times in a row is left alone for half a minute, and then for a whole one.
const A_BREAK: Duration = Duration::from_mins(3);
/// Orders between the break of the wire and the kill, so that there are some to lose.
const IN_THE_DARK: usize = 20;
/// Requests to the network at the same time.
const UNDER_WAY: usize = 16;
