//! Whatever tracking waits for, pages don't: the store, the resolver and the network stand still.
//!
//! Two proxies serve the same pages at the same time, one in trouble and one without, so that what
//! the machine does to both cancels out. A thank-you page may take `max_page_delay` longer than
//! beside it, any other page nothing. What tracking adds is there in every run and what the machine
//! adds is not, so a run may be repeated twice. The short version also grants some slack, because
//! its slowest page of a thousand is a single page.
//!
//! The control grants a page a second of delay. The same comparison must refuse that.

use std::time::Duration;

use rusqlite::Connection;

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    chaos::{Chaos, Fault, Mix},
    crowd::shop_of_its_own,
    load::{Ask, Pace, visits},
    proxy::Proxy,
    saboteur::{Saboteur, Trouble},
    site::Site,
    tell,
};

/// What stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stall {
    /// Another program holds the store's lock.
    LockedStore,
    /// Each fsync takes 200 ms.
    SlowDisk,
    /// The network's name never resolves.
    Resolver,
    /// The network never answers.
    Network,
}

/// How much longer the slowest page of a thousand took in trouble.
#[derive(Clone, Copy, Debug)]
struct Added {
    thank_you: Duration,
    other: Duration,
    /// The slowest page of a hundred beside it: on a machine that can't keep the pace, both wait alike.
    beside_it: Duration,
}

const STALLS: [Stall; 4] = [Stall::LockedStore, Stall::SlowDisk, Stall::Resolver, Stall::Network];
const MAX_PAGE_DELAY: Duration = Duration::from_millis(50);
/// What the promise allows on top.
const TOLERANCE: Duration = Duration::from_millis(5);
/// What a short run on a busy machine allows on top of that.
const SLACK: Duration = Duration::from_millis(150);
/// A pace that is not kept proves nothing.
const OVERLOAD: Duration = Duration::from_secs(1);
/// How often a run may be repeated until the machine is out of the way.
const RUNS: usize = 3;
const SHORT: Pace = Pace { per_second: 200, lasting: Duration::from_secs(4) };
const LONG: Pace = Pace { per_second: 1_000, lasting: Duration::from_mins(1) };

#[test]
fn pages_do_not_wait_for_tracking() {
    STALLS.into_iter().for_each(|stall| stall.assert_bounded(SHORT, TOLERANCE + SLACK));
}

#[test]
#[ignore = "takes four minutes"]
fn a_thousand_pages_a_second_do_not_wait_for_tracking() {
    STALLS.into_iter().for_each(|stall| stall.assert_bounded(LONG, TOLERANCE));
}

#[test]
fn the_comparison_notices_pages_that_wait() {
    let added = Stall::LockedStore.measure(Duration::from_secs(1), SHORT);
    assert!(added.thank_you > MAX_PAGE_DELAY + TOLERANCE + SLACK, "{added:?}");
}

impl Added {
    fn is_within(self, tolerance: Duration) -> bool {
        self.beside_it < OVERLOAD && self.thank_you <= MAX_PAGE_DELAY + tolerance && self.other <= tolerance
    }
}

impl Stall {
    fn assert_bounded(self, pace: Pace, tolerance: Duration) {
        let mut runs = Vec::new();
        while !runs.last().is_some_and(|added: &Added| added.is_within(tolerance)) {
            assert!(runs.len() < RUNS, "{self:?} delays pages in every run, or the machine does: {runs:?}");
            runs.push(self.measure(MAX_PAGE_DELAY, pace));
        }
    }

