//! The wall clock jumps while the proxy runs: nothing expires in a crowd, and nothing waits for ever.
//!
//! A preloaded libfaketime moves the wall clock of one process; durations stay real. Conversions
//! wait for their second attempt when the clock jumps by a day or a year, either way. All of them,
//! and those that come after, must be delivered within a minute, and none given up as too old.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    chaos::{Chaos, Fault, Mix},
    crowd::shop_of_its_own,
    proxy::{Proxy, Setup},
    site::Site,
    tell,
};

/// Two of ten orders are refused at first, so that they wait when the clock jumps. More might look like a network
/// that is down, which is left alone for longer than this story.
fn trouble() -> Mix {
    Mix::seeded(19).with(Fault::ServerError, 20_000).at_most(1)
}

#[test]
fn a_day_forward_expires_nothing() {
    assert_unmoved_by("+1d");
}

#[test]
fn a_day_back_stalls_nothing() {
    assert_unmoved_by("-1d");
}

#[test]
fn a_year_forward_expires_nothing() {
    assert_unmoved_by("+1y");
}

#[test]
fn a_year_back_stalls_nothing() {
    assert_unmoved_by("-1y");
}

#[test]
fn the_watch_notices_conversions_that_wait() {
    let forever = Mix::seeded(19).with(Fault::ServerError, 30_000);
    jump("+1d", forever, Duration::from_secs(4)).expect_err("some are refused again and again");
}

fn assert_unmoved_by(jumped: &str) {
    let took = jump(jumped, trouble(), PATIENCE).unwrap_or_else(|problem| panic!("{jumped}: {problem}"));
    tell(&format!("{jumped}: everything delivered after {took:?}"));
}

/// Moves the clock in the middle of deliveries; yields how long it took until all had arrived.
fn jump(jumped: &str, mix: Mix, patience: Duration) -> Result<Duration, String> {
    let (site, network) = (Site::start(), Chaos::start(mix));
    let shop = shop_of_its_own(site.address(), &network.address().to_string());
    let proxy = under_faketime(Proxy::with(&shop)).start();
    buy(&proxy, "before");
    await_fact(
        || (network.requests() >= ORDERS / 2).then_some(()),
        || format!("attempts at half of {ORDERS}, not {}", network.requests()),
    );
    set_clock(proxy.folder(), jumped);
    let began = Instant::now();
    buy(&proxy, "after");
    while network.taken() < 2 * ORDERS {
        let expired = proxy.metric("throughline_postbacks_total", &[("verdict", "expired")]);
        if expired > 0.5 {
            return Err(format!("{expired} expired"));
        }
        if began.elapsed() > patience {
            return Err(format!("only {} of {} arrived after {patience:?}", network.taken(), 2 * ORDERS));
        }
        thread::sleep(Duration::from_millis(50));
    }
    let took = began.elapsed();
    assert_accounts(&proxy);
    proxy.await_settled();
    assert!(has_jumped(proxy.folder()), "{jumped}: the clock did not move, so this proves nothing");
    Ok(took)
}

fn buy(proxy: &Proxy, name: &str) {
    let mut visitor = proxy.visitor().on_one_connection().sending("Cookie", "_own_cid=abc");
    for order in 0..ORDERS {
        assert_eq!(visitor.get(&format!("/thank-you/{name}-{order}")).status, 200);
    }
}

/// Whether the times of the orders lie at least a day apart.
fn has_jumped(folder: &Path) -> bool {
    let store = Connection::open(folder.join("state/throughline.sqlite")).unwrap();
    let span = "SELECT max(event_ms) - min(event_ms) FROM history";
    let milliseconds: i64 = store.query_row(span, [], |row| row.get(0)).unwrap();
    milliseconds > 86_000_000
}

/// Lets a file beside the configuration set the wall clock.
fn under_faketime(setup: Setup) -> Setup {
    let clock = setup.folder().join("clock").display().to_string();
    set_clock(setup.folder(), "+0d");
    setup
        .env("LD_PRELOAD", &library().display().to_string())
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        // What older versions call it.
        .env("DONT_FAKE_MONOTONIC", "1")
}

fn set_clock(folder: &Path, offset: &str) {
    // As a whole, for it is read at any moment.
    fs::write(folder.join("clock.new"), format!("{offset}\n")).unwrap();
    fs::rename(folder.join("clock.new"), folder.join("clock")).unwrap();
}

/// The version for threads; its folder carries the machine's name.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("a Linux system").flatten().map(|entry| entry.path());
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
    found.expect("libfaketime (Debian: apt-get install faketime; tests/run does)")
}

const ORDERS: usize = 40;
/// What the promise allows a jump to cost.
const PATIENCE: Duration = Duration::from_mins(1);
