//! Texts with `{name|filter}` slots.
//!
//! A template yields nothing as soon as one of its slots does: half a value on the wire would be
//! worse than none. What a name stands for is the caller's affair ([`Scope`]); how a value is
//! escaped for its place is decided by whoever renders ([`Encoding`]).

use std::{borrow::Cow, collections::BTreeSet, fmt};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    digest::Writing,
    event::Datum,
    personal::{Hash, sha256_hex},
};
use filter::{Asks, FILTERS, Filter};

mod filter;

/// A parsed template.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    /// Whether its text is shown to nobody.
    is_secret: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Slot(Slot),
}

/// `{name|filter|filter}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What is looked up.
    pub name: String,
    filters: Vec<Filter>,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A `{` without its `}`.
    #[error("`{{` without a closing `}}`")]
    Unclosed,
    /// A `}` without its `{`.
    #[error("`}}` without an opening `{{`; write `}}}}` for the character itself")]
    Unopened,
    /// Nothing, or something odd, where a name belongs.
    #[error("`{0}` is not a name")]
    Name(String),
    /// No such filter.
    #[error("there is no filter `{0}`; there are {FILTERS}")]
    Filter(String),
    /// A filter that needs an argument, or takes none.
    #[error("the filter `{0}` is written {1}")]
    Argument(&'static str, &'static str),
}

/// What names stand for.
pub trait Scope {
    /// The value of a name; empty values count as none.
    fn lookup(&self, name: &str) -> Option<Datum>;
}

/// How a slot's value is written in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is (JSON members and headers, which escape themselves).
    Raw,
    /// As JavaScript's `encodeURIComponent` writes it.
    Component,
}

impl Template {
    /// Reads `text {name|filter:"argument"} text`; `{{` and `}}` stand for the braces themselves.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                plain.push_str(brace.get(..1).unwrap_or_default());
                rest = after;
            } else if let Some(slot) = brace.strip_prefix('{') {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                let (slot, after) = Slot::parse(slot)?;
                pieces.push(Piece::Slot(slot));
                rest = after;
            } else {
                return Err(InvalidTemplate::Unopened);
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces, is_secret: false })
    }

    /// A template without slots.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        Self { pieces: vec![Piece::Text(text.into())], is_secret: false }
    }

    /// A text without slots that is shown to nobody.
    #[must_use]
    pub fn secret(text: impl Into<String>) -> Self {
        Self::literal(text).hidden()
    }

    /// The same template, shown to nobody.
    #[must_use]
    pub fn hidden(self) -> Self {
        Self { is_secret: true, ..self }
    }

    /// Whether its text is shown to nobody.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.is_secret
    }

    /// The text, when there are no slots.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// All slots in order.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Slot(slot) => Some(slot),
            Piece::Text(_) => None,
        })
    }

    /// As [`render`](Self::render), but without a copy of a text that has no slots.
    #[must_use]
    pub fn text(&self, scope: &dyn Scope, encoding: Encoding) -> Option<Cow<'_, str>> {
        match self.as_literal() {
            Some(text) => Some(text.into()),
            None => self.render(scope, encoding).map(Cow::Owned),
        }
    }

    /// The whole text, or `None` as soon as one slot yields nothing.
    #[must_use]
    pub fn render(&self, scope: &dyn Scope, encoding: Encoding) -> Option<String> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Slot(slot) => {
                    let value = slot.value(scope)?;
                    match encoding {
                        Encoding::Raw => out.push_str(&value),
                        Encoding::Component => encode_component(&value, &mut out),
                    }
                }
            }
        }
        Some(out)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_secret {
            return f.write_str("Template(***)");
        }
        f.debug_tuple("Template").field(&self.pieces).finish()
    }
}

impl Slot {
    fn parse(text: &str) -> Result<(Self, &str), InvalidTemplate> {
        let end = end_of_slot(text).ok_or(InvalidTemplate::Unclosed)?;
        let (inside, after) = text.split_at(end);
        let mut parts = split_filters(inside).into_iter();
        let name = parts.next().unwrap_or_default().trim();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
            return Err(InvalidTemplate::Name(name.to_owned()));
        }
        let mut filters = Vec::new();
        for part in parts {
            let filter = Filter::parse(part)?;
            match (filters.last_mut(), &filter) {
                (
                    Some(Filter::Sha256(writing) | Filter::Digest(_, writing) | Filter::Hmac(_, _, writing)),
                    Filter::Base64(base64),
                ) if *writing == Writing::Hex => *writing = *base64,
                _ => filters.push(filter),
            }
        }
        Ok((Self { name: name.to_owned(), filters }, after.strip_prefix('}').unwrap_or(after)))
    }

    /// Whether the value leaves this slot only as a hash.
    #[must_use]
    pub fn is_hashed(&self) -> bool {
        self.filters.iter().any(|filter| matches!(filter, Filter::Sha256(_)))
    }

    /// Other names that its filters ask for.
    #[must_use]
    pub fn filter_names(&self) -> BTreeSet<&str> {
        let value = |filter| match Filter::asks_for(filter) {
            Asks::Value(name) => Some(name),
            Asks::Key(_) | Asks::Nothing => None,
        };
        self.filters.iter().filter_map(value).collect()
    }

    /// The names of the keys that its checksums are made with.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.filters.iter().filter_map(|filter| match filter.asks_for() {
            Asks::Key(name) => Some(name),
            Asks::Value(_) | Asks::Nothing => None,
        })
    }

    fn value(&self, scope: &dyn Scope) -> Option<String> {
        let found = scope.lookup(&self.name).filter(|datum| !datum.is_empty());
        let filtered = self.filters.iter().fold(found, |datum, filter| filter.apply(datum, scope))?;
        Some(match filtered {
            Datum::One(text) => text,
            Datum::Many(texts) => texts.join(","),
        })
    }
}

/// SHA-256 in lower-case hex of the trimmed, lower-cased text; a hash already made passes as it is.
///
/// Rokt asks for this form of an e-mail address (docs.rokt.com, Event API, 2026-11).
#[must_use]
pub fn sha256(text: &str) -> String {
    match Hash::of(text) {
        Some(Hash::Sha256(hash)) => hash,
        // Not every text that looks like MD5 is one: shops number orders with 32 hex digits.
        Some(Hash::Other) | None => sha256_hex(text.trim().to_lowercase().as_bytes()),
    }
}

/// Appends the text as JavaScript's `encodeURIComponent` writes it.
pub fn encode_component(text: &str, out: &mut String) {
    out.extend(utf8_percent_encode(text, COMPONENT));
}

/// Where the slot ends: the first `}` outside quotes.
fn end_of_slot(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b'}' && !quoted
    })
}

fn split_filters(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|character| {
        quoted ^= character == '"';
        character == '|' && !quoted
    })
    .collect()
}

/// ECMA-262 section 19.2.6.4: letters, digits and `- _ . ! ~ * ' ( )` stay.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

#[cfg(test)]
mod tests;
