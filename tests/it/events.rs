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
    config::{THANKS, shop, shop_of},
    google::{GIVEN, Google, INSERT_ALL, Row, refusal, taken},
    network::AdNetwork,
    origin::Origin,
    proxy::{Proxy, Setup},
    response::Response,
};

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

fn schema() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/bigquery/schema.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn kinds(rows: &[Row]) -> Vec<String> {
    let mut kinds: Vec<String> = rows.iter().map(|row| row.text("type").to_owned()).collect();
    kinds.sort();
    kinds
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
fn a_purchase_becomes_rows_of_a_table_under_a_key_that_google_verifies() {
    let (origin, network, google) = (Origin::start(), AdNetwork::answering(["OK"]), Google::start());
    let account = google.service_account();
    let proxy = shop_with_events(&origin, &network, &google.sink(CREDENTIALS)).file("account.json", &account).start();
    buys(&proxy);
    let rows = google.await_rows("all of a purchase", |rows| rows.len() >= 5);
    assert_eq!(kinds(&rows), OF_A_PURCHASE);
    let schema = schema();
    rows.iter().for_each(|row| row.assert_fits(&schema));
    let of = |kind: &str| rows.iter().find(|row| row.text("type") == kind).unwrap().clone();
    let (conversion, request, response) = (of("Conversion"), of("Request"), of("Response"));
    assert_eq!(request.text("trace_id").len(), 36);
    for row in [&conversion, &response, &of("Verdict")] {
        assert_eq!(row.text("trace_id"), request.text("trace_id"));
        assert_eq!((row.text("tag_name"), row.text("event_name")), ("exoclick", "purchase"));
    }
    assert!(request.text("request_url").ends_with("&value=49.90&tag=abc"), "{request:?}");
    assert_eq!((response.columns["response_status_code"].as_u64(), response.text("response_body")), (Some(200), "OK"));
    assert_eq!(conversion.text("response_body"), r#"{"outcome":"queued"}"#);
    assert_eq!(of("Verdict").text("response_body"), r#"{"verdict":"delivered"}"#);
    let mut ids: Vec<&str> = rows.iter().map(|row| row.insert_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), rows.len(), "each row has an id of its own");
    for insert in google.inserts() {
        assert_eq!(insert.target, INSERT_ALL);
        google.assert_signed(&insert);
    }
    proxy.await_metric(WRITTEN, &[("sink", "bigquery")], 5);
    assert!(google.questions().is_empty(), "the key needs nobody's help");
    let metrics = proxy.admin("/metrics").text();
    for place in [proxy.stderr(), metrics, format!("{rows:?}")] {
        assert!(!place.contains(google.canary()), "{place}");
    }
    assert_accounts(&proxy);
}

#[test]
fn a_row_that_google_refuses_keeps_no_other_out_and_one_that_is_too_early_comes_again() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let wrong = r#"{"index":0,"errors":[{"reason":"invalid","location":"site"}]}"#;
    let early = r#"{"index":1,"errors":[{"reason":"backendError"}]}"#;
    // Only of the first insert that has several rows.
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let google = Google::judging(move |rows| {
        let complains = rows.len() >= 2 && is_first.swap(false, std::sync::atomic::Ordering::SeqCst);
        taken(&if complains { format!("{wrong},{early}") } else { String::new() })
    });
    let account = google.service_account();
    let proxy = shop_with_events(&origin, &network, &google.sink(CREDENTIALS)).file("account.json", &account).start();
    buys(&proxy);
    proxy.await_metric(DROPPED, &[("sink", "bigquery")], 1);
    proxy.await_metric(WRITTEN, &[("sink", "bigquery")], 4);
    let rows = google.rows();
    let times = |id: &str| rows.iter().filter(|row| row.insert_id == id).count();
    let repeated: Vec<&Row> = rows.iter().filter(|row| times(&row.insert_id) > 1).collect();
    assert_eq!((rows.len(), repeated.len()), (6, 2), "{rows:#?}");
    assert_eq!(repeated[0].columns, repeated[1].columns);
    proxy.await_log("BigQuery refuses rows: invalid in column `site`");
}

#[test]
fn a_token_that_is_refused_is_replaced_and_an_outage_is_sat_out() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let google = Google::answering([
        refusal(401, "authError"),
        refusal(403, "rateLimitExceeded"),
        Response::reset(),
        refusal(503, "backendError"),
        taken(""),
    ]);
    let account = google.service_account();
    let proxy = shop_with_events(&origin, &network, &google.sink(CREDENTIALS)).file("account.json", &account).start();
    buys(&proxy);
    proxy.await_metric(WRITTEN, &[("sink", "bigquery")], 5);
    let inserts = google.inserts();
    assert!(inserts.len() >= 5, "{}", inserts.len());
    assert_eq!(inserts[0].body, inserts[1].body, "the same rows with the same ids, at once");
    inserts.iter().for_each(|insert| google.assert_signed(insert));
    assert!(proxy.metric(FAILURES, &[("sink", "bigquery")]) >= 3.0);
    assert!((proxy.metric(DROPPED, &[("sink", "bigquery")])).abs() < 0.5);
    proxy.await_log("event records are written again");
}

