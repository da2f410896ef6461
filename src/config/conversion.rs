//! Decoding of a site's `conversions`: what counts, what is read for it, and who hears of it.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use super::{
    capture::{Remembered, after},
    decode::{Field, Section},
    mark::proof,
    send::{Known, Tellable, send},
    source::Reach,
    tree::Kind,
    trigger::{Setting, path_names, triggers},
    value::{Literals, value},
};
use crate::tracking::{
    amount::DecimalMark,
    channel::Credit,
    conversion::ConversionRule,
    template::Template,
    trigger::TriggerRule,
    value::{Source, Value},
    verdict::StatusPattern,
};

/// What else the site has.
#[derive(Clone, Copy, Debug)]
pub struct Neighbours<'a> {
    /// Its networks.
    pub networks: Known<'a>,
    /// Its captures.
    pub remembered: &'a Remembered<'a>,
    /// Where relative paths of files begin.
    pub folder: &'a Path,
}

/// Reads the list under `conversions`.
pub fn conversions(field: &Field<'_>, near: Neighbours<'_>) -> Vec<ConversionRule> {
    let mut seen: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    let mut rules = Vec::new();
    for field in field.list().unwrap_or_default() {
        let Some(rule) = conversion(&field, near) else { continue };
        if let Some(first) = seen.insert(Arc::clone(&rule.name), field.node.place.line) {
            field.error(format!("the conversion in line {first} is called `{}` too", rule.name), None);
        }
        rules.push(rule);
    }
    rules
}

