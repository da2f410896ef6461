//! The places that a value can be read from.

use std::borrow::Cow;

use http::HeaderName;
use percent_encoding::percent_decode_str;
use serde_json::Value as Json;

use super::{
    query::{QueryPairs, decode_form},
    view::View,
};
use crate::tracking::cookie;

/// A place in the visitor's request, in the site's answer, or in what is known of the journey.
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
    /// A field of the form that the request carries.
    Form(String),
    /// A place in the JSON that the request carries, as a JSON pointer (RFC 6901).
    Json(String),
    /// A header of the answer.
    ResponseHeader(HeaderName),
    /// A place in the JSON of the answer.
    ResponseJson(String),
    /// A place in the page.
    Page(PageSource),
    /// What a capture remembered.
    Journey(String),
}

/// A place in an HTML page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PageSource {
    /// The first element that a selector finds: its text, or one of its attributes.
    Html {
        /// The selector.
        css: String,
        /// The attribute; without it, the text.
        attribute: Option<String>,
    },
    /// A path in the page's schema.org data.
    JsonLd(String),
    /// A path in what its scripts push into the data layer.
    DataLayer(String),
}

impl Source {
    /// The words a source can begin with, and how it is written.
    pub const KINDS: [(&'static str, &'static str); 12] = [
        ("query", "query.NAME"),
        ("path", "path.NAME"),
        ("header", "header.NAME"),
        ("cookie", "cookie.NAME"),
        ("form", "form.NAME"),
        ("json", "json.POINTER"),
        ("response", "response.header.NAME"),
        ("response", "response.json.POINTER"),
        ("html", "html(\"CSS\")"),
        ("json_ld", "json_ld.PATH"),
        ("data_layer", "data_layer.PATH"),
        ("journey", "journey.NAME"),
    ];

    /// Reads `KIND.NAME` or `html("CSS")@ATTRIBUTE`; `None` when it does not begin with a kind.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        if let Some(rest) = text.strip_prefix("html(") {
            return Some(html(rest));
        }
        let (kind, name) = text.split_once('.')?;
        if kind == "response" {
            let (kind, name) = name.split_once('.').unwrap_or((name, ""));
            return Some(match kind {
                "header" => header(name).map(Self::ResponseHeader),
                "json" => pointer(name).map(Self::ResponseJson),
                _ => Err("an answer has `response.header.NAME` and `response.json.POINTER`".to_owned()),
            });
        }
        let name = match kind {
            "query" | "path" | "cookie" | "form" | "journey" | "json_ld" | "data_layer" if name.is_empty() => {
                return Some(Err(format!("a name is missing after `{kind}.`")));
            }
            _ => name.to_owned(),
        };
        Some(Ok(match kind {
            "query" => Self::Query(name),
            "path" => Self::Path(name),
            "cookie" => Self::Cookie(name),
            "form" => Self::Form(name),
            "journey" => Self::Journey(name),
            "json_ld" => Self::Page(PageSource::JsonLd(name)),
            "data_layer" => Self::Page(PageSource::DataLayer(name)),
            "header" => return Some(header(&name).map(Self::Header)),
            "json" => return Some(pointer(&name).map(Self::Json)),
            _ => return None,
        }))
    }

    /// What it is called there.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Query(name)
            | Self::Path(name)
            | Self::Cookie(name)
            | Self::Form(name)
            | Self::Json(name)
            | Self::ResponseJson(name)
            | Self::Journey(name) => name,
            Self::Header(name) | Self::ResponseHeader(name) => name.as_str(),
            Self::Page(PageSource::Html { css: name, .. } | PageSource::JsonLd(name) | PageSource::DataLayer(name)) => {
                name
            }
        }
    }

    /// How it is written.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Query(name) => format!("query.{name}"),
            Self::Path(name) => format!("path.{name}"),
            Self::Header(name) => format!("header.{name}"),
            Self::Cookie(name) => format!("cookie.{name}"),
            Self::Form(name) => format!("form.{name}"),
            Self::Json(pointer) => format!("json.{pointer}"),
            Self::ResponseHeader(name) => format!("response.header.{name}"),
            Self::ResponseJson(pointer) => format!("response.json.{pointer}"),
            Self::Page(place) => place.text(),
            Self::Journey(name) => format!("journey.{name}"),
        }
    }

    /// Whether it is in the body of the answer.
    #[must_use]
    pub const fn is_in_body(&self) -> bool {
        matches!(self, Self::ResponseJson(_) | Self::Page(_))
    }

    /// Whether it is in the body of the request.
    #[must_use]
    pub const fn is_in_request_body(&self) -> bool {
        matches!(self, Self::Form(_) | Self::Json(_))
    }

    /// The named segment of the path that it reads, if that is what it does.
    #[must_use]
    pub fn path_name(&self) -> Option<&str> {
        if let Self::Path(name) = self { Some(name) } else { None }
    }

    /// What stands there, decoded; `None` when it is absent, empty, oversized or not clean text.
    #[must_use]
    pub fn read(&self, view: View<'_>) -> Option<Json> {
        let found = match self {
            Self::Json(pointer) => view.body.and_then(|body| body.json(pointer))?,
            Self::ResponseJson(pointer) => view.answer.and_then(|body| body.json(pointer))?,
            Self::Page(place) => view.page.and_then(|page| page.get(place))?,
            Self::Query(_)
            | Self::Path(_)
            | Self::Header(_)
            | Self::Cookie(_)
            | Self::Form(_)
            | Self::ResponseHeader(_)
            | Self::Journey(_) => return self.read_plain(view).map(Json::String),
        };
        match found {
            Json::Null => None,
            Json::String(text) => clean(text).map(Json::String),
            Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => Some(found.clone()),
        }
    }

    /// The same as a text; lists and objects are none.
    #[must_use]
    pub fn read_text(&self, view: View<'_>) -> Option<String> {
        match self.read(view)? {
            Json::String(text) => Some(text),
            Json::Number(number) => Some(number.to_string()),
            Json::Bool(truth) => Some(truth.to_string()),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }

    fn read_plain(&self, view: View<'_>) -> Option<String> {
        let request = view.request;
        let found: Cow<'_, str> = match self {
            Self::Query(name) => decode_form(QueryPairs::new(request.query).named(name).next()?)?,
            Self::Path(name) => request.path.iter().find(|(path, _)| path == name)?.1.as_str().into(),
            Self::Header(name) => request.headers.get(name)?.to_str().ok()?.into(),
            Self::Cookie(name) => percent_decode_str(cookie::find(request.headers, name)?).decode_utf8().ok()?,
            Self::Form(name) => view.body?.form(name)?.into(),
            Self::ResponseHeader(name) => view.response?.get(name)?.to_str().ok()?.into(),
            Self::Journey(name) => view.journey?.field(name)?.into(),
            Self::Json(_) | Self::ResponseJson(_) | Self::Page(_) => return None,
        };
        clean(&found)
    }
}

