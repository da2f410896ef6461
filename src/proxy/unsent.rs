//! Requests that are not sent, for people: what a network would have got.
//!
//! They are built from the event without what is personal, and secrets are taken out of what comes of
//! it. A checksum over such values is not the one that would have been sent.

use http::{HeaderName, HeaderValue};

use crate::{
    store::mask::{self, HIDDEN},
    tracking::{event::Event, mask::Mask, postback::PostbackRule},
};

/// The request as it would have gone over the wire; the beginning of a long one.
pub(super) fn request(rule: &PostbackRule, event: &Event, secrets: &Mask) -> String {
    let postback = match rule.render(&mask::masked(event)) {
        Ok(postback) => postback,
        Err(error) => return format!("nothing: {error}"),
    };
    let shown = |(name, value): (&HeaderName, &HeaderValue)| {
        let text = if value.is_sensitive() { HIDDEN.into() } else { String::from_utf8_lossy(value.as_bytes()) };
        format!("{name}: {text}\n")
    };
    let headers: String = postback.headers.iter().map(shown).collect();
    let body = String::from_utf8_lossy(&postback.body);
    let gap = if body.is_empty() { "" } else { "\n" };
    let text = format!("{} {}\n{headers}{gap}{body}", postback.method, postback.url);
    let text = secrets.masked(text.trim_end().as_bytes());
    cut(&String::from_utf8_lossy(&text))
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST);
    match text.get(..end) {
        Some(head) if end < text.len() => format!("{head} …"),
        Some(_) | None => text.to_owned(),
    }
}

/// More than a person reads.
const LONGEST: usize = 4096;
