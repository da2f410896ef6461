//! Decoding of a site's `captures`, and of `after`, by which conversions ask for them.

use std::{collections::BTreeMap, time::Duration};

use super::{
    conversion::{known_field, name},
    decode::{Field, Section},
    problem::nearest,
    source::Reach,
    tree::{Kind, Node},
    trigger::{Setting, path_names, trigger},
    value::{Literals, value},
};
use crate::tracking::{capture::CaptureRule, conversion::After, value::Value, verdict::StatusPattern};

/// What the captures of a site are called and what they remember, as it is written.
#[derive(Debug, Default)]
pub struct Remembered<'a> {
    /// Their names.
    pub captures: Vec<&'a str>,
    /// The names of their fields.
    pub fields: Vec<&'a str>,
}

impl<'a> Remembered<'a> {
    /// Looks through the list under `captures`, mistakes and all: what is broken is missed by nobody.
    #[must_use]
    pub fn of(list: Option<&'a Node>) -> Self {
        let Some(Kind::List(items)) = list.map(|list| &list.kind) else { return Self::default() };
        let name = |item: &'a Node| match item.entry("name").map(|name| &name.kind) {
            Some(Kind::Scalar(scalar)) => Some(scalar.text.as_str()),
            Some(Kind::List(_) | Kind::Map(_)) | None => None,
        };
        let fields = |item: &'a Node| match item.entry("fields").map(|fields| &fields.kind) {
            Some(Kind::Map(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
            Some(Kind::List(_) | Kind::Scalar(_)) | None => Vec::new(),
        };
        Self { captures: items.iter().filter_map(name).collect(), fields: items.iter().flat_map(fields).collect() }
    }
}

/// Reads the list under `captures`.
pub fn captures(field: &Field<'_>, remembered: &Remembered<'_>) -> Vec<CaptureRule> {
    let mut seen = BTreeMap::new();
    let mut rules = Vec::new();
    for field in field.list().unwrap_or_default() {
        let Some(rule) = capture(&field, remembered) else { continue };
        if let Some(first) = seen.insert(rule.name.clone(), field.node.place.line) {
            field.error(format!("the capture in line {first} is called `{}` too", rule.name), None);
        }
        rules.push(rule);
    }
    rules
}

fn capture(field: &Field<'_>, remembered: &Remembered<'_>) -> Option<CaptureRule> {
    let mut section = field.section()?;
    let name = section.require("name", "write `name: checkout`").and_then(|field| name(&field));
    let setting = Setting {
        remembered: &remembered.fields,
        status: &ANSWERED,
        path_remedy: "write the page that is passed: `path: /checkout`",
        page_remedy: "look at the request, at `status`, or at `response.header.NAME`",
    };
    let trigger = trigger(&mut section, setting);
    let names = trigger.as_ref().map(|rule| path_names(std::slice::from_ref(rule)));
    let reach = Reach { path_names: names.as_deref(), remembered: &remembered.fields };
    let key = section.get("key").and_then(|field| value(&field, reach, Literals::Refused));
    let fields = section.get("fields").map(|field| fields(&field, reach)).unwrap_or_default();
    section.finish();
    Some(CaptureRule { name: name?, trigger: trigger?, key, fields })
}

fn fields(field: &Field<'_>, reach: Reach<'_>) -> Vec<(String, Value)> {
    let entries = field.entries().unwrap_or_default();
    let read = |(name, field): (&str, Field<'_>)| {
        Some((name.to_owned(), value(&field, reach, known_field(name).unwrap_or(Literals::Allowed))?))
    };
    entries.into_iter().filter_map(read).collect()
}

/// Reads `after` and `within`.
pub fn after(section: &mut Section<'_>, captures: &[&str]) -> Option<After> {
    let within = section.get("within");
    let Some(field) = section.get("after") else {
        if let Some(within) = within {
            within.key_error("`within` counts from a capture", Some("write `after: NAME` beside it".to_owned()));
        }
        return None;
    };
    let within = within.and_then(|field| field.duration()).unwrap_or(DEFAULT_WITHIN);
    let fields = field.one_or_many();
    if fields.is_empty() {
        field.error("there is no capture", Some("write `after: NAME`, or leave it out".to_owned()));
    }
    let captures = fields.iter().filter_map(|field| known_capture(field, captures)).collect();
    Some(After { captures, within })
}

fn known_capture(field: &Field<'_>, captures: &[&str]) -> Option<String> {
    let name = field.text()?;
    if captures.contains(&name) {
        return Some(name.to_owned());
    }
    let remedy = match nearest(name, captures.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if captures.is_empty() => {
            format!("write it beside `conversions`: `captures: [{{ name: {name}, path: PATH }}]`")
        }
        None => format!("its captures: {}", captures.join(", ")),
    };
    field.error(format!("this site has no capture `{name}`"), Some(remedy));
    None
}

/// Steps on the way to an order often answer with a redirect to the next one.
const ANSWERED: [StatusPattern; 2] = [StatusPattern::Class(2), StatusPattern::Class(3)];
const DEFAULT_WITHIN: Duration = Duration::from_hours(24);
