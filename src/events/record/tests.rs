//! What stands in records, and what never does.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use uuid::Uuid;

use super::*;
use crate::{
    config::{Config, Environment},
    delivery::mask::Mask,
    tracking::{
        event::{Datum, Payload},
        template::{encode_component, sha256},
        verdict::{Rejection, RetryReason, Verdict},
    },
};

const EMAIL: &str = "Jane.Canary+1@mail.example";
const NAME: &str = "Canary \"Jane\" O'Doe";
const SECRET: &str = "CANARY/secret's key";

fn event() -> Event {
    let fields = [("email", EMAIL), ("name", NAME), ("order_id", "A-1001"), ("value", "49.90"), ("age", "7")];
    Event {
        id: EventId::new(Uuid::from_u128(7)),
        time: Timestamp::from_millis(1_795_253_400_007),
        site: "shop".into(),
        conversion: "purchase".into(),
        network: "mine".into(),
        payload: Payload {
            clicks: vec!["click-1".into()],
            fields: fields.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
            parameters: BTreeMap::from([(
                "tags".to_owned(),
                Datum::Many(vec!["canary-tag".to_owned(), "x".to_owned()]),
            )]),
            visitor: Vec::new(),
        },
    }
}

/// A network that is sent the visitor's values in every form there is.
fn destination() -> Destination {
    let text = r#"{ sites: [{ upstream: "http://127.0.0.1:1", networks: { mine: { click: { param: mid },
        settings: { key: { secret: true } }, key: "${KEY}",
        postback: { method: POST, url: "https://net.example/pb", headers: { x-key: "{key}" },
            query: { c: "{click_id}", k: "{key}", e: "{email}", s: "{email|sha256}", m: "{email|md5}", t: '{tags|join:","}' },
            json: { order: "{order_id}", who: "{name}", b: "{name|base64}", h: "{email|lower|sha512}", age: "{age}" } } } },
        conversions: [{ name: purchase, path: "/t/{order_id}", order_id: path.order_id, email: query.e,
            fields: { name: query.n, age: query.a, tags: query.t }, send: { mine: {} } }] }] }"#;
    let config = Config::parse(std::path::Path::new("a.yaml"), text, Environment::Ignored).unwrap();
    let mut destination = (**config.destinations().find("default", "mine").unwrap()).clone();
    // Without an environment, the key is the name of its variable.
    destination.outbound.mask = Mask::new(["${KEY}", SECRET]);
    destination
}

fn request(personal: Personal) -> Record {
    let (event, to) = (event(), destination());
    Record::request(event.time, &event, &to.routes["purchase"], &to, personal)
}

fn reply(status: u16, headers: &[(&'static str, &str)]) -> Reply {
    let headers = headers
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap()));
    Reply {
        status,
        body: None,
        retry_after: None,
        moved_to: None,
        headers: headers.collect(),
        mask: Mask::new([SECRET]),
    }
}

/// Every form in which the visitor's values and the secret may stand in a text.
fn forms() -> Vec<String> {
    let encoded = |text: &str| {
        let mut out = String::new();
        encode_component(text, &mut out);
        out
    };
    let mut forms = vec!["canary".to_owned()];
    for value in [EMAIL, NAME] {
        forms.extend([encoded(value), sha256(value), STANDARD.encode(value)]);
    }
    forms
}

fn assert_clean(text: &str) {
    for form in forms() {
        assert!(!text.to_lowercase().contains(&form.to_lowercase()), "{form} in {text}");
    }
}

