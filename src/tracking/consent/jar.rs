//! A request's cookies as readers of consent see them: bounded, decoded once, none overlooked.
//!
//! Which of several cookies of one name a browser puts first says nothing of which is right, so all
//! are read and the strictest reading counts.

use std::borrow::Cow;

use http::HeaderMap;
use percent_encoding::percent_decode;
use serde_json::Value;

use super::Reading;
use crate::tracking::cookie;

/// What all cookies of this name say together; the values come decoded.
pub(super) fn read(headers: &HeaderMap, name: &str, read: impl Fn(&str) -> Reading) -> Reading {
    values(headers, name).map(|value| judged(value.as_deref(), &read)).max().into()
}

/// The same for values that are decoded piece by piece.
pub(super) fn read_raw(headers: &HeaderMap, name: &str, read: impl Fn(&str) -> Reading) -> Reading {
    let texts = cookie::find_all(headers, name).map(|raw| bounded(raw).and_then(|raw| std::str::from_utf8(raw).ok()));
    texts.map(|text| judged(text, &read)).max().into()
}

/// The decoded values of all cookies of this name; `None` for one that is no text, or too long.
pub(super) fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = Option<Cow<'a, str>>> {
    cookie::find_all(headers, name).map(decoded)
}

/// A raw value, percent-decoded once.
pub(super) fn decoded(raw: &[u8]) -> Option<Cow<'_, str>> {
    percent_decode(bounded(raw)?).decode_utf8().ok()
}

/// An object in JSON. What nests too deep is none (128 levels, by the parser's own limit).
pub(super) fn object(text: &str) -> Option<Value> {
    serde_json::from_str::<Value>(text).ok().filter(Value::is_object)
}

/// The value, without the quotes in which it may stand (RFC 6265 section 4.1.1).
fn bounded(raw: &[u8]) -> Option<&[u8]> {
    let inner = raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(raw);
    (inner.len() <= MAX_VALUE).then_some(inner)
}

/// An emptied cookie is no choice.
fn judged(value: Option<&str>, read: impl Fn(&str) -> Reading) -> Reading {
    match value {
        None => Reading::Denied,
        Some("") => Reading::Undecided,
        Some(text) => read(text),
    }
}

/// Browsers keep cookies of at most 4 KiB; this leaves room for those that don't.
pub(super) const MAX_VALUE: usize = 8 << 10;
