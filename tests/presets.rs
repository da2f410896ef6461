//! Every example in a network's file, run: the real decoder, a visit, the request that comes of it.
//!
//! An example says what a conversion holds and what must then be sent (`request`), shown (`pixels`),
//! or what an `answer` means (`verdict`). Where several events share a request, it says what becomes of
//! several `conversions`, or what an answer means for each of several `events` (`verdicts`). Nothing of
//! the network stands in this file.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "an example that cannot be run should fail loudly, and it is run among real files"
)]

use std::{collections::BTreeSet, fmt::Write as _, fs, net::IpAddr, path::Path, sync::Arc};

use http::{HeaderMap, Method, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use tempfile::TempDir;
use throughline::{
    config::{
        Config, Environment,
        catalogue::{self, NETWORKS},
        problem::Problems,
        tree::{Kind, Node},
    },
    tracking::{
        event::EventId,
        postback::{Batch, Postback},
        timestamp::Timestamp,
        verdict::{Answer, Fate, Judgement},
        visit::{Answered, Client, Reply, Request, Room, Visit},
    },
};
use time::{Date, Month, Time};
use uuid::Uuid;

#[test]
fn every_example_of_every_network_comes_true() {
    let mut failures = String::new();
    let mut run = 0;
    for (name, text) in NETWORKS {
        let examples = examples(text);
        assert!(!examples.is_empty(), "{name} has no examples");
        for (index, example) in examples.iter().enumerate() {
            run += 1;
            if let Err(failure) = check(name, &examples, example) {
                writeln!(failures, "{name}, example {}, line {}: {failure}", index + 1, example.place.line).unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(run > 40, "only {run} examples were run");
}

#[test]
fn an_example_that_is_wrong_is_found_out() {
    for (network, right, wrong, said) in [
        ("exoclick", "value=10&tag=abc", "value=10&tag=xyz", "tag=xyz"),
        ("exoclick", "https://s.orbsrv.com/tag.php?goal", "https://s.orbsrv.net/tag.php?goal", "orbsrv.net"),
        ("exoclick", "verdict: already_known", "verdict: delivered", "already_known"),
        ("rokt", "Charset: utf-8\n        Content-Type", "Charset: utf-16\n        Content-Type", "utf-16"),
        ("rokt", "name: amount, value: \"49.90\"", "name: amount, value: \"49.9\"", "49.9"),
        ("clickmeter", "request: GET", "request: POST", "POST"),
        (
            "rokt",
            "firstname, value: Alice }\n            metaData",
            "firstname, value: Bob }\n            metaData",
            "Bob",
        ),
        ("rokt", "[delivered, rejected, retry]", "[rejected, rejected, retry]", "delivered"),
        ("rokt", "[alone, alone]", "[rejected, rejected]", "alone"),
    ] {
        let text = catalogue::text(network).expect("a network of ours");
        assert!(text.contains(right), "{network} no longer says {right}");
        let broken = text.replace(right, wrong);
        let examples = examples(&broken);
        let failures: Vec<_> = examples.iter().filter_map(|example| check(network, &examples, example).err()).collect();
        assert!(failures.iter().any(|failure| failure.contains(said)), "{network}, {wrong}: {failures:?}");
    }
}

#[test]
fn the_catalogue_the_folder_and_the_readme_have_the_same_networks() {
    let known: BTreeSet<String> = NETWORKS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = fs::read_dir(root.join("conf/networks")).expect("conf/networks");
    let files = folder.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned());
    assert_eq!(files.collect::<BTreeSet<_>>(), known);
    let readme = fs::read_to_string(root.join("README.md")).expect("README.md");
    for name in known {
        assert!(readme.contains(&format!("`{name}`")), "README.md does not name {name}");
    }
}

fn examples(text: &str) -> Vec<Node> {
    let problems = Problems::default();
    let tree = Node::parse("network.yaml", text, &problems).expect("a tree");
    list(member(&tree, "examples").expect("examples")).to_vec()
}

/// Runs one example; says how what came of it differs.
fn check(network: &str, all: &[Node], example: &Node) -> Result<(), String> {
    if let Some(answer) = member(example, "answer") {
        // Any conversion will do: verdicts need none, but a site needs its settings.
        let conversion = all.iter().find_map(|example| member(example, "conversion")).expect("a conversion");
        let stage = Stage::new(network, conversion)?;
        return match member(example, "events") {
            Some(events) => {
                let expected: Vec<&str> =
                    member(example, "verdicts").map(list).unwrap_or_default().iter().map(text).collect();
                let ids: Vec<_> = list(events).iter().map(|id| EventId::parse(text(id)).expect("a UUID")).collect();
                same("verdicts", &expected, &verdicts(&stage, answer, &ids)?)
            }
            None => {
                let event = EventId::new(Uuid::from_u128(1));
                same("verdict", &vec![text_of(example, "verdict")], &verdicts(&stage, answer, &[event])?)
            }
        };
    }
    if let (Some(conversions), Some(expected)) = (member(example, "conversions"), member(example, "request")) {
        let stages: Result<Vec<_>, _> = list(conversions).iter().map(|one| Stage::new(network, one)).collect();
        return check_request(joined(&stages?)?, expected);
    }
    let stage = Stage::new(network, member(example, "conversion").ok_or("neither conversion nor answer")?)?;
    match (member(example, "request"), member(example, "pixels")) {
        (Some(expected), None) => check_request(stage.postback()?, expected),
        (None, Some(expected)) => {
            let plan = stage.answered();
            let expected: Vec<&str> = list(expected).iter().map(text).collect();
            let shown = plan.claims.first().map(|claim| claim.pixels.clone()).unwrap_or_default();
            same("pixels", &expected, &shown.iter().map(String::as_str).collect())
        }
        (Some(_), Some(_)) | (None, None) => Err("needs either request or pixels".to_owned()),
    }
}

/// What an answer means for each of these events.
fn verdicts(stage: &Stage, answer: &Node, events: &[EventId]) -> Result<Vec<&'static str>, String> {
    let status = text_of(answer, "status").parse().map_err(|_| "no status")?;
    let answer = Answer { status, body: Some(text_of(answer, "body").as_bytes()) };
    let network = &stage.config.sites[0].networks[0];
    let failed = network.batch.as_ref().and_then(|batch| batch.failed.as_ref());
    let judged = network.verdicts.judge_batch(failed, answer, events);
    let word = |fate| match fate {
        Fate::Judged(Judgement::Final(verdict)) => verdict.as_str(),
        Fate::Judged(Judgement::Retry(_)) => "retry",
        Fate::Alone => "alone",
    };
    Ok(judged.events.iter().map(|event| word(event.fate)).collect())
}

/// The one request of several conversions.
fn joined(stages: &[Stage]) -> Result<Postback, String> {
    let rule = stages[0].config.sites[0].networks[0].batch.as_ref().ok_or("this network takes one event at a time")?;
    let mut postbacks = stages.iter().map(Stage::postback);
    let first = postbacks.next().expect("a conversion")?;
    let mut batch = Batch::begin(rule, first).map_err(|first| format!("nothing could join {first:?}"))?;
    for postback in postbacks {
        batch.join(&postback?).map_err(|why| format!("it did not join: {why:?}"))?;
    }
    Ok(batch.finish())
}

fn check_request(Postback { method, url, headers, body }: Postback, expected: &Node) -> Result<(), String> {
    if let Kind::Scalar(line) = &expected.kind {
        same("request", &line.text, &format!("{method} {url}"))?;
        return same("body", &"", &String::from_utf8_lossy(&body).as_ref());
    }
    same("method", &text_of(expected, "method"), &method.as_str())?;
    same("address", &text_of(expected, "url"), &url.as_str())?;
    for (name, value) in member(expected, "headers").map(entries).unwrap_or_default() {
        let found = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        same(name, &text(value), &found)?;
    }
    match (member(expected, "json"), member(expected, "body")) {
        (Some(document), _) => same("json", &json(document), &serde_json::from_slice(&body).unwrap_or_default()),
        (None, Some(body_text)) => same("body", &text(body_text), &String::from_utf8_lossy(&body).as_ref()),
        (None, None) => same("body", &"", &String::from_utf8_lossy(&body).as_ref()),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, found: &T) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("{what}:\n  expected {expected:#?}\n  found    {found:#?}")) }
}

