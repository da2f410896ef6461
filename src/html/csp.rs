//! The Content-Security-Policy of a passing page: whether it lets pixels load and a script of ours run, and
//! what it would have to say for that.
//!
//! A page may have many policies, in several headers, several to a header, and in `<meta>` elements.
//! Each of them must allow an address (CSP3, "Should request be blocked?"). Those in headers can be amended, those
//! in elements only read ([`meta`]). Nothing is ever relaxed but the one list that governs images, frames,
//! scripts or connections, and that only by what is missing in it. How the addresses come about is decided elsewhere.
//!
//! CSP3 is <https://www.w3.org/TR/CSP3/>, Content Security Policy Level 3.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;

use policy::{Kind, Needed};
pub use source::Page;

pub mod meta;
mod policy;
mod script;
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
        can_be_added || enforced_allow(headers, Kind::Image, &url, page)
    }

    /// Whether they let a frame of the page's own origin load; [`amended_for_own_frame`] adds what is missing.
    #[must_use]
    pub fn lets_own_frame(self, headers: &HeaderMap, page: &Page, path: &str) -> bool {
        if self == Self::Amend || !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
            return true;
        }
        page.url(path).is_some_and(|url| enforced_allow(headers, Kind::Frame, &url, page))
    }
}

fn enforced_allow(headers: &HeaderMap, kind: Kind, url: &Url, page: &Page) -> bool {
    let mut enforced = headers.get_all(header::CONTENT_SECURITY_POLICY).iter();
    enforced.all(|value| policy::allows_all(value.as_bytes(), kind, url, page))
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

/// By what a script of ours runs in a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptPass {
    /// What its element must have.
    pub nonce: Option<String>,
    /// Whether the nonce was made for this answer alone.
    pub is_fresh: bool,
    /// What the headers must say.
    pub amendments: Vec<Amendment>,
}

impl CspMode {
    /// How a script in the page's own text can run and send to a path of the page's own origin; `None` when
    /// it can't.
    ///
    /// A nonce that the page has is used again: it is as secret as it was.
    #[must_use]
    pub fn pass_script(
        self,
        headers: &HeaderMap,
        page: &Page,
        path: &str,
        fresh: impl FnOnce() -> String,
    ) -> Option<ScriptPass> {
        let lines = |names: &'static [HeaderName]| names.iter().flat_map(|name| headers.get_all(name));
        let policies = |names| lines(names).flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let url = page.url(path)?;
        let found = policies(&HEADERS).find_map(script::nonce);
        // In a page that is respected nobody asks what is only reported.
        let heard = if self == Self::Amend { &HEADERS[..] } else { HEADERS.get(..1)? };
        let runs = |nonce: Option<&str>| policies(heard).all(|policy| script::allows(policy, nonce));
        let connects = policies(heard).all(|policy| policy::allows(policy, Kind::Connection, &url, page));
        let nonce = found.map(ToOwned::to_owned);
        if runs(found) && connects {
            return Some(ScriptPass { nonce, is_fresh: false, amendments: Vec::new() });
        }
        if self == Self::Respect {
            return None;
        }
        let is_fresh = nonce.is_none() && !runs(None);
        let nonce = if is_fresh { Some(fresh()) } else { nonce };
        let needed = [Needed { url, source: "'self'".to_owned() }];
        let amendments = amended_by(headers, |line| {
            let by_nonce = nonce.as_ref().and_then(|nonce| policy::amend_each(line, |it| script::amend(it, nonce)));
            let connected = policy::amend_all(by_nonce.as_deref().unwrap_or(line), Kind::Connection, &needed, page);
            connected.or(by_nonce)
        });
        Some(ScriptPass { nonce, is_fresh, amendments })
    }
}

fn amended(headers: &HeaderMap, kind: Kind, page: &Page, needed: &[Needed]) -> Vec<Amendment> {
    amended_by(headers, |line| policy::amend_all(line, kind, needed, page))
}

fn amended_by(headers: &HeaderMap, change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<Amendment> {
    let amend = |name: &HeaderName| {
        let mut is_changed = false;
        let lines = headers.get_all(name).iter().map(|line| {
            let changed = change(line.as_bytes());
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
