//! Decoding of values: sources, templates, literals, lists of them.

use std::path::Path;

use regex::Regex;

use super::{
    decode::Field,
    problem::nearest,
    tree::{Kind, Origin, Scalar},
};
use crate::tracking::{
    template::Template,
    value::{Source, Value},
};

/// Whether a bare text may stand for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literals {
    /// It may: a value, a currency.
    Allowed,
    /// It may not: an order id that is the same for every order would swallow all but the first.
    Refused,
}

/// Reads a value: a list of them, `{ literal: TEXT }`, `{ file: PATH }`, or a text.
pub fn value(field: &Field<'_>, base: &Path, literals: Literals) -> Option<Value> {
    match &field.node.kind {
        Kind::List(_) => {
            let values: Vec<Value> = field.list()?.iter().filter_map(|item| value(item, base, literals)).collect();
            Some(Value::FirstOf(values))
        }
        Kind::Map(entries) if entries.iter().any(|entry| entry.key == "literal") => {
            let mut section = field.section()?;
            let text = section.get("literal").and_then(|field| field.text().map(ToOwned::to_owned));
            section.finish();
            text.map(Value::Literal)
        }
        Kind::Map(entries) if entries.iter().any(|entry| entry.key == "file") => {
            secret(field, base).map(|scalar| Value::Literal(scalar.text))
        }
        Kind::Map(_) | Kind::Scalar(_) => from_scalar(field, field.scalar()?, literals),
    }
}

/// Reads a scalar or `{ file: PATH }`.
#[expect(clippy::disallowed_methods, reason = "the configuration loader reads files")]
pub fn secret(field: &Field<'_>, base: &Path) -> Option<Scalar> {
    field.secret_text(base, &|path| std::fs::read_to_string(path))
}

fn from_scalar(field: &Field<'_>, scalar: &Scalar, literals: Literals) -> Option<Value> {
    let text = scalar.text.trim();
    if text.is_empty() {
        field.error(
            "a value is missing here",
            Some("write a source (`query.NAME`), a template (`{NAME}`) or a text".to_owned()),
        );
        return None;
    }
    // What comes from the environment is data: it is not searched for sources and templates.
    if scalar.origin != Origin::Written {
        return Some(Value::Literal(text.to_owned()));
    }
    match source(field, text) {
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
    if literals == Literals::Refused {
        field.error(
            format!("`{text}` would be the same text for every visitor"),
            Some(format!(
                "write where it is read, such as `query.{text}`, or {{ literal: \"{text}\" }} if that is meant"
            )),
        );
        return None;
    }
    Some(Value::Literal(text.to_owned()))
}

/// What a text turned out to be.
enum Reading {
    /// A source.
    Source(Value),
    /// A source with a mistake, which has been noted.
    Broken,
    /// Something else.
    Other,
}

/// Reads `KIND.NAME` and `KIND.NAME | regex("…")`.
fn source(field: &Field<'_>, text: &str) -> Reading {
    let (place, filter) = match text.split_once('|') {
        Some((place, filter)) => (place.trim(), Some(filter.trim())),
        None => (text, None),
    };
    let source = match Source::parse(place) {
        Some(Ok(source)) => source,
        Some(Err(message)) => {
            field.error(message, None);
            return Reading::Broken;
        }
        None if misspelt(field, place) => return Reading::Broken,
        None => return Reading::Other,
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

/// Notes a problem when the text looks like a source, but is none.
fn misspelt(field: &Field<'_>, text: &str) -> bool {
    let Some(word) = text.split(['.', '(']).next().filter(|word| word.len() < text.len()) else { return false };
    let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let known_elsewhere = OTHER_KINDS.contains(&word);
    let near = nearest(word, Source::KINDS).filter(|_| word.len() > 2);
    if !plain || (!known_elsewhere && near.is_none()) {
        return false;
    }
    let kinds = Source::KINDS.map(|kind| format!("`{kind}.NAME`")).join(", ");
    let hint = near.map_or_else(|| format!("sources are {kinds}."), |near| format!("did you mean `{near}`?"));
    field.error(
        format!("`{word}` is not a source"),
        Some(format!("{hint} For the text itself write {{ literal: \"{text}\" }}")),
    );
    true
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
        Origin::Environment(_) | Origin::File(_) => Some(Template::literal(scalar.text.clone())),
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

/// Words that begin sources elsewhere in the field's tools; as a bare text they are surely not meant.
const OTHER_KINDS: [&str; 6] = ["form", "json", "response", "json_ld", "data_layer", "journey"];
