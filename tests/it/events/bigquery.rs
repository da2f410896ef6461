//! Event records as rows of a table, and everybody who vouches for us to Google.

use std::{fs, path::Path};

use serde_json::Value;

use super::{CREDENTIALS, DROPPED, FAILURES, OF_A_PURCHASE, WRITTEN, buys, shop_with_events};
use crate::support::{
    accounting::assert_accounts,
    google::{AUDIENCE, Google, INSERT_ALL, METADATA, Row, SCOPE, given, refusal, taken},
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    response::Response,
    server::Request,
};

fn schema() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/bigquery/schema.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn kinds(rows: &[Row]) -> Vec<String> {
    let mut kinds: Vec<String> = rows.iter().map(|row| row.text("type").to_owned()).collect();
    kinds.sort();
    kinds
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

/// Somebody who buys when the first token has run out.
fn buys_again(proxy: &Proxy, google: &Google) {
    google.await_questions(2);
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=def");
    visitor.get("/thank-you/1002?total=5");
    google.await_rows("all of two purchases", |rows| rows.len() >= 10);
}

/// Each insert shows a token that was given, and the last one the second.
fn assert_renewed(google: &Google) {
    let shown = |insert: &Request| insert.headers.get("authorization").expect("a token").to_owned();
    let inserts: Vec<String> = google.inserts().iter().map(shown).collect();
    let expected = |number: usize| format!("Bearer {}", given(number));
    assert_eq!(inserts[0], expected(1));
    assert!(
        inserts.iter().all(|it| (1..=google.questions().len()).any(|number| *it == expected(number))),
        "{inserts:?}"
    );
    assert_ne!(inserts.last(), inserts.first(), "the first token has run out");
}

#[test]
fn a_virtual_machine_is_known_by_its_metadata_server_again_and_again() {
    let (origin, network, google) = (Origin::start(), AdNetwork::answering(["OK"]), Google::start());
    google.give_tokens_for(1);
    let home = tempfile::tempdir().unwrap();
    let proxy = shop_with_events(&origin, &network, &google.sink(""))
        .env("GOOGLE_CLOUD_PROJECT", "my-project")
        .env("GCE_METADATA_HOST", &google.host())
        .env("HOME", &home.path().display().to_string())
        .start();
    buys(&proxy);
    google.await_rows("all of a purchase", |rows| rows.len() >= 5);
    assert_eq!(google.inserts()[0].target, INSERT_ALL, "the project is that of the environment");
    buys_again(&proxy, &google);
    assert_renewed(&google);
    for question in google.questions() {
        assert_eq!((question.method.as_str(), question.path()), ("GET", METADATA));
        assert_eq!(question.headers.get("metadata-flavor"), Some("Google"));
    }
    assert!(!proxy.stderr().contains("CANARY"));
}

#[test]
fn a_token_is_kept_as_long_as_it_is_good() {
    let (origin, network, google) = (Origin::start(), AdNetwork::answering(["OK"]), Google::start());
    let home = tempfile::tempdir().unwrap();
    let proxy = shop_with_events(&origin, &network, &google.sink("project: my-project"))
        .env("GCE_METADATA_HOST", &google.host())
        .env("HOME", &home.path().display().to_string())
        .start();
    for purchase in 1..=3 {
        buys(&proxy);
        // The second time, there are a click and a duplicate.
        google.await_rows("all of a purchase", |rows| rows.len() >= 3 + 2 * purchase);
    }
    assert!(google.inserts().len() >= 3);
    assert_eq!(google.questions().len(), 1, "{:?}", google.questions());
}

#[test]
fn a_workload_is_known_by_who_vouches_for_it_as_long_as_it_does() {
    let (origin, network, google) = (Origin::start(), AdNetwork::answering(["OK"]), Google::start());
    google.give_tokens_for(1);
    let folder = tempfile::tempdir().unwrap();
    let subject = folder.path().join("subject.jwt");
    fs::write(&subject, "CANARY-proof-one").unwrap();
    let proxy = shop_with_events(&origin, &network, &google.sink(&format!("project: my-project, {CREDENTIALS}")))
        .file("account.json", &google.external_account(&subject))
        .start();
    buys(&proxy);
    google.await_rows("all of a purchase", |rows| rows.len() >= 5);
    // Whoever vouches for it renews the file.
    fs::write(&subject, "CANARY-proof-two").unwrap();
    buys_again(&proxy, &google);
    assert_renewed(&google);
    let questions = google.questions();
    let asked = |question: &Request| -> Vec<(String, String)> {
        let mut form: Vec<_> = url::form_urlencoded::parse(&question.body).into_owned().collect();
        form.sort();
        form
    };
    let expected = |proof: &str| {
        let form = [
            ("audience", AUDIENCE),
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("scope", SCOPE),
            ("subject_token", proof),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ];
        form.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    };
    assert_eq!(asked(&questions[0]), expected("CANARY-proof-one"));
    assert_eq!(asked(questions.last().unwrap()), expected("CANARY-proof-two"));
    assert!(questions.iter().all(|question| (question.method.as_str(), question.path()) == ("POST", "/sts/v1/token")));
    let metrics = proxy.admin("/metrics").text();
    assert!(!proxy.stderr().contains("CANARY") && !metrics.contains("CANARY"));
}

#[test]
fn who_gives_no_token_is_asked_again_and_rows_wait() {
    let (origin, network, google) = (Origin::start(), AdNetwork::answering(["OK"]), Google::start());
    google.give_no_tokens(2);
    let folder = tempfile::tempdir().unwrap();
    let subject = folder.path().join("subject.jwt");
    fs::write(&subject, "CANARY-proof").unwrap();
    let proxy = shop_with_events(&origin, &network, &google.sink(&format!("project: my-project, {CREDENTIALS}")))
        .file("account.json", &google.external_account(&subject))
        .start();
    buys(&proxy);
    proxy.await_metric(WRITTEN, &[("sink", "bigquery")], 5);
    assert!(proxy.metric(FAILURES, &[("sink", "bigquery")]) >= 2.0);
    proxy.await_metric(DROPPED, &[("sink", "bigquery")], 0);
    proxy.await_log("Google gave no token");
    assert!(!proxy.stderr().contains("CANARY"));
}
