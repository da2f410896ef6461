//! Event records: what sinks get of a purchase, and that nobody else suffers when they don't take it.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    config::{THANKS, shop},
    google::Google,
    network::AdNetwork,
    origin::Origin,
    proxy::{Proxy, Setup},
    response::Response,
};

mod bigquery;
mod pages;
mod personal;

const WRITTEN: &str = "throughline_events_written_total";
const DROPPED: &str = "throughline_events_dropped_total";
const FAILURES: &str = "throughline_events_failures_total";
const CREDENTIALS: &str = "credentials: { file: account.json }";
/// A click, its decision, a request, its answer, and the verdict.
const OF_A_PURCHASE: [&str; 5] = ["Click", "Conversion", "Request", "Response", "Verdict"];

/// The usual shop with these lines under `events`.
fn shop_with_events(origin: &Origin, network: &AdNetwork, events: &str) -> Setup {
    Proxy::with(&format!("events:\n{events}{}", shop(origin, network)))
}

fn buys(proxy: &Proxy) {
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.get(THANKS);
}

/// The lines of a file that is still written to.
fn records(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn await_records(file: &Path, count: usize) -> Vec<Value> {
    await_fact(
        || Some(records(file)).filter(|records| records.len() >= count),
        || format!("{count} records, got {:#?}", records(file)),
    )
}

#[test]
fn sinks_that_take_nothing_delay_no_page_and_no_postback() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let google = Google::judging(|_| Response::hang());
    let events = format!(
        "  file: {{ path: no/such/folder/events.jsonl }}\n  webhook: {{ url: \"http://{}/\" }}\n{}",
        silent.local_addr().unwrap(),
        google.sink(CREDENTIALS)
    );
    let account = google.service_account();
    let mut proxy = shop_with_events(&origin, &network, &events).file("account.json", &account).start();
    for number in 0..20 {
        let mut visitor = proxy.visitor();
        visitor.lands(&format!("/?exotracker=click{number}"));
        let thanks = visitor.get(&format!("/thank-you/{number}?total=1"));
        assert!(thanks.is_complete());
    }
    network.await_received(20);
    proxy.await_metric("throughline_postbacks_total", &[("verdict", "delivered")], 20);
    let late = proxy.metric("throughline_overhead_seconds_bucket", &[("le", "1")]);
    assert!(late >= 40.0, "no page waited for a second: {late}");
    await_fact(|| (proxy.metric(FAILURES, &[("sink", "file")]) > 0.0).then_some(()), || proxy.stderr());
    proxy.await_log("event records cannot be written");
    assert_accounts(&proxy);
    // It does not wait for ever to end either.
    assert!(proxy.terminate().success());
}

#[test]
fn a_webhook_gets_lists_until_it_takes_them() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let hook = AdNetwork::answering([Response::new(503), Response::new(200)]);
    let events = format!("  webhook: {{ url: \"http://{}/in?a=b\", token: \"${{TOKEN}}\" }}\n", hook.address());
    let proxy = shop_with_events(&origin, &network, &events).env("TOKEN", "CANARY-token").start();
    buys(&proxy);
    proxy.await_metric(WRITTEN, &[("sink", "webhook")], 5);
    let requests = hook.received();
    assert!(requests.len() >= 2);
    assert_eq!(requests[0].body, requests[1].body);
    for request in &requests {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/in?a=b"));
        assert_eq!(request.headers.get("content-type"), Some("application/json"));
        assert_eq!(request.headers.get("authorization"), Some("Bearer CANARY-token"));
    }
    let taken: Vec<Value> =
        requests[1..].iter().flat_map(|request| request.json().as_array().unwrap().clone()).collect();
    let mut kinds: Vec<&str> = taken.iter().map(|record| record["type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, OF_A_PURCHASE);
    assert!(!proxy.stderr().contains("CANARY"));
}

#[test]
fn a_webhook_in_our_own_network_is_one_that_was_allowed() {
    let (origin, network, hook) = (Origin::start(), AdNetwork::answering(["OK"]), AdNetwork::answering(["OK"]));
    let events = |more: &str| format!("  webhook: {{ url: \"http://localhost:{}/\"{more} }}\n", hook.address().port());
    let refused = shop_with_events(&origin, &network, &events("")).start();
    buys(&refused);
    refused.await_log("refused_address");
    assert!(hook.received().is_empty());
    let allowed = shop_with_events(&origin, &network, &events(", allow_private: true")).start();
    buys(&allowed);
    hook.await_received(1);
}

#[test]
fn a_file_that_was_moved_is_opened_anew_on_sighup() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let proxy = shop_with_events(&origin, &network, "  file: { path: events.jsonl }\n").start();
    let file = |name: &str| -> PathBuf { proxy.folder().join(name) };
    buys(&proxy);
    await_records(&file("events.jsonl"), 5);
    fs::rename(file("events.jsonl"), file("moved.jsonl")).unwrap();
    proxy.signal("HUP");
    proxy.await_log("is in force");
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=xyz");
    visitor.get("/thank-you/1002?total=5");
    let new = await_records(&file("events.jsonl"), 5);
    assert!(new.iter().any(|record| record["request_url"].as_str().is_some_and(|url| url.contains("tag=xyz"))));
    assert_eq!(records(&file("moved.jsonl")).len(), 5);
}

#[test]
fn what_is_written_when_the_process_ends_is_whole() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let mut proxy = shop_with_events(&origin, &network, "  file: { path: events.jsonl }\n  stdout: always\n").start();
    buys(&proxy);
    network.await_received(1);
    proxy.await_settled();
    assert!(proxy.terminate().success());
    let mut kinds: Vec<String> = records(&proxy.folder().join("events.jsonl"))
        .iter()
        .map(|record| record["type"].as_str().unwrap().to_owned())
        .collect();
    kinds.sort();
    assert_eq!(kinds, OF_A_PURCHASE);
    let stdout = proxy.stdout();
    let lines: Vec<&str> = stdout.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(lines.len(), 5, "{stdout}");
    assert!(lines.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{stdout}");
}

#[test]
fn records_for_previews_are_none_unless_the_log_tells_everything() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let events = "  file: { path: debug.jsonl, level: debug }\n  stdout: debug\n  personal: mask\n";
    let quiet = shop_with_events(&origin, &network, events).start();
    buys(&quiet);
    quiet.await_metric("throughline_postbacks_total", &[("verdict", "delivered")], 1);
    assert!(!quiet.folder().join("debug.jsonl").exists());
    let verbose =
        Proxy::with(&format!("log: {{ level: debug }}\nevents:\n{events}{}", shop(&origin, &network))).start();
    buys(&verbose);
    await_records(&verbose.folder().join("debug.jsonl"), 5);
}
