//! The request that a network is sent, built from an event and the configuration in force.
//!
//! Nothing that came from a visitor can choose where the request goes: scheme, host and port stand in
//! the configuration, and values in the path are escaped so that they stay inside their segment.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Map, Value as Json};
use url::Url;

use self::signature::Unsigned;
use super::{
    event::{Datum, Event},
    template::{Encoding, Scope, Template, encode_component},
};

mod batch;
mod names;
mod signature;

pub use batch::{Batch, BatchRule, NotJoined};
pub use names::{BUILT_INS, ConfiguredNames, EventNames, ITEM_BUILT_INS, Identity, REQUEST_BUILT_INS};
pub use signature::{SIGNED, SignPlace, SignRule};

/// How one conversion is reported to one network: its rules with this site's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostbackRule {
    /// The network's part.
    pub request: RequestRule,
    /// Names that stand for values of the configuration.
    pub names: ConfiguredNames,
    /// Further names under `send.NETWORK.extra`, in the order they were written.
    pub extra: Vec<String>,
}

/// What a network's file says of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRule {
    /// GET or POST.
    pub method: Method,
    /// The address up to the query.
    pub url: UrlRule,
    /// Query parameters in wire order.
    pub query: Vec<(String, Template)>,
    /// Headers.
    pub headers: Vec<(HeaderName, Template)>,
    /// How it proves who sends it.
    pub authorization: Authorization,
    /// The body.
    pub body: BodyRule,
    /// Where further parameters go.
    pub extra: ExtraPlace,
    /// The checksum over all of it.
    pub sign: Option<SignRule>,
}

/// What stands in the header `Authorization`, where no header of that name is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// Nothing.
    #[default]
    None,
    /// HTTP Basic authentication (RFC 7617).
    Basic {
        /// The user.
        user: Template,
        /// The password.
        password: Template,
    },
    /// A token (RFC 6750).
    Bearer(Template),
}

/// `scheme://authority/path`.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlRule {
    /// `http` or `https`, the configured host and port; slots name host settings only.
    pub origin: Template,
    /// The path, its slots escaped.
    pub path: Template,
    /// A query that stands in the address itself, taken as it is.
    pub query: Option<String>,
}

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
    /// The list with the event alone, which is in it whatever it lacks: others may join it ([`BatchRule`]).
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

/// A finished request.
#[derive(Clone)]
pub struct Postback {
    /// GET or POST.
    pub method: Method,
    /// The whole address.
    pub url: Url,
    /// Headers, authorization included.
    pub headers: HeaderMap,
    /// The body, empty for GET.
    pub body: Vec<u8>,
}

/// Why no request could be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrenderable {
    /// The address came out wrong, or a value would change the structure of its path.
    #[error("the address of the postback is not a valid URL")]
    Url,
    /// A header value holds bytes that no header may hold.
    #[error("the header {0} has a value that HTTP does not allow")]
    Header(String),
    /// A value that is signed is missing.
    #[error("the postback cannot be signed: a value or a key is missing")]
    Signature,
}

impl PostbackRule {
    /// Builds the request for an event.
    pub fn render(&self, event: &Event) -> Result<Postback, Unrenderable> {
        let names = EventNames::new(&self.names, &event.payload, Identity::of(event));
        let extra = self.extra_values(&names);
        let mut pairs = render_pairs(&self.request.query, &names);
        if matches!(self.request.extra, ExtraPlace::Query) {
            push_extra(&mut pairs, &extra);
        }
        let mut url = Url::parse(&self.request.url.render(&names, &pairs)?).map_err(|_| Unrenderable::Url)?;
        let mut headers = self.headers(&names)?;
        let mut body = self.body(&names, &extra, &mut headers);
        if let Some(sign) = &self.request.sign {
            sign.sign(&names, Unsigned { url: &mut url, headers: &mut headers, body: &mut body })?;
        }
        Ok(Postback { method: self.request.method.clone(), url, headers, body })
    }

