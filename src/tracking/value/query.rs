//! The pairs of a raw query.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The pairs of a raw query.
#[derive(Clone, Debug)]
pub struct QueryPairs<'a> {
    rest: Option<&'a str>,
}

impl<'a> QueryPairs<'a> {
    /// Walks over a query without its `?`.
    #[must_use]
    pub const fn new(query: &'a str) -> Self {
        Self { rest: Some(query) }
    }

    /// The raw values of all pairs with this (decoded) name.
    pub fn named(self, name: &str) -> impl Iterator<Item = &'a str> {
        self.filter_map(move |(raw_name, value)| is_name(raw_name, name).then_some(value))
    }

    /// The decoded values of all pairs with this name.
    pub fn named_decoded(self, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
        self.named(name).filter_map(decode_form)
    }
}

/// Whether a raw name in a query is this one.
pub(in crate::tracking) fn is_name(raw: &str, name: &str) -> bool {
    if memchr::memchr2(b'%', b'+', raw.as_bytes()).is_some() {
        decode_form(raw).is_some_and(|decoded| decoded == name)
    } else {
        raw == name
    }
}

impl<'a> Iterator for QueryPairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let pair = match memchr::memchr(b'&', rest.as_bytes()).and_then(|at| rest.split_at_checked(at)) {
            Some((pair, after)) => {
                self.rest = after.get(1..);
                pair
            }
            None => {
                self.rest = None;
                rest
            }
        };
        Some(pair.split_once('=').unwrap_or((pair, "")))
    }
}

/// Decodes as forms are encoded: `+` is a space.
pub(super) fn decode_form(raw: &str) -> Option<Cow<'_, str>> {
    if raw.contains('+') {
        let spaced = raw.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()))
    } else {
        percent_decode_str(raw).decode_utf8().ok()
    }
}
