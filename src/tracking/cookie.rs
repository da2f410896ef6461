//! Cookies: reading the visitor's, writing ours.

use std::{net::IpAddr, time::Duration};

use cookie::{Cookie, SameSite};
use http::{HeaderMap, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The attributes of one of our cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieRule {
    /// Which hosts it is sent to.
    pub domain: Domain,
    /// Which paths it is sent to.
    pub path: String,
    /// Whether other sites' pages send it.
    pub same_site: Site,
    /// Whether it travels over TLS only.
    pub secure: Secure,
    /// Whether scripts are kept from it.
    pub http_only: bool,
}

/// The `Domain` attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The registrable domain of the visited host, by the public suffix list.
    Auto,
    /// No attribute: the visited host alone.
    HostOnly,
    /// This domain.
    Fixed(String),
}

/// The `SameSite` attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// `Strict`.
    Strict,
    /// `Lax`.
    Lax,
    /// `None`, which browsers take only with `Secure`.
    None,
}

/// The `Secure` attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secure {
    /// As the page was reached.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Default for CookieRule {
    fn default() -> Self {
        Self { domain: Domain::Auto, path: "/".into(), same_site: Site::Lax, secure: Secure::Auto, http_only: true }
    }
}

/// One of our cookies, ready to be set: everything but its value and the visited host.
#[derive(Clone, Debug)]
pub struct SetCookie {
    name: String,
    rule: CookieRule,
    /// The attributes for pages that were reached without and with TLS.
    attributes: [String; 2],
}

impl SetCookie {
    /// Prepares a cookie.
    #[must_use]
    pub fn new(name: &str, rule: &CookieRule, ttl: Duration) -> Self {
        let attributes = [false, true].map(|over_tls| rule.attributes(Some(ttl), over_tls));
        Self { name: name.to_owned(), rule: rule.clone(), attributes }
    }

    /// The cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a `Set-Cookie` header.
    ///
    /// `value` must already be encoded ([`encode_value`]).
    #[must_use]
    pub fn line(&self, value: &str, host: &str, over_tls: bool) -> String {
        let [plain, secure] = &self.attributes;
        self.with(value, if over_tls { secure } else { plain }, host)
    }

    /// The value of a `Set-Cookie` header that lasts as long as the browser runs.
    #[must_use]
    pub fn session_line(&self, value: &str, host: &str, over_tls: bool) -> String {
        self.with(value, &self.rule.attributes(None, over_tls), host)
    }

    /// The value of a `Set-Cookie` header that deletes the cookie: browsers want to see the same attributes.
    #[must_use]
    pub fn erasing_line(&self, host: &str, over_tls: bool) -> String {
        self.with("", &self.rule.attributes(Some(Duration::ZERO), over_tls), host)
    }

    fn with(&self, value: &str, attributes: &str, host: &str) -> String {
        let domain = match &self.rule.domain {
            Domain::Auto => registrable_domain(host),
            Domain::HostOnly => None,
            Domain::Fixed(domain) => Some(domain.as_str()),
        };
        let (mark, domain) = domain.map_or(("", ""), |domain| ("; Domain=", domain));
        [self.name.as_str(), "=", value, attributes, mark, domain].concat()
    }
}

impl CookieRule {
    /// `; HttpOnly; SameSite=Lax; …`, without the domain.
    fn attributes(&self, ttl: Option<Duration>, over_tls: bool) -> String {
        let secure = match self.secure {
            Secure::Auto => over_tls,
            Secure::Always => true,
            Secure::Never => false,
        };
        let same_site = match self.same_site {
            Site::Strict => SameSite::Strict,
            Site::None if secure => SameSite::None,
            // Browsers drop `SameSite=None` without `Secure` (draft-ietf-httpbis-rfc6265bis section 5.7).
            Site::Lax | Site::None => SameSite::Lax,
        };
        let cookie =
            Cookie::build(("", "")).path(&self.path).same_site(same_site).secure(secure).http_only(self.http_only);
        let seconds = |ttl: Duration| i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let cookie = match ttl {
            Some(ttl) => cookie.max_age(::cookie::time::Duration::seconds(seconds(ttl))),
            None => cookie,
        };
        cookie.build().to_string().split_off("=".len())
    }
}