    fn extra_values<'a>(&'a self, names: &EventNames<'_>) -> Vec<(&'a str, String)> {
        self.extra
            .iter()
            .filter_map(|name| match names.lookup(&format!("extra.{name}"))? {
                Datum::One(text) => Some((name.as_str(), text)),
                Datum::Many(texts) => Some((name.as_str(), texts.join(","))),
            })
            .collect()
    }

    fn headers(&self, names: &EventNames<'_>) -> Result<HeaderMap, Unrenderable> {
        let mut headers = HeaderMap::new();
        for (name, template) in &self.request.headers {
            if let Some(text) = template.render(names, Encoding::Raw) {
                let mut value = HeaderValue::try_from(text).map_err(|_| Unrenderable::Header(name.to_string()))?;
                value.set_sensitive(name == header::AUTHORIZATION || self.names.holds_secret(template));
                headers.insert(name.clone(), value);
            }
        }
        if let Some(credentials) = self.request.authorization.render(names) {
            let mut value = HeaderValue::try_from(credentials)
                .map_err(|_| Unrenderable::Header(header::AUTHORIZATION.to_string()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }

    fn body(&self, names: &EventNames<'_>, extra: &[(&str, String)], headers: &mut HeaderMap) -> Vec<u8> {
        let (content_type, body) = match &self.request.body {
            BodyRule::Empty => return Vec::new(),
            BodyRule::Json(rule) => {
                let mut document = rule.render(names).unwrap_or_default();
                if let ExtraPlace::Json(pointer) = &self.request.extra {
                    add_extra(&mut document, pointer, extra);
                }
                ("application/json", document.to_string())
            }
            BodyRule::Form(pairs) => {
                let mut pairs = render_pairs(pairs, names);
                if matches!(self.request.extra, ExtraPlace::Form) {
                    push_extra(&mut pairs, extra);
                }
                ("application/x-www-form-urlencoded", pairs)
            }
            BodyRule::Text(template) => {
                ("text/plain; charset=utf-8", template.render(names, Encoding::Raw).unwrap_or_default())
            }
        };
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        body.into_bytes()
    }
}

impl Authorization {
    fn render(&self, names: &dyn Scope) -> Option<String> {
        match self {
            Self::None => None,
            Self::Basic { user, password } => {
                let user = user.render(names, Encoding::Raw).unwrap_or_default();
                let password = password.render(names, Encoding::Raw).unwrap_or_default();
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            Self::Bearer(token) => Some(format!("Bearer {}", token.render(names, Encoding::Raw)?)),
        }
    }

    /// Its templates.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let (first, second) = match self {
            Self::None => (None, None),
            Self::Basic { user, password } => (Some(user), Some(password)),
            Self::Bearer(token) => (Some(token), None),
        };
        first.into_iter().chain(second)
    }
}

/// Networks hand out addresses with a key in them; from the environment, they are shown to nobody.
impl fmt::Debug for UrlRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = self.query.as_deref().map(|query| if self.path.is_secret() { "***" } else { query });
        f.debug_struct("UrlRule")
            .field("origin", &self.origin)
            .field("path", &self.path)
            .field("query", &query)
            .finish()
    }
}

/// Secrets and personal values may stand anywhere in it, so little of it is shown.
impl fmt::Debug for Postback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postback")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

impl UrlRule {
    /// The whole address with these pairs behind its own query.
    pub fn render(&self, names: &dyn Scope, pairs: &str) -> Result<String, Unrenderable> {
        let origin = self.origin.text(names, Encoding::Raw).ok_or(Unrenderable::Url)?;
        let path = self.path.text(names, Encoding::Component).ok_or(Unrenderable::Url)?;
        // `encodeURIComponent` leaves dots alone, and URL parsers take `..` for a way up.
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(Unrenderable::Url);
        }
        let fixed = self.query.as_deref().unwrap_or_default();
        let question = if fixed.is_empty() && pairs.is_empty() { "" } else { "?" };
        let and = if fixed.is_empty() || pairs.is_empty() { "" } else { "&" };
        Ok([&*origin, &*path, question, fixed, and, pairs].concat())
    }
}

/// Renders pairs as they stand in a query or a form; those that yield nothing are left out.
#[must_use]
pub fn render_pairs(pairs: &[(String, Template)], names: &dyn Scope) -> String {
    let mut out = String::new();
    for (name, template) in pairs {
        if let Some(value) = template.render(names, Encoding::Component) {
            push_pair(&mut out, name, &value);
        }
    }
    out
}

fn push_extra(out: &mut String, extra: &[(&str, String)]) {
    for (name, value) in extra {
        let mut encoded = String::new();
        encode_component(value, &mut encoded);
        push_pair(out, name, &encoded);
    }
}

fn push_pair(out: &mut String, name: &str, encoded: &str) {
    if !out.is_empty() {
        out.push('&');
    }
    encode_component(name, out);
    out.push('=');
    out.push_str(encoded);
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

#[cfg(test)]
mod tests;
