//! The demo's ad networks: ads to click, and everything the proxy reports about the clicks.
//!
//! The endpoints judge as the real ones do (ExoClick: docs.exoclick.com/docs/conversion-tracking-api;
//! Rokt: docs.rokt.com/developers/api-reference/event-api; both read in November 2026). What is shown
//! came from anywhere and is escaped; what is kept is bounded.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use uuid::Uuid;

mod page;

pub use page::escape;

/// What the stand-ins issued and received, shared by clones.
#[derive(Clone, Debug)]
pub struct ReceivedLog {
    shop: Arc<str>,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    issued: VecDeque<String>,
    converted: HashSet<(String, String)>,
    received: VecDeque<Received>,
}

/// One request with its answer, as the page shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Received {
    /// Hours, minutes and seconds in UTC.
    time: String,
    what: What,
    method: String,
    target: String,
    click: String,
    answer: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Click,
    Postback,
    Pixel,
}

impl ReceivedLog {
    /// An empty log of networks whose ads lead to this address of the proxied shop.
    #[must_use]
    pub fn new(shop: &str) -> Self {
        Self { shop: shop.into(), memory: Arc::default() }
    }

    fn issue(&self, target: &Uri) -> String {
        let click = Uuid::new_v4().simple().to_string();
        let mut memory = self.memory();
        memory.issued.push_back(click.clone());
        if memory.issued.len() > BOUND {
            memory.issued.pop_front();
        }
        drop(memory);
        self.note(What::Click, &Method::GET, target, &click, "a visitor goes to the shop");
        click
    }

    fn note(&self, what: What, method: &Method, target: &Uri, click: &str, answer: &str) {
        let now = time::OffsetDateTime::now_utc().time();
        let received = Received {
            time: format!("{:02}:{:02}:{:02}", now.hour(), now.minute(), now.second()),
            what,
            method: method.to_string(),
            target: shortened(&target.to_string()),
            click: shortened(click),
            answer: shortened(answer),
        };
        let mut memory = self.memory();
        memory.received.push_front(received);
        memory.received.truncate(BOUND);
    }

    /// What ExoClick says about a conversion.
    fn judge(&self, goal: &str, tag: &str) -> &'static str {
        let mut memory = self.memory();
        if memory.converted.len() >= 10 * BOUND {
            memory.converted.clear();
        }
        if tag.is_empty() {
            "ERROR: No tag data."
        } else if goal.len() != 32 || !goal.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            "ERROR: Goal ID is invalid."
        } else if !memory.issued.iter().any(|issued| issued == tag) {
            "ERROR: Tag is invalid!"
        } else if memory.converted.insert((tag.to_owned(), goal.to_owned())) {
            "OK"
        } else {
            "ERROR: This conversion has already been notified and saved."
        }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Builds the networks.
pub fn router(log: ReceivedLog) -> Router {
    Router::new()
        .route("/", get(async |State(log): State<ReceivedLog>| Html(page::render(&log))))
        .route("/click/{ad}", get(click))
        .route("/tag.php", get(tag))
        .route("/second/tag.php", get(tag))
        .route("/v2/events", post(events))
        .with_state(log)
}

/// An ad was clicked: the network makes a click ID and sends the visitor to the shop with it.
async fn click(State(log): State<ReceivedLog>, uri: Uri) -> Response {
    let (shop, issue) = (log.shop.clone(), || log.issue(&uri));
    let place = match uri.path() {
        "/click/exoclick" => format!("/?exotracker={}", issue()),
        "/click/moved" => format!("/old-landing?exotracker={}", issue()),
        "/click/rokt" => format!("/?rtid={}", issue()),
        "/click/forged" => "/?exotracker=never-issued-by-anyone".to_owned(),
        "/click/none" => "/".to_owned(),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    Redirect::to(&format!("http://{shop}{place}")).into_response()
}

/// ExoClick's one address: a conversion with `tag`, a cookie-sync pixel without.
async fn tag(State(log): State<ReceivedLog>, method: Method, uri: Uri) -> Response {
    let parameter = |name: &str| parameter(uri.query().unwrap_or_default(), name);
    let Some(tag) = parameter("tag") else {
        log.note(What::Pixel, &method, &uri, "", "a 1x1 image");
        return ([(header::CONTENT_TYPE, "image/gif"), (header::CACHE_CONTROL, "no-store")], PIXEL).into_response();
    };
    let answer = log.judge(&parameter("goal").unwrap_or_default(), &tag);
    log.note(What::Postback, &method, &uri, &tag, answer);
    answer.into_response()
}

/// Rokt's Event API, version 2.
async fn events(State(log): State<ReceivedLog>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let (status, answer, clicks) = if !has_key_pair(&headers) {
        (StatusCode::UNAUTHORIZED, json!({ "data": { "code": "UnauthorizedError" } }), vec![String::new()])
    } else if let Some(clicks) = serde_json::from_slice(&body).ok().as_ref().and_then(clicks_of_events) {
        (StatusCode::OK, json!({ "data": { "unprocessedRecords": [] } }), clicks)
    } else {
        (StatusCode::BAD_REQUEST, json!({ "data": { "code": "RequestValidationError" } }), vec![String::new()])
    };
    for click in clicks {
        log.note(What::Postback, &method, &uri, &click, &answer.to_string());
    }
    (status, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

/// Whether the request carries `Basic base64(public key:secret key)`.
fn has_key_pair(headers: &HeaderMap) -> bool {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
        .and_then(|encoded| BASE64_STANDARD.decode(encoded).ok())
        .and_then(|pair| String::from_utf8(pair).ok())
        .and_then(|pair| pair.split_once(':').map(|(public, secret)| !public.is_empty() && !secret.is_empty()))
        .unwrap_or(false)
}

/// The click ID of each event, empty when it is attributed by e-mail alone; `None` unless there are 1 to 100.
fn clicks_of_events(document: &Value) -> Option<Vec<String>> {
    let events = document.get("events")?.as_array().filter(|events| (1..=100).contains(&events.len()))?;
    let click_of = |event: &Value| {
        event.get("clientEventId")?.as_str()?;
        let data = event.get("objectData")?.as_array()?;
        let click = data.iter().find(|pair| pair["name"] == "passbackconversiontrackingid");
        Some(click.and_then(|pair| pair["value"].as_str()).unwrap_or_default().to_owned())
    };
    events.iter().map(click_of).collect()
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// How many entries, and how many issued click IDs, are remembered.
const BOUND: usize = 200;

/// How many characters of anything are kept.
const LONGEST: usize = 400;

/// A transparent pixel.
const PIXEL: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

#[cfg(test)]
mod tests;