impl PageSource {
    /// How it is written.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Html { css, attribute: None } => format!("html(\"{css}\")"),
            Self::Html { css, attribute: Some(attribute) } => format!("html(\"{css}\")@{attribute}"),
            Self::JsonLd(path) => format!("json_ld.{path}"),
            Self::DataLayer(path) => format!("data_layer.{path}"),
        }
    }
}

/// Reads what follows `html(`: the selector runs to the last `")` or `")@`.
fn html(rest: &str) -> Result<Source, String> {
    let written = || "write `html(\"CSS\")` or `html(\"CSS\")@ATTRIBUTE`".to_owned();
    let rest = rest.strip_prefix('"').ok_or_else(written)?;
    let (css, attribute) = match rest.rsplit_once("\")") {
        Some((css, "")) => (css, None),
        Some((css, after)) => (css, Some(after.strip_prefix('@').ok_or_else(written)?)),
        None => return Err(written()),
    };
    if css.trim().is_empty() || attribute.is_some_and(str::is_empty) {
        return Err(written());
    }
    let attribute = attribute.map(str::to_ascii_lowercase);
    Ok(Source::Page(PageSource::Html { css: css.to_owned(), attribute }))
}

fn header(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| format!("`{name}` is not the name of a header"))
}

/// A JSON pointer; its first slash may be left out.
fn pointer(text: &str) -> Result<String, String> {
    match text {
        "" => Err("a pointer is missing, such as `/order/id`".to_owned()),
        _ if text.starts_with('/') => Ok(text.to_owned()),
        _ => Ok(format!("/{text}")),
    }
}

fn clean(found: &str) -> Option<String> {
    let text = found.trim();
    let clean = !text.is_empty() && text.len() <= MAX_FIELD && !text.chars().any(char::is_control);
    clean.then(|| text.to_owned())
}

/// Longest field in bytes; a longer one is left out.
const MAX_FIELD: usize = 1024;
