//! Values: where a field of a conversion is read, and what it is when it stands in the configuration.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use regex::Regex;

use super::{
    cookie,
    template::{Encoding, Scope, Template},
};

/// A configured value.
#[derive(Clone, Debug)]
pub enum Value {
    /// The text itself.
    Literal(String),
    /// A text with slots.
    Template(Template),
    /// Read from the visitor's request.
    Source(Source, Option<Regex>),
    /// The first that yields.
    FirstOf(Vec<Self>),
}

/// A place in the visitor's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A query parameter.
    Query(String),
    /// A named segment of the path.
    Path(String),
    /// A request header.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
}

/// The visitor's request, as far as sources can see it.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The query without its `?`, empty when there is none.
    pub query: &'a str,
    /// Named segments of the path that matched.
    pub path: &'a [(String, String)],
    /// All headers.
    pub headers: &'a HeaderMap,
}

impl Source {
    /// The kinds a source can begin with, as they are written.
    pub const KINDS: [&'static str; 4] = ["query", "path", "header", "cookie"];

    /// Reads `KIND.NAME`; `None` when it does not begin with a kind.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let (kind, name) = text.split_once('.')?;
        let source = match kind {
            "query" => Self::Query(name.to_owned()),
            "path" => Self::Path(name.to_owned()),
            "cookie" => Self::Cookie(name.to_owned()),
            "header" => match HeaderName::try_from(name) {
                Ok(name) => Self::Header(name),
                Err(_) => return Some(Err(format!("`{name}` is not the name of a header"))),
            },
            _ => return None,
        };
        Some(if name.is_empty() { Err(format!("a name is missing after `{kind}.`")) } else { Ok(source) })
    }

    /// What stands there, decoded; `None` when it is absent, empty, oversized or not clean text.
    #[must_use]
    pub fn read(&self, request: RequestView<'_>) -> Option<String> {
        let found: Cow<'_, str> = match self {
            Self::Query(name) => decode_form(QueryPairs::new(request.query).named(name).next()?)?,
            Self::Path(name) => request.path.iter().find(|(path, _)| path == name)?.1.as_str().into(),
            Self::Header(name) => request.headers.get(name)?.to_str().ok()?.into(),
            Self::Cookie(name) => percent_decode_str(cookie::find(request.headers, name)?).decode_utf8().ok()?,
        };
        let text = found.trim();
        let clean = !text.is_empty() && text.len() <= MAX_FIELD && !text.chars().any(char::is_control);
        clean.then(|| text.to_owned())
    }
}

impl Value {
    /// The value for this request; names in templates come from `scope`.
    #[must_use]
    pub fn read(&self, request: RequestView<'_>, scope: &dyn Scope) -> Option<String> {
        match self {
            Self::Literal(text) => Some(text.clone()),
            Self::Template(template) => template.render(scope, Encoding::Raw),
            Self::Source(source, None) => source.read(request),
            Self::Source(source, Some(regex)) => {
                let text = source.read(request)?;
                let found = regex.captures(&text)?;
                found
                    .get(1)
                    .or_else(|| found.get(0))
                    .map(|part| part.as_str().to_owned())
                    .filter(|part| !part.is_empty())
            }
            Self::FirstOf(values) => values.iter().find_map(|value| value.read(request, scope)),
        }
    }

    /// Whether the visitor's request is needed to know it.
    #[must_use]
    pub fn is_captured(&self) -> bool {
        match self {
            Self::Source(..) => true,
            Self::Literal(_) | Self::Template(_) => false,
            Self::FirstOf(values) => values.iter().any(Self::is_captured),
        }
    }
}

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
}

/// Whether a raw name in a query is this one.
pub(super) fn is_name(raw: &str, name: &str) -> bool {
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
fn decode_form(raw: &str) -> Option<Cow<'_, str>> {
    if raw.contains('+') {
        let spaced = raw.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()))
    } else {
        percent_decode_str(raw).decode_utf8().ok()
    }
}

/// Longest field in bytes; a longer one is left out.
const MAX_FIELD: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str, query: &str, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, http::HeaderValue::from_static(value));
        }
        let path = [("order_id".to_owned(), "A 7".to_owned())];
        Source::parse(source).expect("a kind").expect("a source").read(RequestView {
            query,
            path: &path,
            headers: &map,
        })
    }

    #[test]
    fn sources_read_decoded_text() {
        assert_eq!(read("query.total", "a=1&total=49%2E90", &[]).as_deref(), Some("49.90"));
        assert_eq!(read("query.name", "name=J+D%C3%B6", &[]).as_deref(), Some("J Dö"));
        assert_eq!(read("path.order_id", "", &[]).as_deref(), Some("A 7"));
        assert_eq!(read("header.X-Order", "", &[("x-order", "7")]).as_deref(), Some("7"));
        assert_eq!(read("cookie.cart", "", &[("cookie", "a=b; cart=x%20y")]).as_deref(), Some("x y"));
    }

    #[test]
    fn what_is_not_clean_text_yields_nothing() {
        assert_eq!(read("query.a", "a=", &[]), None);
        assert_eq!(read("query.a", "a=%00", &[]), None);
        assert_eq!(read("query.a", "a=%ff", &[]), None);
        assert_eq!(read("query.a", &format!("a={}", "x".repeat(1025)), &[]), None);
    }

    struct Nothing;

    impl Scope for Nothing {
        fn lookup(&self, _: &str) -> Option<crate::tracking::event::Datum> {
            None
        }
    }

    #[test]
    fn a_pattern_takes_its_group() {
        let value = Value::Source(Source::Query("o".into()), Regex::new("^WC-([0-9]+)$").ok());
        let headers = HeaderMap::new();
        let read = |query| value.read(RequestView { query, path: &[], headers: &headers }, &Nothing);
        assert_eq!(read("o=WC-17").as_deref(), Some("17"));
        assert_eq!(read("o=17"), None);
    }
}
