//! What may follow a name in a template: `{email|sha256}`, `{value|cents}`, `{x|or:"0"}`.

use super::{InvalidTemplate, Scope, sha256};
use crate::tracking::{
    amount::Amount,
    digest::{Algorithm, Writing},
    event::Datum,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
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

/// A name besides its own that a filter needs.
pub(super) enum Asks<'a> {
    Nothing,
    Value(&'a str),
    /// Of a checksum.
    Key(&'a str),
}

impl Filter {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidTemplate> {
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

    /// What other name it needs the value of.
    pub(super) fn asks_for(&self) -> Asks<'_> {
        match self {
            Self::WhenZero(name) => Asks::Value(name),
            Self::Hmac(_, name, _) => Asks::Key(name),
            Self::Sha256(_)
            | Self::Digest(..)
            | Self::Base64(_)
            | Self::Cents
            | Self::Negate
            | Self::Lower
            | Self::Upper
            | Self::Or(_)
            | Self::OrEmpty
            | Self::Join(_) => Asks::Nothing,
        }
    }

    pub(super) fn apply(&self, datum: Option<Datum>, scope: &dyn Scope) -> Option<Datum> {
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

pub(super) const FILTERS: &str = "sha256, md5, sha1, sha512, hmac_sha1, hmac_sha256, hmac_sha512, base64, base64url, cents, \
                       negate, lower, upper, or, or_empty, join, when_zero";
