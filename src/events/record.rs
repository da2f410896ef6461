//! One record: the same columns for every sink, and what stands in them.
//!
//! The columns are those that server-side tag managers log of their tags (Stape's templates for
//! Google Tag Manager, 2026-11), so that tables and reports made for them go on working. Clicks,
//! decisions and verdicts have no columns of their own: their word stands as a small JSON object where
//! the answer of a network would stand.

use std::{fmt, sync::Arc};

use http::HeaderMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

use super::{PageRequest, Personal, veil};
use crate::{
    delivery::{Destination, client::Reply},
    store::{Settled, mask},
    tracking::{
        click::ClickResult,
        conversion::Outcome,
        event::{Event, EventId},
        postback::PostbackRule,
        timestamp::Timestamp,
    },
};

/// What happened, at one moment, for one network.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// When.
    #[serde(serialize_with = "as_rfc3339")]
    pub timestamp: Timestamp,
    /// The network's key.
    pub tag_name: Arc<str>,
    /// What.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The conversion's name; none for clicks.
    pub event_name: Option<Arc<str>>,
    /// The event id, which all records of one postback share; none where there is no postback.
    pub trace_id: Option<EventId>,
    /// The site's name.
    pub site: Arc<str>,
    /// Of the request to the network; of a click or a hit, of the visitor's.
    pub request_method: Option<String>,
    /// Of the request to the network; of a click or a hit, of the visitor's; cut at [`MAX_URL`].
    pub request_url: Option<String>,
    /// Of the request to the network, cut at [`MAX_BODY`]; none if it has no body.
    pub request_body: Option<String>,
    /// What the network answered.
    pub response_status_code: Option<u16>,
    /// What the network answered, as a JSON object, cut at [`MAX_HEADERS`].
    pub response_headers: Option<String>,
    /// What the network answered, cut at [`MAX_BODY`]; or the word of a click, a decision, a verdict.
    pub response_body: Option<String>,
    /// That word alone; not part of what sinks get.
    #[serde(skip)]
    pub word: Option<&'static str>,
}

/// What a record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Kind {
    /// A click parameter arrived; the word says what became of it.
    Click,
    /// A hit was decided; the word is the outcome.
    Conversion,
    /// An attempt to deliver a postback begins.
    Request,
    /// The network has answered it.
    Response,
    /// What came of the attempt, or of the postback without one: the word is the verdict, or `retry`.
    Verdict,
}

impl Record {
    /// The columns in their order.
    pub const COLUMNS: [&str; 12] = [
        "timestamp",
        "tag_name",
        "type",
        "event_name",
        "trace_id",
        "site",
        "request_method",
        "request_url",
        "request_body",
        "response_status_code",
        "response_headers",
        "response_body",
    ];

    /// A click parameter arrived.
    #[must_use]
    pub fn click(now: Timestamp, site: &Arc<str>, network: &Arc<str>, result: ClickResult) -> Self {
        Self::about(Kind::Click, now, site, network).saying("result", result.as_str(), None)
    }

    /// A hit was decided for one network; `id` is that of its row, if there is one.
    #[must_use]
    pub fn conversion(
        now: Timestamp,
        (site, conversion, network): (&Arc<str>, &Arc<str>, &Arc<str>),
        id: Option<EventId>,
        outcome: Outcome,
    ) -> Self {
        let record = Self::about(Kind::Conversion, now, site, network).saying("outcome", outcome.as_str(), None);
        Self { event_name: Some(Arc::clone(conversion)), trace_id: id, ..record }
    }

    /// The same with the page that the visitor asked for, if it may be told.
    #[must_use]
    pub fn on(self, page: Option<&PageRequest>, personal: Personal) -> Self {
        let Some(page) = page else { return self };
        let url = cut(page.url(personal), MAX_URL);
        Self { request_method: Some(page.method().to_owned()), request_url: Some(url), ..self }
    }

    /// A request about an event is on its way.
    ///
    /// It is built again for this, from the event without what is personal, so nothing that was made
    /// of personal values is in it either.
    #[must_use]
    pub fn request(now: Timestamp, event: &Event, rule: &PostbackRule, to: &Destination, personal: Personal) -> Self {
        let record = Self::of(Kind::Request, now, event);
        let rendered = match personal {
            Personal::Keep => rule.render(event),
            Personal::Mask => rule.render(&mask::masked(event)),
        };
        let show = |text: &[u8]| {
            let shown = to.outbound.mask.masked(text);
            let shown = String::from_utf8_lossy(&shown);
            if personal == Personal::Mask { veil::without_traces(&shown) } else { shown.into_owned() }
        };
        // What cannot be built without its personal values is only named.
        let Ok(postback) = rendered else {
            return Self { request_method: Some(rule.request.method.to_string()), ..record };
        };
        let body = Some(postback.body).filter(|body| !body.is_empty());
        Self {
            request_method: Some(postback.method.to_string()),
            // An apostrophe is all that an address writes otherwise than templates do.
            request_url: Some(cut(show(postback.url.as_str().replace("%27", "'").as_bytes()), MAX_URL)),
            request_body: body.map(|body| cut(show(&body), MAX_BODY)),
            ..record
        }
    }

