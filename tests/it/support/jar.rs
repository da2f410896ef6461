//! Cookies as a browser keeps them for one host.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A `Set-Cookie` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetCookie {
    pub(crate) name: String,
    /// As it stands on the wire, not decoded.
    pub(crate) value: String,
    /// Attributes by lower-case name; flags have an empty value.
    pub(crate) attributes: BTreeMap<String, String>,
}

/// What the visitor's browser kept: path, lifetime and deletion count, the domain does not.
#[derive(Clone, Debug, Default)]
pub(super) struct Jar {
    cookies: Vec<(SetCookie, Option<Instant>)>,
}

impl SetCookie {
    /// Reads the value of a `Set-Cookie` header.
    pub(crate) fn parse(line: &str) -> Self {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie without =");
        let attributes = parts
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(key, value)| (key.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self { name: name.into(), value: value.into(), attributes }
    }

    /// An attribute's value; empty for a flag.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    fn path(&self) -> &str {
        self.attribute("path").filter(|path| path.starts_with('/')).unwrap_or("/")
    }

    /// When it ends; `None` is the session's end.
    fn expires(&self) -> Option<Instant> {
        let seconds: i64 = self.attribute("max-age")?.parse().expect("a Max-Age that is no number");
        Some(Instant::now() + Duration::from_secs(seconds.try_into().unwrap_or(0)))
    }
}

impl Jar {
    /// Keeps, replaces or deletes, as browsers do over plain http: `Secure` ones are refused.
    pub(super) fn take(&mut self, cookie: SetCookie) {
        if cookie.attribute("secure").is_some() {
            return;
        }
        self.cookies.retain(|(old, _)| old.name != cookie.name || old.path() != cookie.path());
        let expires = cookie.expires();
        if expires.is_none_or(|at| at > Instant::now()) {
            self.cookies.push((cookie, expires));
        }
    }

    /// The `Cookie` header for a path.
    pub(super) fn header(&self, target: &str) -> Option<String> {
        let path = target.split('?').next().unwrap_or_default();
        let mut cookies: Vec<&SetCookie> = self.alive().filter(|cookie| covers(cookie.path(), path)).collect();
        // Longer paths come first (RFC 6265 section 5.4).
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path().len()));
        let pairs: Vec<String> =
            cookies.into_iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// A cookie's value, whatever its path.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.alive().find(|cookie| cookie.name == name).map(|cookie| cookie.value.clone())
    }

    fn alive(&self) -> impl Iterator<Item = &SetCookie> {
        let now = Instant::now();
        self.cookies.iter().filter(move |(_, expires)| expires.is_none_or(|at| at > now)).map(|(cookie, _)| cookie)
    }
}

/// Path matching of RFC 6265 section 5.1.4.
fn covers(cookie: &str, path: &str) -> bool {
    path.strip_prefix(cookie).is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}