#[test]
fn a_virtual_machine_is_known_by_its_metadata_server() {
    let (origin, network, google) = (Origin::start(), AdNetwork::answering(["OK"]), Google::start());
    let home = tempfile::tempdir().unwrap();
    let proxy = shop_with_events(&origin, &network, &google.sink(""))
        .env("GOOGLE_CLOUD_PROJECT", "my-project")
        .env("GCE_METADATA_HOST", &google.host())
        .env("HOME", &home.path().display().to_string())
        .start();
    buys(&proxy);
    google.await_rows("all of a purchase", |rows| rows.len() >= 5);
    for insert in google.inserts() {
        assert_eq!(insert.headers.get("authorization"), Some(format!("Bearer {GIVEN}").as_str()));
    }
    assert_eq!(google.questions().len(), 1, "a token is kept: {:?}", google.questions());
    assert!(!proxy.stderr().contains("CANARY"));
}

#[test]
fn a_workload_is_known_by_who_vouches_for_it() {
    let (origin, network, google) = (Origin::start(), AdNetwork::answering(["OK"]), Google::start());
    let folder = tempfile::tempdir().unwrap();
    let subject = folder.path().join("subject.jwt");
    fs::write(&subject, "proof-of-identity").unwrap();
    let proxy = shop_with_events(&origin, &network, &google.sink(&format!("project: my-project, {CREDENTIALS}")))
        .file("account.json", &google.external_account(&subject))
        .start();
    buys(&proxy);
    google.await_rows("all of a purchase", |rows| rows.len() >= 5);
    let question = google.questions().remove(0);
    let form = String::from_utf8_lossy(&question.body).into_owned();
    assert!(form.contains("subject_token=proof-of-identity") && form.contains("bigquery.insertdata"), "{form}");
    for insert in google.inserts() {
        assert_eq!(insert.headers.get("authorization"), Some(format!("Bearer {GIVEN}").as_str()));
    }
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

/// A shop whose network is sent a person's values and a secret in many forms, and repeats all of them.
fn talkative(personal: &str) -> (Setup, Origin, AdNetwork, AdNetwork) {
    let (origin, hook) = (Origin::start(), AdNetwork::answering([Response::new(200)]));
    let network = AdNetwork::judging(|request| {
        let said = format!("NO {} {}", request.target, String::from_utf8_lossy(&request.raw_head));
        Response::from(said.as_str()).header("X-Echo", &request.target)
    });
    let networks = format!(
        "      mine:
        click: {{ param: mid }}
        settings: {{ key: {{ secret: true }} }}
        key: ${{KEY}}
        postback:
          url: \"http://{}/pb\"
          headers: {{ x-key: \"{{key}}\" }}
          query: {{ c: \"{{click_id}}\", k: \"{{key}}\", e: \"{{email}}\", h: \"{{email|sha256}}\", m: \"{{email|md5}}\", b: \"{{email|base64}}\" }}
        verdict: [{{ body_starts: \"NO\", is: rejected }}]",
        network.address()
    );
    let events = format!(
        "events:
  stdout: always
  file: {{ path: events.jsonl }}
  webhook: {{ url: \"http://{}/\" }}
  personal: {personal}
",
        hook.address()
    );
    let setup = Proxy::with(&format!("{events}{}", shop_of(&origin, &networks, "          mine: {}")));
    (setup.env("KEY", "CANARY/key one"), origin, network, hook)
}

fn tells_all(proxy: &Proxy, hook: &AdNetwork) -> Vec<String> {
    let mut visitor = proxy.visitor();
    visitor.lands("/?mid=abc");
    visitor.get("/thank-you/1001?total=49.90&email=jane.canary%2B1%40mail.example");
    proxy.await_metric(WRITTEN, &[("sink", "webhook")], 5);
    let file = proxy.folder().join("events.jsonl");
    await_records(&file, 5);
    let sent: String =
        hook.received().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains("1001") || text.contains("c=abc"), "orders and clicks are shown: {text}");
    await_fact(|| (proxy.stdout().lines().count() >= 7).then_some(()), || proxy.stdout());
    vec![text, sent, proxy.stdout(), proxy.stderr()]
}

#[test]
fn nothing_personal_and_no_secret_is_found_in_records() {
    let (setup, _origin, network, hook) = talkative("mask");
    let proxy = setup.start();
    let places = tells_all(&proxy, &hook);
    let sent = network.received().remove(0).target;
    assert!(sent.contains("e=jane.canary%2B1%40mail.example") && sent.contains("k=CANARY%2Fkey%20one"), "{sent}");
    // All that the network heard but the click, in whatever form.
    let forms = sent.split_once('?').unwrap().1.split('&').filter_map(|pair| pair.split_once('='));
    let forms: Vec<&str> = forms.filter(|(name, _)| *name != "c").map(|(_, value)| value).collect();
    for place in places {
        let place = place.to_lowercase();
        for canary in forms.iter().copied().chain(["canary"]) {
            assert!(!place.contains(&canary.to_lowercase()), "{canary} in {place}");
        }
    }
    assert_accounts(&proxy);
}

#[test]
fn who_keeps_personal_values_keeps_no_secrets() {
    let (setup, _origin, _network, hook) = talkative("keep");
    let proxy = setup.start();
    let [file, sent, stdout, log] = <[String; 4]>::try_from(tells_all(&proxy, &hook)).unwrap();
    for place in [&file, &sent, &stdout] {
        assert!(place.contains("jane.canary%2B1%40mail.example"), "{place}");
        assert!(!place.contains("key one") && !place.contains("key%20one"), "{place}");
    }
    assert!(!log.to_lowercase().contains("canary"), "{log}");
}
