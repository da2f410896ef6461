//! JSON documents of bounded length and depth, and their values as text.

use serde_json::Value;

use super::{Unreadable, media::MediaType};

/// Parses a document; its depth is bounded at 128 by the parser.
///
/// JSON is UTF-8 (RFC 8259, section 8.1); older sites that declare another encoding are believed.
pub(super) fn read(bytes: &[u8], overflowed: bool, media: &MediaType) -> Result<Value, Unreadable> {
    if overflowed {
        return Err(Unreadable::TooLong);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(charset) = media.charset.filter(|charset| *charset != encoding_rs::UTF_8) {
        let text = charset.decode_without_bom_handling_and_without_replacement(bytes).ok_or(Unreadable::Malformed)?;
        return serde_json::from_str(&text).map_err(|_| Unreadable::Malformed);
    }
    serde_json::from_slice(bytes).map_err(|_| Unreadable::Malformed)
}

/// A string, a number or a truth value as text; lists, objects and null have none.
///
/// A number that the parser could keep only roughly has none either: an order's number must be its
/// number. Such numbers are beyond 2^53, or very small.
#[must_use]
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => {
            let is_exact = number.is_i64() || number.is_u64();
            let is_close = || number.as_f64().is_some_and(|float| float.abs() < 9_007_199_254_740_992.0);
            let text = number.to_string();
            (is_exact || (is_close() && !text.contains('e'))).then_some(text)
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