fn conversion(field: &Field<'_>, near: Neighbours<'_>) -> Option<ConversionRule> {
    let mut section = field.section()?;
    let name = section.require("name", "write `name: purchase`").and_then(|field| name(&field));
    let setting = Setting {
        folder: near.folder,
        remembered: &near.remembered.fields,
        status: &[StatusPattern::Class(2)],
        path_remedy: "write the thank-you page: `path: /thank-you`",
        page_remedy: "for what the page shows write `success_mark: TEXT` or `success_mark: 'html(\"CSS\")'`",
    };
    let triggers = triggers(&mut section, setting);
    let names = triggers.as_deref().map(path_names);
    let reach = Reach { folder: near.folder, path_names: names.as_deref(), remembered: &near.remembered.fields };
    let proof = proof(&mut section);
    let after = after(&mut section, &near.remembered.captures);
    let fields = fields(&mut section, reach);
    let decimal_mark = section.get("decimal_mark").and_then(|field| field.choice(&MARKS)).unwrap_or_default();
    let items = section.get("items").and_then(|field| items(&field, reach));
    let once_per = once_per(&mut section, &fields, reach);
    let dedup_window = section.get("dedup_window").and_then(|field| field.duration()).unwrap_or(DEFAULT_WINDOW);
    let credit = section.get("credit").and_then(|field| field.choice(&CREDITS)).unwrap_or_default();
    let is_shadow = section.get("shadow").and_then(|field| field.switch()).unwrap_or_default();
    let tellable = Tellable { fields: &fields, has_items: section.contains("items"), reach };
    let sends = section.require("send", "write which networks hear of it: `send: { NETWORK: {} }`");
    let sends = sends.map(|field| send(&field, near.networks, tellable)).unwrap_or_default();
    warn_without_order(&section, once_per.is_some(), &fields, triggers.as_deref().unwrap_or_default());
    section.finish();
    Some(ConversionRule {
        name: name?,
        triggers: triggers?,
        proof,
        after,
        fields,
        decimal_mark,
        items,
        once_per,
        dedup_window,
        credit,
        send: sends,
        is_shadow,
    })
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

/// Which literals a field with a key of its own takes.
#[must_use]
pub fn known_field(name: &str) -> Option<Literals> {
    WELL_KNOWN.iter().find(|(known, _)| *known == name).map(|(_, literals)| *literals)
}

/// Reads the well-known fields, then those under `fields`.
fn fields(section: &mut Section<'_>, reach: Reach<'_>) -> Vec<(String, Value)> {
    let path_has_order = reach.path_names.is_some_and(|names| names.contains(&"order_id"));
    let mut fields: Vec<(String, Value)> = Vec::new();
    for (name, literals) in WELL_KNOWN {
        if let Some(value) = section.get(name).and_then(|field| value(&field, reach, literals)) {
            fields.push((name.to_owned(), value));
        } else if name == "order_id" && !section.contains(name) && path_has_order {
            fields.push((name.to_owned(), Value::Source(Source::Path(name.to_owned()), None)));
        }
    }
    for (name, field) in section.get("fields").and_then(|field| field.entries()).unwrap_or_default() {
        if known_field(name).is_some() {
            field.key_error(
                format!("`{name}` is a field of its own"),
                Some(format!("write `{name}: …` beside `fields`")),
            );
        } else if let Some(value) = value(&field, reach, Literals::Allowed) {
            fields.push((name.to_owned(), value));
        }
    }
    fields
}

/// Reads where the items of an order stand: a list, which no text in the configuration can be.
fn items(field: &Field<'_>, reach: Reach<'_>) -> Option<Value> {
    let items = value(field, reach, Literals::Refused)?;
    let is_source = match &items {
        Value::Source(_, filter) => filter.is_none(),
        Value::FirstOf(values) => values.iter().all(|value| matches!(value, Value::Source(_, None))),
        Value::Literal(_) | Value::Template(_) | Value::Amount(_) => false,
    };
    if !is_source {
        field.error(
            "items are read from a list",
            Some("write where it stands: `data_layer.ecommerce.items`".to_owned()),
        );
    }
    is_source.then_some(items)
}

/// Reads what tells conversions apart: the name of a field, a source, a template.
fn once_per(section: &mut Section<'_>, fields: &[(String, Value)], reach: Reach<'_>) -> Option<Value> {
    let by_name = |name: &str| Template::parse(&format!("{{{name}}}")).ok().map(Value::Template);
    let Some(field) = section.get("once_per") else {
        return fields.iter().any(|(name, _)| name == "order_id").then(|| by_name("order_id")).flatten();
    };
    match &field.node.kind {
        Kind::Scalar(scalar) if fields.iter().any(|(name, _)| *name == scalar.text) => by_name(&scalar.text),
        Kind::Scalar(scalar) if !scalar.text.contains(['.', '{', '(']) => {
            let known = fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            field
                .error(format!("this conversion has no field `{}`", scalar.text), Some(format!("its fields: {known}")));
            None
        }
        Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) => value(&field, reach, Literals::Refused),
    }
}

/// Without an order id, repeats are hard to tell, and a server's callback belongs to nobody.
fn warn_without_order(section: &Section<'_>, has_once: bool, fields: &[(String, Value)], triggers: &[TriggerRule]) {
    if section.contains("order_id") || fields.iter().any(|(name, _)| name == "order_id") {
        return;
    }
    let remedy = || Some("write `order_id: query.NAME`, or put {order_id} into the path".to_owned());
    if triggers.iter().any(|trigger| trigger.caller.is_server()) {
        section.field().warn("without an order id, nobody's journey is found for what a server reports", remedy());
    } else if !has_once && !section.contains("once_per") {
        section
            .field()
            .warn("without an order id, a repeat is told by the click ID or the visitor, within 24 hours", remedy());
    }
}

/// Fields with keys of their own. An order id, an address or a number that is the same for everybody
/// is surely a mistake.
pub const WELL_KNOWN: [(&str, Literals); 5] = [
    ("order_id", Literals::Refused),
    ("value", Literals::Amounts),
    ("currency", Literals::Allowed),
    ("email", Literals::Refused),
    ("phone", Literals::Refused),
];
const MARKS: [(&str, DecimalMark); 2] = [("comma", DecimalMark::Comma), ("point", DecimalMark::Point)];
const CREDITS: [(&str, Credit); 2] = [("always", Credit::Always), ("last_paid_click", Credit::LastPaidClick)];
const DEFAULT_WINDOW: Duration = Duration::from_hours(90 * 24);
