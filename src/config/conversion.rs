//! Decoding of one entry under a site's `conversions`.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use http::Method;

use super::{
    decode::{Field, Section},
    problem::nearest,
    send::{Known, send},
    tree::Kind,
    value::{Literals, regex, value},
    verdict,
};
use crate::tracking::{
    conversion::ConversionRule,
    matcher::{Condition, PathPattern, Test},
    template::Template,
    value::{Source, Value},
    verdict::StatusPattern,
};

/// Decodes a conversion of a site with these networks.
pub fn conversion(field: &Field<'_>, networks: Known<'_>, base: &Path) -> Option<ConversionRule> {
    let mut section = field.section()?;
    let name = section.require("name", "write `name: purchase`").and_then(|field| name(&field));
    let paths = section
        .require("path", "write the thank-you page: `path: /thank-you`")
        .map(|field| paths(&field))
        .unwrap_or_default();
    let methods = section.get("method").map_or_else(|| vec![Method::GET, Method::POST], |field| methods(&field));
    let status = section.get("status").map_or_else(|| vec![StatusPattern::Class(2)], |field| verdict::statuses(&field));
    let when = section.get("when").map(|field| conditions(&field)).unwrap_or_default();
    let fields = fields(&mut section, &paths, base);
    let once_per = once_per(&mut section, &fields, base);
    let dedup_window = section.get("dedup_window").and_then(|field| field.duration()).unwrap_or(DEFAULT_WINDOW);
    let sends = section.require("send", "write which networks hear of it: `send: { NETWORK: {} }`");
    let sends = sends.map(|field| send(&field, networks, &fields, base)).unwrap_or_default();
    check_path_names(&section, &paths, &fields);
    if once_per.is_none() && !section.contains("order_id") && !section.contains("once_per") {
        section.field().warn(
            "without an order id, a repeat is told by the click ID or the visitor, within 24 hours",
            Some("write `order_id: query.NAME`, or put {order_id} into the path".to_owned()),
        );
    }
    section.finish();
    Some(ConversionRule { name: name?, paths, methods, status, when, fields, once_per, dedup_window, send: sends })
}

/// Reads a name that becomes a metric label and part of the dedup key.
pub fn name(field: &Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    let plain = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !plain {
        field.error(
            format!("`{text}` cannot be a name"),
            Some("use up to 64 letters, digits, `-`, `_` and `.`".to_owned()),
        );
    }
    plain.then(|| Arc::from(text))
}

fn paths(field: &Field<'_>) -> Vec<PathPattern> {
    field.one_or_many().iter().filter_map(path).collect()
}

fn path(field: &Field<'_>) -> Option<PathPattern> {
    if matches!(field.node.kind, Kind::Map(_)) {
        let mut section = field.section()?;
        let pattern = section.require("regex", "write `{ regex: \"/order/([0-9]+)\" }`")?;
        section.finish();
        regex(&pattern, pattern.text()?)?;
        return PathPattern::regex(pattern.text()?).ok();
    }
    let text = field.text()?;
    PathPattern::parse(text).map_err(|error| field.error(format!("`{text}`: {error}"), None)).ok()
}

fn methods(field: &Field<'_>) -> Vec<Method> {
    let read = |field: Field<'_>| {
        let text = field.text()?;
        let method = KNOWN_METHODS.iter().find(|method| method.as_str() == text).cloned();
        if method.is_none() {
            field.error(
                format!("`{text}` is not a method that a page answers"),
                Some("write GET, POST, PUT or PATCH".to_owned()),
            );
        }
        method
    };
    field.one_or_many().into_iter().filter_map(read).collect()
}

fn conditions(field: &Field<'_>) -> Vec<Condition> {
    let entries = field.entries().unwrap_or_default();
    entries.into_iter().filter_map(|(place, field)| condition(place, &field)).collect()
}

