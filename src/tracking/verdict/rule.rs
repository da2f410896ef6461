//! When an answer means what: one rule of a network, and what it looks at.

use std::cell::OnceCell;

use aho_corasick::AhoCorasick;
use regex::bytes::Regex;
use serde_json::Value;

use super::{Answer, Judgement, asks_for_patience};

/// When an answer means what.
#[derive(Clone, Debug)]
pub struct VerdictRule {
    /// Which statuses it applies to; empty: all but those that ask for patience.
    pub status: Vec<StatusPattern>,
    /// What the body must be like; all must hold.
    pub body: Vec<BodyPattern>,
    /// What it then means.
    pub judgement: Judgement,
}

/// `200` or `2xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusPattern {
    /// Exactly this status.
    Exactly(u16),
    /// All statuses with this first digit.
    Class(u16),
}

/// A condition on the body of an answer.
#[derive(Clone, Debug)]
pub enum BodyPattern {
    /// The body without surrounding white space.
    Is(String),
    /// A text anywhere in the body.
    Has(AhoCorasick),
    /// The first text of the body, white space before it ignored.
    Starts(String),
    /// A pattern anywhere in the body.
    Matches(Regex),
    /// A JSON pointer (RFC 6901) and what it must lead to.
    Json(String, JsonPattern),
}

/// What a JSON pointer must lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonPattern {
    /// A scalar with this text.
    Equals(String),
    /// An empty list, object or text, null, or nothing.
    Empty,
    /// The opposite of `Empty`.
    NonEmpty,
}

impl VerdictRule {
    pub(super) fn matches(&self, answer: Answer<'_>, json: &OnceCell<Option<Value>>) -> bool {
        let status_fits = if self.status.is_empty() {
            !asks_for_patience(answer.status)
        } else {
            self.status.iter().any(|pattern| pattern.matches(answer.status))
        };
        status_fits
            && self.body.iter().all(|pattern| {
                answer.body.is_some_and(|body| match pattern {
                    BodyPattern::Json(pointer, expected) => json
                        .get_or_init(|| serde_json::from_slice(body).ok())
                        .as_ref()
                        .is_some_and(|document| expected.matches(document.pointer(pointer))),
                    BodyPattern::Is(text) => body.trim_ascii() == text.as_bytes(),
                    BodyPattern::Has(text) => text.is_match(body),
                    BodyPattern::Starts(text) => body.trim_ascii_start().starts_with(text.as_bytes()),
                    BodyPattern::Matches(regex) => regex.is_match(body),
                })
            })
    }
}

impl StatusPattern {
    /// Reads `200` or `2xx`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => Some(Self::Class(u16::from(class - b'0'))),
            [b'1'..=b'5', _, _] => text.parse().ok().map(Self::Exactly),
            _ => None,
        }
    }

    /// Whether this pattern includes the status.
    #[must_use]
    pub const fn matches(self, status: u16) -> bool {
        match self {
            Self::Exactly(exactly) => status == exactly,
            Self::Class(class) => status / 100 == class,
        }
    }
}

impl BodyPattern {
    /// A text anywhere in the body, upper and lower case told apart.
    #[must_use]
    pub fn has(text: &str) -> Option<Self> {
        AhoCorasick::new([text]).ok().map(Self::Has)
    }
}

impl JsonPattern {
    fn matches(&self, found: Option<&Value>) -> bool {
        match self {
            Self::Empty => is_empty(found),
            Self::NonEmpty => !is_empty(found),
            Self::Equals(text) => match found {
                Some(Value::String(value)) => value == text,
                Some(Value::Bool(value)) => text == if *value { "true" } else { "false" },
                Some(Value::Number(value)) => text.as_str() == value.to_string(),
                Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
            },
        }
    }
}

fn is_empty(found: Option<&Value>) -> bool {
    match found {
        None | Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Bool(_) | Value::Number(_)) => false,
    }
}
