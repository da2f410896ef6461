//! The Content-Security-Policy of a passing page: whether it lets pixels load, and what it would have
//! to say for that.
//!
//! A page may have many policies, in several headers, several to a header, and in `<meta>` elements.
//! Each of them must allow an address (CSP3, "Should request be blocked?"). Those in headers can be amended, those
//! in elements only read ([`meta`]). Nothing is ever relaxed but the one list that governs images or
//! frames, and that only by what is missing in it. How the addresses come about is decided elsewhere.
//!
//! CSP3 is <https://www.w3.org/TR/CSP3/>, Content Security Policy Level 3.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;

use policy::{Kind, Needed};
pub use source::Page;

pub mod meta;
mod policy;
mod source;
#[cfg(test)]
mod tests;

/// What is done about a page's own policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CspMode {
    /// The hosts that injected pixels need are added to it.
    #[default]
    Amend,
    /// It stays as it is; pixels that it forbids are not injected.
    Respect,
}

impl CspMode {
    /// Whether the policies in these headers, after what this mode does to them, let a pixel load.
    #[must_use]
    pub fn lets_load(self, headers: &HeaderMap, page: &Page, url: &str) -> bool {
        if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
            return true;
        }
        let Ok(url) = Url::parse(url) else { return false };
        let can_be_added = self == Self::Amend && source::source_for(&url).is_some();
        let mut enforced = headers.get_all(header::CONTENT_SECURITY_POLICY).iter();
        can_be_added || enforced.all(|value| policy::allows_all(value.as_bytes(), Kind::Image, &url, page))
    }
}

/// A header that must change, with all its lines.
pub type Amendment = (HeaderName, Vec<HeaderValue>);

/// What the headers must say so that these pixels load; nothing for a header that lets them already.
///
/// Policies that only report are amended like the others, so that they report nothing new.
#[must_use]
pub fn amended_for_pixels<'a>(
    headers: &HeaderMap,
    page: &Page,
    urls: impl IntoIterator<Item = &'a str>,
) -> Vec<Amendment> {
    if !HEADERS.iter().any(|name| headers.contains_key(name)) {
        return Vec::new();
    }
    let needed = urls.into_iter().filter_map(|url| {
        let url = Url::parse(url).ok()?;
        Some(Needed { source: source::source_for(&url)?, url })
    });
    amended(headers, Kind::Image, page, &needed.collect::<Vec<_>>())
}

/// What the headers must say so that a hidden frame of the page's own origin loads: `frame-src 'self'`.
///
/// For verdicts that are still open when the page leaves: the frame learns of them later.
#[must_use]
pub fn amended_for_own_frame(headers: &HeaderMap, page: &Page, path: &str) -> Vec<Amendment> {
    if !HEADERS.iter().any(|name| headers.contains_key(name)) {
        return Vec::new();
    }
    let Some(url) = page.url(path) else { return Vec::new() };
    amended(headers, Kind::Frame, page, &[Needed { url, source: "'self'".to_owned() }])
}

fn amended(headers: &HeaderMap, kind: Kind, page: &Page, needed: &[Needed]) -> Vec<Amendment> {
    let amend = |name: &HeaderName| {
        let mut is_changed = false;
        let lines = headers.get_all(name).iter().map(|line| {
            let changed = policy::amend_all(line.as_bytes(), kind, needed, page);
            let changed = changed.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
            is_changed |= changed.is_some();
            changed.unwrap_or_else(|| line.clone())
        });
        let lines = lines.collect();
        is_changed.then(|| (name.clone(), lines))
    };
    HEADERS.iter().filter_map(amend).collect()
}

static HEADERS: [HeaderName; 2] = [header::CONTENT_SECURITY_POLICY, header::CONTENT_SECURITY_POLICY_REPORT_ONLY];
