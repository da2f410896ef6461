//! One source expression, such as `https://*.example.com:8443/path/`, and whether an address matches
//! it (CSP3, 2.3.1 and "Does url match expression in origin with redirect count?").
//!
//! What is no valid expression matches nothing, as in browsers. Nonces, hashes and the other keywords
//! mean nothing for images and frames.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// Where a page stands, as its visitor's browser sees it.
#[derive(Clone, Debug)]
pub struct Page {
    scheme: &'static str,
    host: String,
    port: Option<u16>,
}

impl Page {
    /// A page by its scheme (`http` or `https`), its host and the port behind that.
    #[must_use]
    pub fn at(scheme: &'static str, host: &str, port: Option<u16>) -> Self {
        let default = if scheme == "https" { 443 } else { 80 };
        Self { scheme, host: host.to_owned(), port: port.filter(|port| *port != default) }
    }

    /// An address of the page's own origin.
    pub(super) fn url(&self, path: &str) -> Option<Url> {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        Url::parse(&format!("{}://{}{port}{path}", self.scheme, self.host)).ok()
    }

    /// `'self'`: the page's origin, or the same host by a safer scheme (CSP3, "Does url match expression", last step).
    fn is_origin_of(&self, url: &Url) -> bool {
        url.host_str().is_some_and(|host| host.eq_ignore_ascii_case(&self.host))
            && url.port() == self.port
            && (url.scheme() == self.scheme || matches!((self.scheme, url.scheme()), ("http", "https" | "wss")))
    }
}

/// Whether an address matches an expression.
pub(super) fn matches(expression: &str, url: &Url, page: &Page) -> bool {
    if expression == "*" {
        return matches!(url.scheme(), "http" | "https");
    }
    if expression.starts_with('\'') {
        return expression.eq_ignore_ascii_case("'self'") && page.is_origin_of(url);
    }
    if let Some(scheme) = expression.strip_suffix(':') {
        return is_scheme(scheme) && is_scheme_match(scheme, url.scheme());
    }
    HostSource::parse(expression).is_some_and(|source| source.matches(url, page))
}

/// The narrowest expression that a host can be added by; none for what no expression can name.
pub(super) fn source_for(url: &Url) -> Option<String> {
    let is_nameable = match url.host()? {
        Host::Domain(name) => is_host(name),
        Host::Ipv4(_) => true,
        Host::Ipv6(_) => false,
    };
    if !is_nameable || !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{}{port}", url.scheme(), url.host_str()?))
}

struct HostSource<'a> {
    scheme: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
}

impl<'a> HostSource<'a> {
    fn parse(expression: &'a str) -> Option<Self> {
        let (scheme, rest) = match expression.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, expression),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let is_port = |port: &str| port == "*" || !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let is_valid = scheme.is_none_or(is_scheme)
            && (host == "*" || is_host(host.strip_prefix("*.").unwrap_or(host)))
            && port.is_none_or(is_port)
            && !path.contains(['?', '#']);
        is_valid.then_some(Self { scheme, host, port, path })
    }

    fn matches(&self, url: &Url, page: &Page) -> bool {
        is_scheme_match(self.scheme.unwrap_or(page.scheme), url.scheme())
            && self.matches_host(url)
            && self.matches_port(url)
            && is_path_match(self.path, url.path())
    }

    /// CSP3, "host-part match". Addresses of digits match as text, as they do in browsers, but no wildcard.
    fn matches_host(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        if !self.host.starts_with('*') {
            return self.host.eq_ignore_ascii_case(host);
        }
        let suffix = self.host.trim_start_matches('*');
        let end = host.len().checked_sub(suffix.len()).and_then(|at| host.get(at..));
        url.domain().is_some() && end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    }

    /// CSP3, "port-part match".
    fn matches_port(&self, url: &Url) -> bool {
        match self.port {
            None => url.port().is_none(),
            Some("*") => true,
            Some(port) => port.parse().ok() == url.port_or_known_default(),
        }
    }
}

/// Whether a policy that names `scheme` means this one too: the safer of a pair is (CSP3, "scheme-part match").
fn is_scheme_match(scheme: &str, of_url: &str) -> bool {
    scheme.eq_ignore_ascii_case(of_url)
        || scheme.eq_ignore_ascii_case("http") && of_url == "https"
        || scheme.eq_ignore_ascii_case("ws") && matches!(of_url, "wss" | "http" | "https")
        || scheme.eq_ignore_ascii_case("wss") && of_url == "https"
}

/// CSP3, "path-part match": a path that ends with a slash means all below it.
fn is_path_match(pattern: &str, path: &str) -> bool {
    if pattern.is_empty() {
        return true;
    }
    let (wanted, is_exact) = pattern.strip_suffix('/').map_or((pattern, true), |start| (start, false));
    let mut pieces = path.split('/');
    let same = |(wanted, piece): (&str, Option<&str>)| {
        piece.is_some_and(|piece| percent_decode_str(wanted).eq(percent_decode_str(piece)))
    };
    let begins = wanted.split('/').all(|wanted| same((wanted, pieces.next())));
    let next = pieces.next();
    begins && if is_exact { next.is_none() } else { next.is_some() }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_host(text: &str) -> bool {
    let labels = text.strip_suffix('.').unwrap_or(text);
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    labels.split('.').all(is_label)
}