    /// A network has answered; `body` comes without secrets.
    #[must_use]
    pub fn response(now: Timestamp, event: &Event, reply: &Reply, body: &[u8], personal: Personal) -> Self {
        let veil = (personal == Personal::Mask).then(|| veil::Veil::over(&event.payload));
        let show = |text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            veil.as_ref().map_or_else(|| text.to_string(), |veil| veil.hide(&text))
        };
        let headers = headers(&reply.headers, &|value| show(&reply.masked(value)));
        Self {
            response_status_code: Some(reply.status),
            response_headers: Some(headers),
            // First hidden, then cut: half an address would not be recognised.
            response_body: Some(cut(show(body), MAX_BODY)),
            ..Self::of(Kind::Response, now, event)
        }
    }

    /// What came of an attempt, or of an event that is not sent.
    #[must_use]
    pub fn verdict(now: Timestamp, event: &Event, outcome: Settled) -> Self {
        let (word, reason) = match outcome {
            Settled::Final(verdict) => (verdict.as_str(), verdict.reason()),
            Settled::Retry { reason, .. } => ("retry", Some(reason.as_str())),
        };
        Self::of(Kind::Verdict, now, event).saying("verdict", word, reason)
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        let texts =
            [&self.request_method, &self.request_url, &self.request_body, &self.response_headers, &self.response_body];
        size_of::<Self>() + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// As one JSON object, every column in it.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts and numbers always are.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn of(kind: Kind, now: Timestamp, event: &Event) -> Self {
        let record = Self::about(kind, now, &event.site, &event.network);
        Self { event_name: Some(Arc::clone(&event.conversion)), trace_id: Some(event.id), ..record }
    }

    fn about(kind: Kind, timestamp: Timestamp, site: &Arc<str>, network: &Arc<str>) -> Self {
        Self {
            timestamp,
            tag_name: Arc::clone(network),
            kind,
            event_name: None,
            trace_id: None,
            site: Arc::clone(site),
            request_method: None,
            request_url: None,
            request_body: None,
            response_status_code: None,
            response_headers: None,
            response_body: None,
            word: None,
        }
    }

    fn saying(self, key: &str, word: &'static str, reason: Option<&str>) -> Self {
        let body = match reason {
            None => json!({ key: word }),
            Some(reason) => json!({ key: word, "reason": reason }),
        };
        Self { word: Some(word), response_body: Some(body.to_string()), ..self }
    }
}

/// An answer may repeat anything, so little of it is shown.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("kind", &self.kind)
            .field("site", &self.site)
            .field("tag_name", &self.tag_name)
            .field("word", &self.word)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
fn as_rfc3339<S: Serializer>(timestamp: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp.rfc3339())
}

/// Headers as a JSON object, as many as there is room for.
fn headers(headers: &HeaderMap, show: &dyn Fn(&[u8]) -> String) -> String {
    let (mut members, mut room) = (Map::new(), MAX_HEADERS);
    for name in headers.keys() {
        let values = headers.get_all(name).iter();
        // One name with very many values must not be more work than there is room.
        let texts: Vec<String> = values.take(MAX_VALUES).map(|value| text(name.as_str(), value, show)).collect();
        let shown = texts.join(", ");
        // In JSON; a control character takes six bytes, and headers hold none but tabs.
        let Some(rest) = room.checked_sub(name.as_str().len() + 2 * shown.len() + 8) else { break };
        room = rest;
        members.insert(name.as_str().to_owned(), Json::String(shown));
    }
    Json::Object(members).to_string()
}

fn text(name: &str, value: &http::HeaderValue, show: &dyn Fn(&[u8]) -> String) -> String {
    if UNSHOWN.contains(&name) || value.is_sensitive() {
        return veil::STARS.to_owned();
    }
    cut(show(value.as_bytes()), MAX_VALUE)
}

fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

/// The most of a body, in bytes.
pub const MAX_BODY: usize = 2 << 10;
/// The most of an address, in bytes.
pub const MAX_URL: usize = 4 << 10;
/// The most of all headers of an answer, in bytes.
pub const MAX_HEADERS: usize = 4 << 10;
const MAX_VALUE: usize = 512;
const MAX_VALUES: usize = 16;
/// They hold what stands for somebody.
const UNSHOWN: [&str; 4] = ["set-cookie", "www-authenticate", "proxy-authenticate", "authentication-info"];

#[cfg(test)]
mod tests;