/// A site with the network of an example, and the request of its conversion.
struct Stage {
    config: Config,
    query: String,
    headers: HeaderMap,
    event: Uuid,
    time: Timestamp,
    secrets: TempDir,
}

impl Stage {
    /// Writes the configuration as an operator would, and reads it.
    fn new(network: &str, conversion: &Node) -> Result<Self, String> {
        let secrets = TempDir::new().expect("a folder");
        let tree = catalogue::tree(network, &Problems::default()).expect("a network of ours");
        let click = member(&tree, "click").expect("click");
        let mut block = String::new();
        if member(click, "param").is_none() {
            block += "click: { param: the_click }, ";
        }
        let declared = |name| member(&tree, "settings").and_then(|settings| member(settings, name));
        for (name, value) in member(conversion, "settings").map(entries).unwrap_or_default() {
            let is_secret = declared(name).and_then(|setting| member(setting, "secret")).is_some();
            if is_secret {
                fs::write(secrets.path().join(name), text(value)).expect("a secret");
                write!(block, "{name}: {{ file: {name} }}, ").unwrap();
            } else {
                write!(block, "{name}: {}, ", quoted(value)).unwrap();
            }
        }
        let send = member(conversion, "send").map_or_else(|| "{}".to_owned(), quoted);
        let mut stage = Self {
            config: Config::parse(Path::new("a.yaml"), "sites: [{ upstream: 'http://a' }]", Environment::Ignored)
                .map_err(|error| error.to_string())?,
            query: String::new(),
            headers: HeaderMap::new(),
            event: Uuid::from_u128(1),
            time: Timestamp::from_millis(1_795_253_400_000),
            secrets,
        };
        let mut fields = String::new();
        let mut others = String::new();
        for (name, value) in entries(conversion) {
            match name {
                "settings" | "send" => {}
                "click_id" => stage.clicks(text_of(click, "cookie"), &[text(value)]),
                "click_ids" => {
                    stage.clicks(text_of(click, "cookie"), &list(value).iter().map(text).collect::<Vec<_>>());
                }
                "event_id" => stage.event = text(value).parse().expect("a UUID"),
                "event_time" => stage.time = timestamp(text(value)),
                "user_agent" => {
                    stage.headers.insert(header::USER_AGENT, text(value).parse().expect("a header"));
                }
                field => {
                    let known = ["order_id", "value", "currency", "email", "phone"].contains(&field);
                    let into = if known { &mut fields } else { &mut others };
                    write!(into, "{field}: query.the_{field}, ").unwrap();
                    let encoded = utf8_percent_encode(text(value), NON_ALPHANUMERIC);
                    write!(stage.query, "&the_{field}={encoded}").unwrap();
                }
            }
        }
        let configuration = format!(
            "sites: [{{ upstream: 'http://127.0.0.1:1', networks: {{ {network}: {{ {block} }} }}, conversions: [
              {{ name: purchase, path: /thank-you, {fields} fields: {{ {others} }}, send: {{ {network}: {send} }} }}] }}]"
        );
        let file = stage.secrets.path().join("throughline.yaml");
        stage.config = Config::parse(&file, &configuration, Environment::Process)
            .map_err(|error| format!("{error}in {configuration}"))?;
        Ok(stage)
    }

    fn clicks(&mut self, cookie: &str, ids: &[&str]) {
        let ids: Vec<String> = ids.iter().map(|id| utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()).collect();
        let cookie = format!("other=1; {cookie}={}", ids.join(","));
        self.headers.insert(header::COOKIE, cookie.parse().expect("a header"));
    }

    /// The request of the conversion.
    fn postback(&self) -> Result<Postback, String> {
        let plan = self.answered();
        let row = plan.rows.first().ok_or_else(|| format!("nothing was queued: {:?}", plan.decided))?;
        let rules = &self.config.sites[0].rules.conversions[0].send[row.send].postback;
        rules.render(&row.event).map_err(|error| error.to_string())
    }

    /// What follows when the site answers 200 with a page.
    fn answered(&self) -> Answered {
        let site = Arc::new(self.config.sites[0].rules.clone());
        let request = Request {
            method: &Method::GET,
            path: "/thank-you",
            query: self.query.trim_start_matches('&'),
            headers: &self.headers,
            authority: Some("shop.example"),
            client: Client { address: IpAddr::from([192, 0, 2, 1]), over_tls: true },
        };
        let mut visit = Visit::begin(&site, &request).expect("a conversion");
        let (headers, room) = (HeaderMap::new(), Room::For(&|_| true));
        let reply = Reply { status: 200, headers: &headers, may_have_body: false, room, now: self.time };
        visit.answered(reply, None, &mut || self.event)
    }
}

