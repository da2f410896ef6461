//! The request of a visitor that a record tells of: which page it was, and little of who asked for it.
//!
//! What stands in a query may be a click ID, an address of a person or a key to an account, whatever its
//! name, so its values are stars; and so is what rules read of the path as something personal. Whether
//! anything of a request may be told at all is decided by whoever tells it.

use std::{borrow::Cow, fmt};

use http::Method;
use percent_encoding::percent_decode_str;

use super::{Personal, veil::STARS};
use crate::{
    store::mask::is_personal,
    tracking::{
        mask::Mask,
        visit::{Request, Visit},
    },
};

/// What a visitor asked for.
pub struct PageRequest {
    method: Method,
    /// `https://shop.example`
    origin: String,
    path: String,
    query: String,
    /// What is personal in the path.
    personal: Vec<String>,
    secrets: Mask,
}

impl PageRequest {
    /// Keeps what a record may show of a request.
    #[must_use]
    pub fn new(request: &Request<'_>, visit: &Visit, secrets: &Mask) -> Self {
        let (scheme, host, port) = visit.origin();
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let personal = visit.path_values().filter(|(name, _)| is_personal(name)).map(|(_, value)| value.to_owned());
        Self {
            method: request.method.clone(),
            origin: format!("{scheme}://{host}{port}"),
            path: request.path.to_owned(),
            query: request.query.to_owned(),
            personal: personal.filter(|value| !value.is_empty()).collect(),
            secrets: secrets.clone(),
        }
    }

    /// Its method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.method.as_str()
    }

    /// Its address, as much as is to be shown of it.
    #[must_use]
    pub fn url(&self, personal: Personal) -> String {
        let (path, query): (_, Cow<'_, str>) = match personal {
            Personal::Keep => (Cow::Borrowed(&*self.path), Cow::Borrowed(&*self.query)),
            Personal::Mask => (masked_path(&self.path, &self.personal), masked_query(&self.query).into()),
        };
        let question = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{question}{query}", self.origin);
        String::from_utf8_lossy(&self.secrets.masked(url.as_bytes())).into_owned()
    }
}

/// An address may be somebody's.
impl fmt::Debug for PageRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageRequest").field("method", &self.method).finish_non_exhaustive()
    }
}

/// The path with stars for the segments that hold something personal, or look as if they did.
fn masked_path<'a>(path: &'a str, personal: &[String]) -> Cow<'a, str> {
    if personal.is_empty() && !path.bytes().any(|byte| matches!(byte, b'@' | b'%')) {
        return path.into();
    }
    let mut found = vec![false; personal.len()];
    let segments: Vec<&str> = path
        .split('/')
        .map(|segment| {
            let text = percent_decode_str(segment).decode_utf8_lossy();
            let mut is_hidden = text.contains('@');
            for (value, found) in personal.iter().zip(&mut found) {
                if text.contains(value.as_str()) {
                    (is_hidden, *found) = (true, true);
                }
            }
            if is_hidden { STARS } else { segment }
        })
        .collect();
    // A value that spans several segments.
    if found.contains(&false) { format!("/{STARS}").into() } else { segments.join("/").into() }
}

/// The names alone, and of these only what looks like one.
fn masked_query(query: &str) -> String {
    if query.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    for pair in query.split('&') {
        if !out.is_empty() {
            out.push('&');
        }
        if out.len() > super::record::MAX_URL {
            break;
        }
        match pair.split_once('=') {
            // `dG9rZW4=` is a token of somebody's.
            Some((name, value)) if is_name(name) && !value.trim_matches('=').is_empty() => {
                out.extend([name, "=", STARS]);
            }
            Some(_) | None => out.push_str(STARS),
        }
    }
    out
}

fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte);
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_letter)
}

const LONGEST_NAME: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_query_are_stars_and_so_is_what_is_no_name() {
        for (query, shown) in [
            ("", ""),
            ("exotracker=abc&utm_source=x&a[b]=1", "exotracker=***&utm_source=***&a[b]=***"),
            ("jane@mail.example", "***"),
            ("jane%40mail.example=1", "***"),
            ("dG9rZW4tb2Ytc29tZWJvZHk=", "***"),
            ("dG9rZW4==&a", "***&***"),
            ("a=b=c&&é=1", "a=***&***&***"),
            (&format!("{}=1", "n".repeat(33)), "***"),
        ] {
            assert_eq!(masked_query(query), shown, "{query}");
        }
        assert!(masked_query(&"a=1&".repeat(100_000)).len() < 5000);
    }

    #[test]
    fn what_is_personal_in_a_path_is_stars_however_it_is_written() {
        for (path, personal, shown) in [
            ("/thanks/1001", &[][..], "/thanks/1001"),
            ("/thanks/1001/Jane%20Doe", &["Jane Doe"], "/thanks/1001/***"),
            ("/thanks/jane-1001.html", &["jane"], "/thanks/***"),
            ("/a/jane%40mail.example/b", &[], "/a/***/b"),
            ("/a/jane@mail.example", &[], "/a/***"),
            ("/a/%zz%ff", &[], "/a/%zz%ff"),
            ("/a/b/c", &["b/c"], "/***"),
        ] {
            let personal: Vec<String> = personal.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(masked_path(path, &personal), shown, "{path}");
        }
    }
}
