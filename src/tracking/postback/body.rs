//! What a postback says: JSON, a form or a text, and where further parameters go.

use serde_json::{Map, Value as Json};

use super::address::{push_extra, render_pairs};
use crate::tracking::template::{Encoding, Scope, Template};

/// The body of a postback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BodyRule {
    /// None.
    #[default]
    Empty,
    /// JSON.
    Json(JsonRule),
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, Template)>),
    /// A text.
    Text(Template),
}

/// JSON with templates for texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonRule {
    /// A text.
    Text(Template),
    /// A list.
    List(Vec<Self>),
    /// The list with the event alone, which is in it whatever it lacks: others may join it
    /// ([`BatchRule`](super::BatchRule)).
    Event(Box<Self>),
    /// An object.
    Object(Vec<(String, Self)>),
}

/// Where further parameters go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExtraPlace {
    /// Behind the query.
    #[default]
    Query,
    /// Behind the form.
    Form,
    /// Into the JSON object, or as `{name, value}` into the list, that the pointer leads to.
    Json(String),
}

impl BodyRule {
    /// The body and its type, further parameters included where they belong into it; `None` when there is none.
    pub(super) fn render(
        &self,
        names: &dyn Scope,
        place: &ExtraPlace,
        extra: &[(&str, String)],
    ) -> Option<(&'static str, String)> {
        Some(match self {
            Self::Empty => return None,
            Self::Json(rule) => {
                let mut document = rule.render(names).unwrap_or_default();
                if let ExtraPlace::Json(pointer) = place {
                    add_extra(&mut document, pointer, extra);
                }
                ("application/json", document.to_string())
            }
            Self::Form(pairs) => {
                let mut pairs = render_pairs(pairs, names);
                if matches!(place, ExtraPlace::Form) {
                    push_extra(&mut pairs, extra);
                }
                ("application/x-www-form-urlencoded", pairs)
            }
            Self::Text(template) => {
                ("text/plain; charset=utf-8", template.render(names, Encoding::Raw).unwrap_or_default())
            }
        })
    }
}

impl JsonRule {
    /// The document; members that yield nothing are left out.
    fn render(&self, names: &dyn Scope) -> Option<Json> {
        match self {
            Self::Text(template) => template.render(names, Encoding::Raw).map(Json::String),
            Self::List(items) => Some(Json::Array(items.iter().filter_map(|item| item.render_item(names)).collect())),
            Self::Event(event) => Some(Json::Array(event.render(names).into_iter().collect())),
            Self::Object(members) => {
                let rendered = members.iter().filter_map(|(name, rule)| Some((name.clone(), rule.render(names)?)));
                Some(Json::Object(rendered.collect::<Map<_, _>>()))
            }
        }
    }

    /// An object in a list that would lose a member is left out whole: `{name: email}` without its
    /// value is worse than nothing.
    fn render_item(&self, names: &dyn Scope) -> Option<Json> {
        match self {
            Self::Object(members) => {
                let all: Option<Map<_, _>> =
                    members.iter().map(|(name, rule)| Some((name.clone(), rule.render(names)?))).collect();
                all.map(Json::Object)
            }
            Self::Text(_) | Self::List(_) | Self::Event(_) => self.render(names),
        }
    }
}

fn add_extra(document: &mut Json, pointer: &str, extra: &[(&str, String)]) {
    match document.pointer_mut(pointer) {
        Some(Json::Array(list)) => {
            list.extend(extra.iter().map(|(name, value)| serde_json::json!({ "name": name, "value": value })));
        }
        Some(Json::Object(members)) => {
            members.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), Json::String(value.clone()))));
        }
        Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) | None => {}
    }
}