/// Reads `2026-11-21T09:30:00Z`, with milliseconds or without.
fn timestamp(text: &str) -> Timestamp {
    let numbers: Vec<u16> = text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    let small = |index: usize| u8::try_from(numbers[index]).expect("two digits");
    let month = Month::try_from(small(1)).expect("a month");
    let date = Date::from_calendar_date(i32::from(numbers[0]), month, small(2)).expect("a date");
    let millis = numbers.get(6).copied().unwrap_or(0);
    let time = Time::from_hms_milli(small(3), small(4), small(5), millis).expect("a time");
    let nanos = date.with_time(time).assume_utc().unix_timestamp_nanos();
    Timestamp::from_millis(i64::try_from(nanos / 1_000_000).expect("a time of ours"))
}

fn member<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    entries(node).into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

fn entries(node: &Node) -> Vec<(&str, &Node)> {
    match &node.kind {
        Kind::Map(entries) => entries.iter().map(|entry| (entry.key.as_str(), &entry.value)).collect(),
        Kind::Scalar(_) | Kind::List(_) => Vec::new(),
    }
}

fn list(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        Kind::Scalar(_) | Kind::Map(_) => &[],
    }
}

fn text(node: &Node) -> &str {
    match &node.kind {
        Kind::Scalar(scalar) => &scalar.text,
        Kind::List(_) | Kind::Map(_) => "",
    }
}

fn text_of<'a>(node: &'a Node, key: &str) -> &'a str {
    member(node, key).map(text).unwrap_or_default()
}

/// The node as JSON with texts alone.
fn json(node: &Node) -> Json {
    match &node.kind {
        Kind::Scalar(scalar) => Json::String(scalar.text.clone()),
        Kind::List(items) => Json::Array(items.iter().map(json).collect()),
        Kind::Map(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect())
        }
    }
}

/// The node as YAML on one line, all texts quoted.
fn quoted(node: &Node) -> String {
    json(node).to_string()
}
