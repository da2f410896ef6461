//! Decoding of a network's verdict rules.

use regex::bytes::Regex;

use super::decode::{Field, Section};
use crate::tracking::verdict::{
    BodyPattern, JsonPattern, Judgement, Rejection, RetryReason, StatusPattern, Verdict, VerdictRule, VerdictRules,
};

/// Reads the list under `verdict`.
pub fn rules(field: &Field<'_>) -> VerdictRules {
    VerdictRules::new(field.list().unwrap_or_default().iter().filter_map(rule).collect())
}

fn rule(field: &Field<'_>) -> Option<VerdictRule> {
    let mut section = field.section()?;
    let status = section.get("status").map(|field| statuses(&field)).unwrap_or_default();
    let body = bodies(&mut section);
    let judgement = section
        .require("is", "write what the answer means: `is: delivered`")
        .and_then(|field| field.choice(&JUDGEMENTS));
    section.finish();
    Some(VerdictRule { status, body, judgement: judgement? })
}

/// Reads `200`, `2xx`, or a list of them.
pub fn statuses(field: &Field<'_>) -> Vec<StatusPattern> {
    let read = |field: Field<'_>| {
        let text = field.text()?;
        let pattern = StatusPattern::parse(text);
        if pattern.is_none() {
            field.error(
                format!("`{text}` is not a status"),
                Some("write a status (`200`) or a class (`2xx`)".to_owned()),
            );
        }
        pattern
    };
    field.one_or_many().into_iter().filter_map(read).collect()
}

fn bodies(section: &mut Section<'_>) -> Vec<BodyPattern> {
    let mut patterns = Vec::new();
    let text = |field: Field<'_>| field.text().map(ToOwned::to_owned);
    patterns.extend(section.get("body_is").and_then(text).map(|text| BodyPattern::Is(text.trim().to_owned())));
    patterns.extend(section.get("body_has").and_then(text).and_then(|text| BodyPattern::has(&text)));
    patterns.extend(section.get("body_starts").and_then(text).map(BodyPattern::Starts));
    if let Some(field) = section.get("body_matches")
        && let Some(text) = field.text()
    {
        match Regex::new(text) {
            Ok(regex) => patterns.push(BodyPattern::Matches(regex)),
            Err(_) => field.error(format!("`{text}` is not a regular expression"), None),
        }
    }
    for (pointer, expected) in section.get("json").and_then(|field| field.entries()).unwrap_or_default() {
        if !pointer.starts_with('/') {
            expected.error(
                format!("`{pointer}` is not a JSON pointer"),
                Some("a pointer begins with `/` (RFC 6901)".to_owned()),
            );
        } else if let Some(scalar) = expected.scalar() {
            let pattern = match scalar.text.as_str() {
                "empty" if !scalar.quoted => JsonPattern::Empty,
                "non_empty" if !scalar.quoted => JsonPattern::NonEmpty,
                text => JsonPattern::Equals(text.to_owned()),
            };
            patterns.push(BodyPattern::Json(pointer.to_owned(), pattern));
        }
    }
    patterns
}

pub(super) const JUDGEMENTS: [(&str, Judgement); 6] = [
    ("delivered", Judgement::Final(Verdict::Delivered)),
    ("already_known", Judgement::Final(Verdict::AlreadyKnown)),
    ("invalid_click", Judgement::Final(Verdict::InvalidClick)),
    ("rejected", Judgement::Final(Verdict::Rejected(Rejection::Answer))),
    ("unclear", Judgement::Final(Verdict::Unclear)),
    ("retry", Judgement::Retry(RetryReason::Status)),
];