#[test]
fn a_request_shows_clicks_and_orders_and_nothing_of_a_person() {
    let record = request(Personal::Mask);
    assert_eq!(
        record.request_url.as_deref(),
        Some("https://net.example/pb?c=click-1&k=***&e=***&s=***&m=***&t=***%2C***")
    );
    assert_eq!(
        record.request_body.as_deref(),
        Some(r#"{"order":"A-1001","who":"***","b":"***","h":"***","age":"***"}"#)
    );
    assert_eq!(record.request_method.as_deref(), Some("POST"));
    assert_clean(&record.to_json());
}

#[test]
fn a_request_shows_persons_to_who_asks_for_that_and_secrets_to_nobody() {
    let record = request(Personal::Keep);
    let url = record.request_url.unwrap();
    assert!(url.contains("&e=Jane.Canary%2B1%40mail.example&") && url.contains("&k=***&"), "{url}");
    assert!(record.request_body.unwrap().contains(r#""who":"Canary \"Jane\" O'Doe""#));
}

#[test]
fn an_answer_that_repeats_what_it_was_sent_is_shown_without_it() {
    let mut body = format!("{{\"email\":\"{}\",\"order\":\"A-1001\",\"click\":\"click-1\"}} ", EMAIL.to_uppercase());
    for form in forms().into_iter().skip(1) {
        body.extend([form.as_str(), " "]);
    }
    body.extend([
        "canary-tag ",
        "Canary \\\"Jane\\\" O'Doe ",
        "Canary+%22Jane%22+O%27Doe ",
        "Canary%20%22Jane%22%20O%27Doe ",
    ]);
    let headers = [("location", "/?e=jane.canary%2b1%40mail.example"), ("set-cookie", "a=canary"), ("x-key", SECRET)];
    let record =
        Record::response(Timestamp::from_millis(0), &event(), &reply(302, &headers), body.as_bytes(), Personal::Mask);
    assert_clean(&record.to_json());
    assert_eq!(record.response_headers.as_deref(), Some(r#"{"location":"/?e=***","set-cookie":"***","x-key":"***"}"#));
    assert!(record.response_body.unwrap().starts_with(r#"{"email":"***","order":"A-1001","click":"click-1"}"#));
}

#[test]
fn everything_is_bounded() {
    let mut large = event();
    large.payload.clicks = vec!["c".repeat(100_000)];
    large.payload.fields.insert("order_id".into(), "o".repeat(100_000));
    let to = destination();
    let record = Record::request(large.time, &large, &to.routes["purchase"], &to, Personal::Mask);
    assert_eq!(record.request_url.as_ref().map(String::len), Some(MAX_URL));
    assert_eq!(record.request_body.as_ref().map(String::len), Some(MAX_BODY));

    let mut reply = reply(200, &[]);
    for number in 0..2000 {
        reply.headers.append("x-many", HeaderValue::from_str(&format!("{number}{}", "v".repeat(1000))).unwrap());
        reply
            .headers
            .append(http::HeaderName::try_from(format!("x-{number}")).unwrap(), HeaderValue::from_static("\"\"\"\""));
    }
    let body = "é".repeat(100_000);
    let record = Record::response(large.time, &large, &reply, body.as_bytes(), Personal::Mask);
    assert_eq!(record.response_body.as_ref().map(String::len), Some(MAX_BODY));
    assert!(record.response_headers.as_ref().is_some_and(|headers| headers.len() <= MAX_HEADERS));
    assert!(record.size() < 12 << 10);
}

#[test]
fn a_word_says_what_became_of_it() {
    let (now, site, network) = (Timestamp::from_millis(0), "shop".into(), "mine".into());
    let retry = Settled::Retry { at: now.plus(Duration::from_secs(5)), reason: RetryReason::Timeout };
    let rejected = Settled::Final(Verdict::Rejected(Rejection::Answer));
    let names = (&site, &"purchase".into(), &network);
    for (record, word, body) in [
        (Record::click(now, &site, &network, ClickResult::Kept), "kept", r#"{"result":"kept"}"#),
        (Record::conversion(now, names, None, Outcome::NoClick), "no_click", r#"{"outcome":"no_click"}"#),
        (Record::verdict(now, &event(), retry), "retry", r#"{"verdict":"retry","reason":"timeout"}"#),
        (Record::verdict(now, &event(), rejected), "rejected", r#"{"verdict":"rejected","reason":"answer"}"#),
        (Record::verdict(now, &event(), Settled::Final(Verdict::Delivered)), "delivered", r#"{"verdict":"delivered"}"#),
    ] {
        assert_eq!((record.word, record.response_body.as_deref()), (Some(word), Some(body)));
    }
}

#[test]
fn the_schema_for_the_table_is_that_of_the_records() {
    #[expect(clippy::disallowed_methods, reason = "a test reads the file that it speaks of")]
    let schema = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/bigquery/schema.json")).unwrap();
    let schema: Vec<BTreeMap<String, String>> = serde_json::from_str(&schema).unwrap();
    let now = Timestamp::from_millis(0);
    let click = Record::click(now, &"shop".into(), &"mine".into(), ClickResult::Kept);
    let sparse: Map<String, Json> = serde_json::from_str(&click.to_json()).unwrap();
    let answer = Record::response(now, &event(), &reply(200, &[]), b"OK", Personal::Mask);
    let answer: Map<String, Json> = serde_json::from_str(&answer.to_json()).unwrap();
    let request: Map<String, Json> = serde_json::from_str(&request(Personal::Mask).to_json()).unwrap();
    let names: Vec<&String> = schema.iter().map(|column| &column["name"]).collect();
    assert_eq!(names, Record::COLUMNS.iter().collect::<Vec<_>>());
    for record in [&sparse, &answer, &request] {
        assert_eq!(record.keys().collect::<Vec<_>>(), names);
    }
    for column in &schema {
        let values = [&sparse, &answer, &request].map(|record| &record[&column["name"]]);
        let is_right = |value: &&Json| match column["type"].as_str() {
            "INTEGER" => value.is_u64(),
            _ => value.is_string(),
        };
        assert!(values.iter().any(is_right), "{column:?}: {values:?}");
        assert!(values.iter().all(|value| value.is_null() || is_right(value)), "{column:?}: {values:?}");
        let may_lack = column["mode"] == "NULLABLE";
        assert_eq!(values.iter().any(|value| value.is_null()), may_lack, "{column:?}: {values:?}");
    }
}

#[test]
fn a_record_shows_nothing_of_its_texts_where_it_is_only_named() {
    assert_eq!(
        format!("{:?}", request(Personal::Keep)),
        r#"Record { kind: Request, site: "shop", tag_name: "mine", word: None, .. }"#
    );
}