fn condition(place: &str, field: &Field<'_>) -> Option<Condition> {
    let source = match Source::parse(place) {
        Some(Ok(source)) => source,
        Some(Err(message)) => {
            field.key_error(message, None);
            return None;
        }
        None => {
            let kinds = Source::KINDS.map(|kind| format!("{kind}.NAME")).join(", ");
            let near = place.split('.').next().and_then(|word| nearest(word, Source::KINDS));
            let remedy = near.map_or(format!("sources are {kinds}"), |near| format!("did you mean `{near}`?"));
            field.key_error(format!("`{place}` is not a source"), Some(remedy));
            return None;
        }
    };
    let test = if matches!(field.node.kind, Kind::Map(_)) {
        let mut section = field.section()?;
        let pattern = section.require("regex", "write a text, a list of texts, or `{ regex: PATTERN }`")?;
        section.finish();
        Test::Regex(regex(&pattern, pattern.text()?)?)
    } else {
        Test::OneOf(field.one_or_many().iter().filter_map(|field| field.text().map(ToOwned::to_owned)).collect())
    };
    Some(Condition { source, test })
}

/// Reads the well-known fields, then those under `fields`.
fn fields(section: &mut Section<'_>, paths: &[PathPattern], base: &Path) -> Vec<(String, Value)> {
    let mut fields: Vec<(String, Value)> = Vec::new();
    for (name, literals) in WELL_KNOWN {
        if let Some(value) = section.get(name).and_then(|field| value(&field, base, literals)) {
            fields.push((name.to_owned(), value));
        } else if name == "order_id" && !section.contains(name) && names_order(paths) {
            fields.push((name.to_owned(), Value::Source(Source::Path(name.to_owned()), None)));
        }
    }
    for (name, field) in section.get("fields").and_then(|field| field.entries()).unwrap_or_default() {
        if WELL_KNOWN.iter().any(|(known, _)| *known == name) {
            field.key_error(
                format!("`{name}` is a field of its own"),
                Some(format!("write `{name}: …` beside `fields`")),
            );
        } else if let Some(value) = value(&field, base, Literals::Allowed) {
            fields.push((name.to_owned(), value));
        }
    }
    fields
}

fn names_order(paths: &[PathPattern]) -> bool {
    paths.iter().any(|path| path.names().contains(&"order_id"))
}

/// Reads what tells conversions apart: the name of a field, a source, a template.
fn once_per(section: &mut Section<'_>, fields: &[(String, Value)], base: &Path) -> Option<Value> {
    let by_name = |name: &str| Template::parse(&format!("{{{name}}}")).ok().map(Value::Template);
    let Some(field) = section.get("once_per") else {
        return fields.iter().any(|(name, _)| name == "order_id").then(|| by_name("order_id")).flatten();
    };
    match &field.node.kind {
        Kind::Scalar(scalar) if fields.iter().any(|(name, _)| *name == scalar.text) => by_name(&scalar.text),
        Kind::Scalar(scalar) if !scalar.text.contains(['.', '{']) => {
            let known = fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            field
                .error(format!("this conversion has no field `{}`", scalar.text), Some(format!("its fields: {known}")));
            None
        }
        Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) => value(&field, base, Literals::Refused),
    }
}

/// A source that reads a path name which no path has would stay empty for ever.
fn check_path_names(section: &Section<'_>, paths: &[PathPattern], fields: &[(String, Value)]) {
    let known: BTreeSet<&str> = paths.iter().flat_map(PathPattern::names).collect();
    for (name, value) in fields {
        for wanted in path_names(value) {
            if !known.contains(wanted) {
                section.field().error(
                    format!("`{name}` reads `path.{wanted}`, but no path of this conversion has `{{{wanted}}}`"),
                    Some(format!("write it into the path, as in /thank-you/{{{wanted}}}")),
                );
            }
        }
    }
}

fn path_names(value: &Value) -> Vec<&str> {
    match value {
        Value::Source(Source::Path(name), _) => vec![name],
        Value::FirstOf(values) => values.iter().flat_map(path_names).collect(),
        Value::Source(Source::Query(_) | Source::Header(_) | Source::Cookie(_), _)
        | Value::Literal(_)
        | Value::Template(_) => vec![],
    }
}

/// Fields with keys of their own. An order id, an address or a number that is the same for everybody
/// is surely a mistake.
pub const WELL_KNOWN: [(&str, Literals); 5] = [
    ("order_id", Literals::Refused),
    ("value", Literals::Allowed),
    ("currency", Literals::Allowed),
    ("email", Literals::Refused),
    ("phone", Literals::Refused),
];
const KNOWN_METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::PATCH];
const DEFAULT_WINDOW: Duration = Duration::from_hours(90 * 24);
