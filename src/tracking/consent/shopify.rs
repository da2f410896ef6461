//! `Shopify`: `_tracking_consent`, JSON with the visitor's choice under `con`.
//!
//! `purposes` and the cookie `_cmp_a` are what holds by default in the visitor's region, not a choice.
//! A compact form, `3.AMPS_…`, is not read.

use http::HeaderMap;
use serde_json::Value;

use super::{Reading, jar};

pub(super) fn read(headers: &HeaderMap) -> Reading {
    jar::read(headers, "_tracking_consent", choice_in)
}

fn choice_in(text: &str) -> Reading {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return Reading::Undecided;
    }
    let saved = jar::object(text);
    let Some(Value::Object(choices)) = saved.as_ref().and_then(|saved| saved.get("con")) else {
        return Reading::Denied;
    };
    // Version 2.1, then 2.0.
    let marketing = choices.get("CMP").and_then(|choices| choices.get("m")).or_else(|| choices.get("GDPR"));
    match marketing {
        None => Reading::Undecided,
        Some(Value::String(choice)) if choice.is_empty() => Reading::Undecided,
        Some(choice) => Reading::of(choice.as_str() == Some("1")),
    }
}
