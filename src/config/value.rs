//! Decoding of values: sources, templates, literals, amounts, lists of them.

use regex::Regex;

use super::{
    decode::Field,
    source::{Reach, Reading, misspelt, source, split_filter},
    tree::{Kind, Origin, Scalar},
};
use crate::tracking::{
    amount::{self, DecimalMark},
    template::Template,
    value::{AmountValue, Value},
};

/// Whether a bare text may stand for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literals {
    /// It may: a currency, a label.
    Allowed,
    /// Only if it is an amount.
    Amounts,
    /// It may not: an order id that is the same for every order would swallow all but the first.
    Refused,
}

/// Reads a value: a list of them, `{ literal: TEXT }`, `{ file: PATH }`, `{ from: … }`, or a text.
pub fn value(field: &Field<'_>, reach: Reach<'_>, literals: Literals) -> Option<Value> {
    let has = |key: &str| field.node.entry(key).is_some();
    match &field.node.kind {
        Kind::List(items) => {
            if items.is_empty() {
                missing(field);
            }
            let values: Vec<Value> = field.list()?.iter().filter_map(|item| value(item, reach, literals)).collect();
            Some(Value::FirstOf(values))
        }
        Kind::Map(_) if has("literal") => {
            let mut section = field.section()?;
            let text = section.get("literal").and_then(|field| field.text().map(ToOwned::to_owned));
            section.finish();
            text.map(Value::Literal)
        }
        Kind::Map(_) if has("file") => secret(field).map(|scalar| Value::Literal(scalar.text)),
        Kind::Map(_) if has("from") || has("minus") || has("minor") => amount(field, reach),
        Kind::Map(_) | Kind::Scalar(_) => from_scalar(field, field.scalar()?, reach, literals),
    }
}

/// Reads a scalar or `{ file: PATH }`.
#[expect(clippy::disallowed_methods, reason = "the configuration loader reads files")]
pub fn secret(field: &Field<'_>) -> Option<Scalar> {
    field.secret_text(&|path| std::fs::read_to_string(path))
}

/// Reads `{ from: VALUE, minus: VALUE, minor: true }`.
fn amount(field: &Field<'_>, reach: Reach<'_>) -> Option<Value> {
    let mut section = field.section()?;
    let read = |field: Field<'_>| value(&field, reach, Literals::Amounts);
    let from = section.require("from", "write where the amount is read: `{ from: query.total }`").and_then(read);
    let minus = section.get("minus").and_then(read);
    let is_minor = section.get("minor").and_then(|field| field.switch()).unwrap_or_default();
    section.finish();
    Some(Value::Amount(Box::new(AmountValue { from: from?, minus, is_minor })))
}

fn from_scalar(field: &Field<'_>, scalar: &Scalar, reach: Reach<'_>, literals: Literals) -> Option<Value> {
    let text = scalar.text.trim();
    if text.is_empty() {
        missing(field);
        return None;
    }
    // What comes from the environment is data: it is not searched for sources and templates.
    if scalar.origin != Origin::Written {
        return Some(Value::Literal(text.to_owned()));
    }
    match filtered(field, text, reach) {
        Reading::Source(value) => return Some(value),
        Reading::Broken => return None,
        Reading::Other => {}
    }
    if text.contains(['{', '}']) {
        return template(field, text).map(|template| match template.as_literal() {
            Some(text) => Value::Literal(text.to_owned()),
            None => Value::Template(template),
        });
    }
    let refusal = match literals {
        Literals::Allowed => None,
        Literals::Amounts => {
            amount::parse(text, DecimalMark::Unknown).is_err().then(|| format!("`{text}` is not an amount"))
        }
        Literals::Refused => Some(format!("`{text}` would be the same text for every visitor")),
    };
    if let Some(message) = refusal {
        field.error(
            message,
            Some(format!(
                "write where it is read, such as `query.{text}`, or {{ literal: \"{text}\" }} if that is meant"
            )),
        );
        return None;
    }
    Some(Value::Literal(text.to_owned()))
}

fn missing(field: &Field<'_>) {
    field.error(
        "a value is missing here",
        Some("write a source (`query.NAME`), a template (`{NAME}`) or a text".to_owned()),
    );
}

/// Reads `KIND.NAME` and `KIND.NAME | regex("…")`.
fn filtered(field: &Field<'_>, text: &str, reach: Reach<'_>) -> Reading<Value> {
    let note = |message: String, remedy: Option<String>| field.error(message, remedy);
    let (place, filter) = split_filter(text);
    let source = match source(place, reach, &note) {
        Reading::Source(source) => source,
        Reading::Broken => return Reading::Broken,
        Reading::Other => {
            let Some((message, hint)) = misspelt(text) else { return Reading::Other };
            field.error(message, Some(format!("{hint} For the text itself write {{ literal: {text:?} }}")));
            return Reading::Broken;
        }
    };
    let Some(filter) = filter else { return Reading::Source(Value::Source(source, None)) };
    let Some(pattern) = filter.strip_prefix("regex(\"").and_then(|rest| rest.strip_suffix("\")")) else {
        field.error(format!("`{filter}` cannot follow a source"), Some("write `| regex(\"…(group)…\")`".to_owned()));
        return Reading::Broken;
    };
    match regex(field, pattern) {
        Some(regex) => Reading::Source(Value::Source(source, Some(regex))),
        None => Reading::Broken,
    }
}

/// Reads a template.
pub fn template(field: &Field<'_>, text: &str) -> Option<Template> {
    Template::parse(text).map_err(|error| field.error(format!("`{text}`: {error}"), None)).ok()
}

/// Reads the text of a field as a template.
pub fn template_of(field: &Field<'_>) -> Option<Template> {
    let scalar = field.scalar()?;
    match scalar.origin {
        Origin::Written => template(field, &scalar.text),
        Origin::Environment(_) | Origin::File(_) => Some(Template::secret(scalar.text.clone())),
    }
}

/// Reads a regular expression.
pub fn regex(field: &Field<'_>, pattern: &str) -> Option<Regex> {
    Regex::new(pattern)
        .map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            field.error(format!("`{pattern}` is not a regular expression: {reason}"), None);
        })
        .ok()
}
