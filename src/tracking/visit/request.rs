//! A request: borrowed while it arrives, kept where its answer may need it.

use std::net::IpAddr;

use http::{HeaderMap, Method, header};

use crate::tracking::value::RequestView;

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The raw path.
    pub path: &'a str,
    /// The raw query without its `?`, empty when there is none.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The host of an absolute address or of HTTP/2's `:authority`; without one, `Host` says it.
    pub authority: Option<&'a str>,
    /// Who sent it, and how.
    pub client: Client,
}

/// Who sent a request, as far as it can be trusted.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The visitor's address.
    pub address: IpAddr,
    /// Whether the visitor's browser speaks TLS with us, or with a trusted proxy before us.
    pub over_tls: bool,
}

/// A request that a conversion or a capture looks at: what is read of it is only known when the site
/// has answered, and the request is gone by then.
#[derive(Debug)]
pub(super) struct Record {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    authority: Option<String>,
    client: Client,
}

impl<'a> Request<'a> {
    /// The host it was sent to, as it was sent.
    #[must_use]
    pub fn host(&self) -> &'a str {
        let host = self.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        host.or(self.authority).unwrap_or_default()
    }

    pub(super) fn view<'b>(&self, path: &'b [(String, String)]) -> RequestView<'b>
    where
        'a: 'b,
    {
        RequestView { query: self.query, path, headers: self.headers }
    }

    /// Whether a page of another site has sent a form here, as banks do: browsers then leave out all
    /// cookies with `SameSite=Lax`, as ours are (RFC 6265bis, section 5.8.3).
    pub(super) fn is_form_of_another_site(&self) -> bool {
        let says = |name: &str| self.headers.get(name).map(http::HeaderValue::as_bytes);
        // Older browsers say only where it comes from, or `null`.
        let is_foreign = match says("sec-fetch-site") {
            Some(site) => site == b"cross-site",
            None => says("origin").is_some_and(|origin| {
                let host = std::str::from_utf8(origin).ok().and_then(|origin| origin.split_once("://"));
                host.is_none_or(|(_, host)| !host.eq_ignore_ascii_case(self.host()))
            }),
        };
        is_foreign && self.method == Method::POST
    }

    /// The query of the page it was asked from, if that page is of the same host.
    pub(super) fn query_of_referer(&self) -> Option<&'a str> {
        let referer = self.headers.get(header::REFERER)?.to_str().ok()?;
        let (_, rest) = referer.split_once("://")?;
        let (host, _) = rest.split_once(['/', '?', '#']).unwrap_or((rest, ""));
        if host.is_empty() || !host.eq_ignore_ascii_case(self.host()) {
            return None;
        }
        let (_, query) = rest.split_once('?')?;
        Some(query.split('#').next().unwrap_or_default())
    }
}

impl Record {
    pub(super) fn of(request: &Request<'_>) -> Self {
        Self {
            method: request.method.clone(),
            path: request.path.to_owned(),
            query: request.query.to_owned(),
            headers: request.headers.clone(),
            authority: request.authority.map(ToOwned::to_owned),
            client: request.client,
        }
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            authority: self.authority.as_deref(),
            client: self.client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_site_is_told_by_what_browsers_say() {
        type Said = &'static [(&'static str, &'static str)];
        let cases: [(Method, Said, bool); 9] = [
            (Method::POST, &[("sec-fetch-site", "cross-site"), ("origin", "https://bank.example")], true),
            (Method::POST, &[("sec-fetch-site", "same-site"), ("origin", "https://pay.shop.example")], false),
            (Method::POST, &[("sec-fetch-site", "same-origin")], false),
            (Method::POST, &[("sec-fetch-site", "none"), ("origin", "https://bank.example")], false),
            (Method::POST, &[("origin", "https://bank.example")], true),
            (Method::POST, &[("origin", "null")], true),
            (Method::POST, &[("origin", "https://Shop.example")], false),
            (Method::POST, &[], false),
            (Method::GET, &[("sec-fetch-site", "cross-site")], false),
        ];
        for (method, headers, expected) in cases {
            let own = [("host", "shop.example")];
            let parsed = own
                .iter()
                .chain(headers)
                .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)));
            let headers_read: HeaderMap = parsed.collect();
            let request = Request {
                method: &method,
                path: "/return",
                query: "",
                headers: &headers_read,
                authority: None,
                client: Client { address: IpAddr::from([192, 0, 2, 7]), over_tls: true },
            };
            assert_eq!(request.is_form_of_another_site(), expected, "{method} {headers:?}");
        }
    }
}