/// The raw value of the first cookie with this name.
///
/// Browsers send the cookie with the longest path first (RFC 6265 section 5.4).
#[must_use]
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| std::str::from_utf8(line.as_bytes()).ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim_start().strip_prefix(name)?.strip_prefix('='))
        .map(str::trim_end)
}

/// The raw values of all cookies with this name, in the order in which they were sent.
pub fn find_all<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    pairs(headers).filter_map(move |(found, value)| (found == name.as_bytes()).then_some(value))
}

/// All cookies of a request by name, raw, in the order in which they were sent.
///
/// A value may hold anything but a `;`: consent banners write spaces, quotes, braces and commas, and
/// one cookie that is not text must not hide its neighbours.
pub fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = headers.get_all(header::COOKIE).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).filter_map(|pair| {
        let (name, value) = pair.split_at_checked(memchr::memchr(b'=', pair)?)?;
        Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
    })
}

/// Appends a text as it may stand in a cookie: everything but RFC 6265's cookie-octets, and `%` and
/// `,` as well, is percent-encoded.
pub fn encode_value(text: &str, out: &mut String) {
    out.extend(utf8_percent_encode(text, NOT_COOKIE_OCTETS));
}

/// The domain that all hosts of this site share; `None` where a cookie must stay with its host:
/// addresses, single labels, public suffixes.
#[must_use]
pub fn registrable_domain(host: &str) -> Option<&str> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if literal.parse::<IpAddr>().is_ok() || !host.contains('.') {
        return None;
    }
    let domain = psl::domain(host.as_bytes())?;
    std::str::from_utf8(domain.as_bytes()).ok()
}

const NOT_COOKIE_OCTETS: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b',').add(b';').add(b'\\').add(b'%');

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_cookie_belongs_to_the_whole_registrable_domain() {
        assert_eq!(registrable_domain("www.shop.example.co.uk"), Some("example.co.uk"));
        assert_eq!(registrable_domain("shop.de"), Some("shop.de"));
        assert_eq!(registrable_domain("www.shop.internal"), Some("shop.internal"), "unknown: one label is the suffix");
        for alone in ["127.0.0.1", "[::1]", "localhost", "co.uk", "intranet", "github.io"] {
            assert_eq!(registrable_domain(alone), None, "{alone}");
        }
    }

    #[test]
    fn none_over_plain_http_is_sent_as_lax() {
        let rule = CookieRule { same_site: Site::None, ..CookieRule::default() };
        let cookie = SetCookie::new("a", &rule, Duration::from_hours(24));
        assert_eq!(
            cookie.line("b", "www.shop.de", false),
            "a=b; HttpOnly; SameSite=Lax; Path=/; Max-Age=86400; Domain=shop.de"
        );
        assert_eq!(cookie.line("b", "localhost", true), "a=b; HttpOnly; SameSite=None; Secure; Path=/; Max-Age=86400");
    }

    #[test]
    fn a_cookie_is_found_among_many() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_static("xa=0; a=1; a=2"));
        headers.append("cookie", HeaderValue::from_static("b={\"x\":1}"));
        assert_eq!(find(&headers, "a"), Some("1"));
        assert_eq!(find(&headers, "b"), Some("{\"x\":1}"));
        assert_eq!(find(&headers, "c"), None);
    }

    #[test]
    fn all_cookies_of_a_name_are_found_beside_one_that_is_no_text() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_bytes(b"x=\xff; a=1;a = 2 ;nothing; aa=3").unwrap());
        headers.append("cookie", HeaderValue::from_static("a={'b': 'c=d'}"));
        let found = |name| find_all(&headers, name).collect::<Vec<_>>();
        assert_eq!(found("a"), [b"1".as_slice(), b"2", b"{'b': 'c=d'}"]);
        assert_eq!(found("x"), [b"\xff"]);
        assert!(found("nothing").is_empty());
        assert_eq!(pairs(&headers).count(), 5);
    }
}
