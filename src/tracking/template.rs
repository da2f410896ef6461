//! Texts with `{name|filter}` slots.
//!
//! A template yields nothing as soon as one of its slots does: half a value on the wire would be
//! worse than none. What a name stands for is the caller's affair ([`Scope`]); how a value is
//! escaped for its place is decided by whoever renders ([`Encoding`]).

use std::{borrow::Cow, collections::BTreeSet, fmt};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    amount::Amount,
    digest::{Algorithm, Writing},
    event::Datum,
    personal::{Hash, sha256_hex},
};

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

#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    /// Of the text as networks compare personal values.
    Sha256(Writing),
    /// Of the text as it is.
    Digest(Algorithm, Writing),
    /// With the key of this name.
    Hmac(Algorithm, String, Writing),
    /// Of the text itself; behind a checksum, its bytes are written so in the first place.
    Base64(Writing),
    Cents,
    Negate,
    Lower,
    Upper,
    Or(String),
    OrEmpty,
    Join(String),
    WhenZero(String),
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
        self.filters
            .iter()
            .filter_map(|filter| match filter {
                Filter::WhenZero(name) => Some(name.as_str()),
                Filter::Sha256(_)
                | Filter::Digest(..)
                | Filter::Hmac(..)
                | Filter::Base64(_)
                | Filter::Cents
                | Filter::Negate
                | Filter::Lower
                | Filter::Upper
                | Filter::Or(_)
                | Filter::OrEmpty
                | Filter::Join(_) => None,
            })
            .collect()
    }

    /// The names of the keys that its checksums are made with.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.filters.iter().filter_map(|filter| match filter {
            Filter::Hmac(_, name, _) => Some(name.as_str()),
            Filter::Sha256(_)
            | Filter::Digest(..)
            | Filter::Base64(_)
            | Filter::Cents
            | Filter::Negate
            | Filter::Lower
            | Filter::Upper
            | Filter::Or(_)
            | Filter::OrEmpty
            | Filter::Join(_)
            | Filter::WhenZero(_) => None,
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

impl Filter {
    fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name.trim(), Some(argument.trim().trim_matches('"').to_owned())),
            None => (text.trim(), None),
        };
        match (name, argument) {
            ("sha256", None) => Ok(Self::Sha256(Writing::Hex)),
            ("md5", None) => Ok(Self::Digest(Algorithm::Md5, Writing::Hex)),
            ("sha1", None) => Ok(Self::Digest(Algorithm::Sha1, Writing::Hex)),
            ("sha512", None) => Ok(Self::Digest(Algorithm::Sha512, Writing::Hex)),
            ("hmac_sha1", Some(key)) => Ok(Self::Hmac(Algorithm::Sha1, key, Writing::Hex)),
            ("hmac_sha256", Some(key)) => Ok(Self::Hmac(Algorithm::Sha256, key, Writing::Hex)),
            ("hmac_sha512", Some(key)) => Ok(Self::Hmac(Algorithm::Sha512, key, Writing::Hex)),
            ("base64", None) => Ok(Self::Base64(Writing::Base64)),
            ("base64url", None) => Ok(Self::Base64(Writing::Base64Url)),
            ("cents", None) => Ok(Self::Cents),
            ("negate", None) => Ok(Self::Negate),
            ("lower", None) => Ok(Self::Lower),
            ("upper", None) => Ok(Self::Upper),
            ("or_empty", None) => Ok(Self::OrEmpty),
            ("or", Some(default)) => Ok(Self::Or(default)),
            ("join", Some(separator)) => Ok(Self::Join(separator)),
            ("when_zero", Some(name)) => Ok(Self::WhenZero(name)),
            ("or", None) => Err(InvalidTemplate::Argument("or", "or:\"0\"")),
            ("join", None) => Err(InvalidTemplate::Argument("join", "join:\",\"")),
            ("when_zero", None) => Err(InvalidTemplate::Argument("when_zero", "when_zero:NAME")),
            ("hmac_sha1", None) => Err(InvalidTemplate::Argument("hmac_sha1", "hmac_sha1:SETTING")),
            ("hmac_sha256", None) => Err(InvalidTemplate::Argument("hmac_sha256", "hmac_sha256:SETTING")),
            ("hmac_sha512", None) => Err(InvalidTemplate::Argument("hmac_sha512", "hmac_sha512:SETTING")),
            _ => Err(InvalidTemplate::Filter(name.to_owned())),
        }
    }

    fn apply(&self, datum: Option<Datum>, scope: &dyn Scope) -> Option<Datum> {
        match self {
            Self::Or(default) => datum.or_else(|| Some(Datum::One(default.clone()))),
            Self::OrEmpty => datum.or_else(|| Some(Datum::One(String::new()))),
            Self::Join(separator) => datum.map(|datum| match datum {
                Datum::Many(texts) => Datum::One(texts.join(separator)),
                one @ Datum::One(_) => one,
            }),
            Self::WhenZero(name) => datum.filter(|_| scope.lookup(name).is_none_or(|other| is_zero(&other))),
            Self::Sha256(Writing::Hex) => each(datum, |text| Some(sha256(text))),
            Self::Sha256(writing) => each(datum, |text| Some(writing.text(&from_hex(&sha256(text))))),
            Self::Digest(algorithm, writing) => {
                each(datum, |text| Some(writing.text(&algorithm.digest(text.as_bytes()))))
            }
            Self::Hmac(algorithm, key, writing) => {
                // Without its key a checksum would be somebody else's.
                let Datum::One(key) = scope.lookup(key)? else { return None };
                each(datum, |text| Some(writing.text(&algorithm.hmac(key.as_bytes(), text.as_bytes()))))
            }
            Self::Base64(writing) => each(datum, |text| Some(writing.text(text.as_bytes()))),
            Self::Cents => each(datum, cents),
            Self::Negate => each(datum, |text| Some(Amount::plain(text)?.negated().text())),
            Self::Lower => each(datum, |text| Some(text.to_lowercase())),
            Self::Upper => each(datum, |text| Some(text.to_uppercase())),
        }
    }
}

fn each(datum: Option<Datum>, change: impl Fn(&str) -> Option<String>) -> Option<Datum> {
    match datum? {
        Datum::One(text) => change(&text).map(Datum::One),
        Datum::Many(texts) => texts.iter().map(|text| change(text)).collect::<Option<_>>().map(Datum::Many),
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

/// The bytes that pairs of hex digits stand for.
fn from_hex(digits: &str) -> Vec<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or(0);
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    pairs.iter().map(|[high, low]| value(*high) << 4 | value(*low)).collect()
}

/// `49.9` → `4990`; nothing where that would not be exact.
fn cents(text: &str) -> Option<String> {
    Some(Amount::plain(text)?.to_units(2)?.text())
}

fn is_zero(datum: &Datum) -> bool {
    match datum {
        Datum::One(text) => text.is_empty() || Amount::plain(text.trim()).is_some_and(|amount| amount.is_zero()),
        Datum::Many(texts) => texts.is_empty(),
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

const FILTERS: &str = "sha256, md5, sha1, sha512, hmac_sha1, hmac_sha256, hmac_sha512, base64, base64url, cents, \
                       negate, lower, upper, or, or_empty, join, when_zero";

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