    fn measure(self, max_page_delay: Duration, pace: Pace) -> Added {
        let (site, saboteur) = (Site::start(), Saboteur::hire());
        let network = Chaos::start(if self == Self::Network {
            Mix::seeded(5).with(Fault::Hang, 100_000)
        } else {
            Mix::seeded(5)
        });
        let well = Chaos::start(Mix::seeded(5));
        let shop = |network: &str| {
            let shop = shop_of_its_own(site.address(), network);
            Proxy::with(&format!("max_page_delay: {}ms\n{shop}", max_page_delay.as_millis()))
        };
        let name = match self {
            Self::Resolver => format!("network.example:{}", network.address().port()),
            Self::LockedStore | Self::SlowDisk | Self::Network => network.address().to_string(),
        };
        let proxies = [saboteur.below(shop(&name)).start(), shop(&well.address().to_string()).start()];
        let proxies = proxies.each_ref();
        // Both have opened their connections and their stores before the clock runs.
        visits(&proxies, Pace { per_second: 100, lasting: Duration::from_secs(1) }, |number| page("warm", number));

        let lock = self.begin(proxies[0], &saboteur);
        let visits = visits(&proxies, pace, |number| page("run", number));
        assert_eq!(visits.errors(), Vec::<&str>::new(), "{self:?}");
        drop(lock);
        saboteur.makes(Trouble::Nothing);
        let [thank_you, other] = [THANK_YOU, OTHER].map(|kind| {
            let [troubled, control] = [0, 1].map(|proxy| visits.of(proxy, kind));
            tell(&format!(
                "{self:?}, {} pages: {kind} within {:?}, {:?} and {:?} (99, 99.9 and 100 %); beside it {:?}, {:?} and {:?}",
                visits.count(),
                troubled.within(990),
                troubled.within(999),
                troubled.within(1000),
                control.within(990),
                control.within(999),
                control.within(1000),
            ));
            troubled.within(999).saturating_sub(control.within(999))
        });
        self.assert_it_was_real(proxies[0]);
        await_fact(
            || proxies[0].admin("/readyz").text().contains("\"state\":\"ready\"").then_some(()),
            || format!("the store to recover; stderr: {}", proxies[0].stderr()),
        );
        assert_accounts(proxies[0]);
        Added { thank_you, other, beside_it: visits.of(1, OTHER).within(990) }
    }

    fn begin(self, proxy: &Proxy, saboteur: &Saboteur) -> Option<Connection> {
        match self {
            Self::LockedStore => {
                let store = Connection::open(proxy.folder().join("state/throughline.sqlite")).unwrap();
                store.busy_timeout(Duration::from_secs(5)).unwrap();
                store.execute_batch("BEGIN EXCLUSIVE").unwrap();
                return Some(store);
            }
            Self::SlowDisk => saboteur.makes(Trouble::SlowSync(Duration::from_millis(200))),
            Self::Resolver => saboteur.makes(Trouble::NoNames(Duration::from_secs(20))),
            Self::Network => {}
        }
        None
    }

    /// A trouble that troubles nothing would prove nothing.
    fn assert_it_was_real(self, proxy: &Proxy) {
        let metrics = proxy.metrics();
        match self {
            Self::LockedStore => {
                let queued = metrics.sum("throughline_conversions_total", &[("outcome", "queued")]);
                assert!(queued < 120.0, "{queued} stored");
            }
            Self::SlowDisk => assert!(metrics.sum("throughline_late_commits_total", &[]) > 1.0),
            Self::Resolver | Self::Network => {
                let delivered = metrics.sum("throughline_postbacks_total", &[("verdict", "delivered")]);
                assert!(delivered < 120.0, "{self:?}: {delivered} delivered");
            }
        }
    }
}

/// Every second page is for the proxy in trouble; of each ten in a row, two are thank-you pages.
fn page(run: &str, number: u64) -> Ask {
    let proxy = usize::from(number % 2 == 1);
    if number % 10 < 2 {
        Ask { proxy, kind: THANK_YOU, target: format!("/thank-you/{run}-{number}") }
    } else {
        Ask { proxy, kind: OTHER, target: format!("/catalogue/{number}") }
    }
}

const THANK_YOU: &str = "thank-you pages";
const OTHER: &str = "other pages";
