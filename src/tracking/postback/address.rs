//! Where a postback goes: an address, and the pairs behind it.

use std::fmt;

use super::Unrenderable;
use crate::tracking::template::{Encoding, Scope, Template, encode_component};

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

/// Adds further pairs.
pub(super) fn push_extra(out: &mut String, extra: &[(&str, String)]) {
    for (name, value) in extra {
        let mut encoded = String::new();
        encode_component(value, &mut encoded);
        push_pair(out, name, &encoded);
    }
}

/// Adds a pair whose value is encoded already.
pub(super) fn push_pair(out: &mut String, name: &str, encoded: &str) {
    if !out.is_empty() {
        out.push('&');
    }
    encode_component(name, out);
    out.push('=');
    out.push_str(encoded);
}
