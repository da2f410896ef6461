//! Under which name the console is asked for, and from whose page.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, header};

use crate::tracking::site::normal_host;

/// The names that lead to the console.
#[derive(Debug)]
pub(super) struct Names {
    /// Those that the operator has given to it.
    pub(super) hosts: Vec<String>,
    /// Where it listens.
    pub(super) listen: IpAddr,
}

impl Names {
    /// Whether a request asks for one of them.
    pub(super) fn are_asked_for(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
        let host = normal_host(host);
        if self.hosts.iter().any(|name| *name == *host) {
            return true;
        }
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            // No name stands for itself as an address does, so none can be made to stand for another.
            Ok(address) => {
                let both_here = address.is_loopback() && self.listen.is_loopback();
                address == self.listen || self.listen.is_unspecified() || both_here
            }
            Err(_) => self.listen.is_loopback() && (host == "localhost" || host.ends_with(".localhost")),
        }
    }
}

/// Whether a request comes from a page of this same origin.
///
/// Browsers say so in `Sec-Fetch-Site`, but only to https and localhost (W3C Fetch Metadata, section 2);
/// otherwise `Origin` stands in every form's request that our `Referrer-Policy` does not hide.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
    let host = text(header::HOST);
    origin.is_some_and(|(_, authority)| host.is_some_and(|host| authority.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listen: &str) -> Names {
        Names { hosts: vec!["console.example".to_owned()], listen: listen.parse().unwrap() }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_names_of_ours_lead_to_the_console() {
        for (listen, host, is_ours) in [
            ("127.0.0.1", "127.0.0.1:9180", true),
            ("127.0.0.1", "localhost:9999", true),
            ("127.0.0.1", "LocalHost.", true),
            ("127.0.0.1", "a.localhost", true),
            ("127.0.0.1", "[::1]:9180", true),
            ("127.0.0.1", "console.example", true),
            ("127.0.0.1", "CONSOLE.example:9180", true),
            ("127.0.0.1", "evil.example", false),
            ("127.0.0.1", "localhost.evil.example", false),
            ("127.0.0.1", "127.0.0.1.evil.example", false),
            ("127.0.0.1", "10.0.0.5", false),
            ("127.0.0.1", "", false),
            ("10.0.0.5", "10.0.0.5:9180", true),
            ("10.0.0.5", "10.0.0.6", false),
            ("10.0.0.5", "localhost", false),
            ("0.0.0.0", "192.0.2.7:9180", true),
            ("0.0.0.0", "[2001:db8::1]", true),
            ("0.0.0.0", "localhost", false),
            ("0.0.0.0", "evil.example", false),
        ] {
            assert_eq!(names(listen).are_asked_for(&headers(&[("host", host)])), is_ours, "{listen} as {host:?}");
        }
        assert!(!names("127.0.0.1").are_asked_for(&HeaderMap::new()));
    }

    #[test]
    fn what_changes_something_must_come_from_our_own_pages() {
        for (pairs, is_ours) in [
            (&[("host", "a:1"), ("sec-fetch-site", "same-origin")][..], true),
            (&[("host", "a:1"), ("sec-fetch-site", "same-site"), ("origin", "http://a:1")], false),
            (&[("host", "a:1"), ("sec-fetch-site", "none")], false),
            (&[("host", "a:1"), ("origin", "http://a:1")], true),
            (&[("host", "a:1"), ("origin", "https://A:1")], true),
            (&[("host", "a:1"), ("origin", "http://a")], false),
            (&[("host", "a:1"), ("origin", "http://a:1.evil.example")], false),
            (&[("host", "a:1"), ("origin", "null")], false),
            (&[("host", "a:1")], false),
        ] {
            assert_eq!(is_same_origin(&headers(pairs)), is_ours, "{pairs:?}");
        }
    }
}
