//! Values: where a field of a conversion is read, and what it is when it stands in the configuration.

use regex::Regex;
use serde_json::Value as Json;

use super::{
    amount::{Amount, DecimalMark, DoubtfulAmount},
    template::{Encoding, Scope, Template},
};

mod query;
mod source;
mod view;

pub use query::QueryPairs;
pub(super) use query::is_name;
pub use source::{PageSource, Source};
pub use view::{PageValues, RequestView, View};

/// A configured value.
#[derive(Clone, Debug)]
pub enum Value {
    /// The text itself.
    Literal(String),
    /// A text with slots.
    Template(Template),
    /// Read from what passes.
    Source(Source, Option<Regex>),
    /// The first that yields.
    FirstOf(Vec<Self>),
    /// An amount that is calculated.
    Amount(Box<AmountValue>),
}

/// `{ from: …, minus: …, minor: … }`.
#[derive(Clone, Debug)]
pub struct AmountValue {
    /// The amount to begin with.
    pub from: Value,
    /// What is taken off: tax, shipping.
    pub minus: Option<Value>,
    /// Whether both are whole numbers of the currency's smallest unit.
    pub is_minor: bool,
}

/// What has to be known to read an amount.
#[derive(Clone, Copy, Debug)]
pub struct Money<'a> {
    /// Which character stands before the fraction, where a text could be read both ways.
    pub mark: DecimalMark,
    /// The currency, for smallest units.
    pub currency: Option<&'a str>,
}

impl Value {
    /// The value as a text; names in templates come from `scope`.
    #[must_use]
    pub fn read<'a>(&self, view: impl Into<View<'a>>, scope: &dyn Scope) -> Option<String> {
        match self.read_json(view.into(), scope)? {
            Json::String(text) => Some(text),
            Json::Number(number) => Some(number.to_string()),
            Json::Bool(truth) => Some(truth.to_string()),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }

    /// The value as it stands there, lists and objects included.
    #[must_use]
    pub fn read_json(&self, view: View<'_>, scope: &dyn Scope) -> Option<Json> {
        match self {
            Self::Literal(text) => Some(Json::String(text.clone())),
            Self::Template(template) => template.render(scope, Encoding::Raw).map(Json::String),
            Self::Source(source, None) => source.read(view),
            Self::Source(source, Some(regex)) => {
                let text = source.read_text(view)?;
                let found = regex.captures(&text)?;
                let part = found.get(1).or_else(|| found.get(0))?.as_str();
                (!part.is_empty()).then(|| Json::String(part.to_owned()))
            }
            Self::FirstOf(values) => values.iter().find_map(|value| value.read_json(view, scope)),
            Self::Amount(amount) => {
                let money = Money { mark: DecimalMark::Unknown, currency: None };
                let amount = amount.read(view, scope, money)?.ok()?;
                Some(Json::String(amount.text()))
            }
        }
    }

    /// The value as an amount: `None` when there is nothing, an error when it could be misread.
    pub fn read_amount(
        &self,
        view: View<'_>,
        scope: &dyn Scope,
        money: Money<'_>,
    ) -> Option<Result<Amount, DoubtfulAmount>> {
        match self {
            Self::FirstOf(values) => values.iter().find_map(|value| value.read_amount(view, scope, money)),
            Self::Amount(amount) => amount.read(view, scope, money),
            Self::Literal(_) | Self::Template(_) | Self::Source(..) => {
                let found = self.read_json(view, scope)?;
                Some(Amount::from_json(&found, money.mark))
            }
        }
    }

    /// Whether the visitor's request, or the answer to it, is needed to know it.
    #[must_use]
    pub fn is_captured(&self) -> bool {
        !self.sources().is_empty()
    }

    /// Whether it may have to be read in the body of the answer.
    #[must_use]
    pub fn is_in_body(&self) -> bool {
        self.sources().into_iter().any(Source::is_in_body)
    }

    /// The place that it is read from; `None` when it stands in the configuration, or nowhere.
    #[must_use]
    pub fn found_in(&self, view: View<'_>, scope: &dyn Scope) -> Option<&Source> {
        match self {
            Self::Source(source, _) => self.read_json(view, scope).map(|_| source),
            Self::Literal(_) | Self::Template(_) => None,
            Self::FirstOf(values) => {
                values.iter().find(|value| value.read_json(view, scope).is_some())?.found_in(view, scope)
            }
            Self::Amount(amount) => amount.from.found_in(view, scope),
        }
    }

    /// The fields whose names its templates use.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Template(template) => template.slots().map(|slot| slot.name.as_str()).collect(),
            Self::Literal(_) | Self::Source(..) => Vec::new(),
            Self::FirstOf(values) => values.iter().flat_map(Self::names).collect(),
            Self::Amount(amount) => {
                amount.from.names().into_iter().chain(amount.minus.iter().flat_map(Self::names)).collect()
            }
        }
    }

    /// All places that it may be read from.
    #[must_use]
    pub fn sources(&self) -> Vec<&Source> {
        match self {
            Self::Source(source, _) => vec![source],
            Self::Literal(_) | Self::Template(_) => Vec::new(),
            Self::FirstOf(values) => values.iter().flat_map(Self::sources).collect(),
            Self::Amount(amount) => {
                let minus = amount.minus.iter().flat_map(Self::sources);
                amount.from.sources().into_iter().chain(minus).collect()
            }
        }
    }
}

impl AmountValue {
    fn read(&self, view: View<'_>, scope: &dyn Scope, money: Money<'_>) -> Option<Result<Amount, DoubtfulAmount>> {
        let read = |value: &Value| {
            let amount = value.read_amount(view, scope, money)?;
            Some(if self.is_minor {
                amount.and_then(|units| Amount::from_minor(&units, money.currency.unwrap_or_default()))
            } else {
                amount
            })
        };
        let from = read(&self.from)?;
        // Without what is to be taken off, the rest would be too much.
        let minus = match &self.minus {
            None => return Some(from),
            Some(minus) => read(minus)?,
        };
        Some(from.and_then(|from| minus.and_then(|minus| from.minus(&minus))))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn read(source: &str, query: &str, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, http::HeaderValue::from_static(value));
        }
        let path = [("order_id".to_owned(), "A 7".to_owned())];
        Source::parse(source).expect("a kind").expect("a source").read_text(View::from(RequestView {
            query,
            path: &path,
            headers: &map,
        }))
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
