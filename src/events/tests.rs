//! The bus: who gets what, and that nobody waits.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use url::Url;

use super::*;
use crate::{
    delivery::route::Route,
    tracking::{click::ClickResult, timestamp::Timestamp},
};

/// Remembers what it hears.
#[derive(Default)]
struct Ledger(Mutex<Vec<(&'static str, &'static str, u64)>>);

impl Ledger {
    fn sum(&self, what: &str, sink: Sink) -> u64 {
        let entries = self.0.lock().unwrap();
        entries.iter().filter(|(it, of, _)| *it == what && *of == sink.as_str()).map(|(_, _, count)| count).sum()
    }

    fn note(&self, what: &'static str, sink: Sink, count: u64) {
        self.0.lock().unwrap().push((what, sink.as_str(), count));
    }
}

impl SinkObserver for Ledger {
    fn written(&self, sink: Sink, records: u64) {
        self.note("written", sink, records);
    }
    fn dropped(&self, sink: Sink, records: u64) {
        self.note("dropped", sink, records);
    }
    fn failed(&self, sink: Sink) {
        self.note("failed", sink, 1);
    }
}

fn record() -> Record {
    Record::click(Timestamp::from_millis(0), &"shop".into(), &"exoclick".into(), ClickResult::Kept)
}

fn file(folder: &tempfile::TempDir, name: &str) -> SinkSettings {
    SinkSettings::File(FileSettings { path: folder.path().join(name), max_size: 1 << 30, keep: 1 })
}

fn settings(sinks: Vec<(Level, SinkSettings)>) -> EventSettings {
    EventSettings { sinks, personal: Personal::Keep }
}

#[expect(clippy::disallowed_methods, reason = "a test reads the files of its own folder")]
fn lines(folder: &tempfile::TempDir, name: &str) -> usize {
    std::fs::read_to_string(folder.path().join(name)).map_or(0, |text| text.lines().count())
}

/// Waits for a fact, and fails when it never comes true.
async fn until(fact: impl Fn() -> bool) {
    let come_true = async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), come_true).await.expect("a fact that never came true");
}

#[test]
fn what_nobody_wants_is_not_built() {
    let (bus, built) = (Bus::default(), AtomicUsize::new(0));
    let publish = || {
        bus.publish(Whose::Visitor, |_| {
            built.fetch_add(1, Ordering::Relaxed);
            record()
        });
    };
    publish();
    assert!(!bus.wants(Whose::Preview));
    let mut live = bus.live();
    publish();
    assert_eq!(live.try_recv().unwrap().word, Some("kept"));
    drop(live);
    publish();
    assert_eq!(built.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_live_listener_sees_no_personal_values_whatever_a_sink_gets() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Bus::start(&settings(vec![(Level::Always, file(&folder, "a"))]), Arc::new(Ledger::default())).unwrap();
    let seen = Mutex::new(Vec::new());
    let mut live = bus.live();
    bus.publish(Whose::Visitor, |personal| {
        seen.lock().unwrap().push(personal);
        Record { request_url: (personal == Personal::Keep).then(|| "jane".to_owned()), ..record() }
    });
    assert_eq!(*seen.lock().unwrap(), [Personal::Keep, Personal::Mask]);
    assert_eq!(live.try_recv().unwrap().request_url, None);
    bus.drain(Duration::from_secs(10)).await;
    assert_eq!(lines(&folder, "a"), 1);
}

#[tokio::test]
async fn a_sink_for_previews_gets_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let sinks = vec![(Level::Debug, file(&folder, "debug"))];
    let bus = Bus::start(&settings(sinks), Arc::new(Ledger::default())).unwrap();
    assert!(bus.wants(Whose::Preview) && !bus.wants(Whose::Visitor));
    for whose in [Whose::Visitor, Whose::Preview, Whose::Visitor] {
        bus.publish(whose, |_| record());
    }
    bus.drain(Duration::from_secs(10)).await;
    assert_eq!(lines(&folder, "debug"), 1);
}

#[tokio::test]
async fn a_sink_that_is_away_holds_so_much_and_the_rest_is_counted() {
    let ledger = Arc::new(Ledger::default());
    let folder = tempfile::tempdir().unwrap();
    // There is no such folder: every attempt fails.
    let bus = Bus::start(&settings(vec![(Level::Always, file(&folder, "none/a"))]), ledger.clone()).unwrap();
    let large = || Record { response_body: Some("x".repeat(2048)), ..record() };
    for _ in 0..100 {
        bus.publish(Whose::Visitor, |_| large());
    }
    let held = (feed::ROOM / large().size()) as u64;
    assert_eq!(ledger.sum("dropped", Sink::File), 100 - held);
    bus.drain(Duration::from_secs(10)).await;
    assert_eq!(ledger.sum("dropped", Sink::File), 100, "what it held is lost in the end, and counted");
    assert_eq!(ledger.sum("written", Sink::File), 0);
    assert!(ledger.sum("failed", Sink::File) > 0);
}

#[tokio::test]
async fn what_comes_back_in_time_loses_nothing() {
    let ledger = Arc::new(Ledger::default());
    let folder = tempfile::tempdir().unwrap();
    let bus = Bus::start(&settings(vec![(Level::Always, file(&folder, "later/a"))]), ledger.clone()).unwrap();
    for _ in 0..10 {
        bus.publish(Whose::Visitor, |_| record());
    }
    until(|| ledger.sum("failed", Sink::File) > 0).await;
    std::fs::create_dir(folder.path().join("later")).unwrap();
    until(|| ledger.sum("written", Sink::File) == 10).await;
    bus.drain(Duration::from_secs(10)).await;
    assert_eq!(lines(&folder, "later/a"), 10);
    assert_eq!(ledger.sum("dropped", Sink::File), 0);
}

#[tokio::test]
async fn other_settings_end_what_is_gone_and_leave_what_stays() {
    let folder = tempfile::tempdir().unwrap();
    let stays = (Level::Always, file(&folder, "stays"));
    let bus = Bus::start(&settings(vec![stays.clone(), (Level::Always, file(&folder, "goes"))]), Arc::new(Nobody));
    let bus = bus.unwrap();
    bus.publish(Whose::Visitor, |_| record());
    bus.replace(&settings(vec![(Level::Always, file(&folder, "comes")), stays])).unwrap();
    bus.publish(Whose::Visitor, |_| record());
    until(|| lines(&folder, "goes") > 0).await;
    bus.drain(Duration::from_secs(10)).await;
    assert_eq!(["stays", "goes", "comes"].map(|name| lines(&folder, name)), [2, 1, 1]);
}

#[tokio::test]
async fn a_server_that_never_answers_delays_no_end() {
    // As in `main`; fails when another test was first.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/", silent.local_addr().unwrap())).unwrap();
    let webhook = WebhookSettings { url, token: None, route: Arc::new(Route::default()) };
    let sinks = vec![(Level::Always, SinkSettings::Webhook(Box::new(webhook)))];
    let bus = Bus::start(&settings(sinks), Arc::new(Nobody)).unwrap();
    bus.publish(Whose::Visitor, |_| record());
    let start = crate::store::clock::instant();
    bus.drain(Duration::from_millis(50)).await;
    assert!(start.elapsed() < Duration::from_secs(5));
}
