//! What a visitor sends.

use super::{CASE, FETCH};

/// A request, independent of the version of HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    /// Path and query, or `*`; bytes beyond ASCII as Latin-1 characters.
    pub(crate) target: String,
    /// As HTTP/1 writes them; HTTP/2 sends the names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Sending,
    /// HTTP/1.0 where that can be said.
    pub(crate) is_http10: bool,
}

/// The body of a request.
#[derive(Clone, Debug)]
pub(crate) enum Sending {
    Nothing,
    /// With `Content-Length`.
    Whole(Vec<u8>),
    /// In chunks of so many bytes, of unknown length as a whole.
    Chunks(Vec<u8>, usize),
}

impl Ask {
    /// A request of a browser for a page.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let headers = [
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            ("Accept-Language", "en"),
            ("Accept-Encoding", "gzip, deflate, br, zstd"),
            ("Sec-Fetch-Dest", "document"),
            ("Sec-Fetch-Mode", "navigate"),
        ];
        Self {
            method: method.into(),
            target: target.into(),
            headers: headers.map(|(name, value)| (name.into(), value.into())).into(),
            body: Sending::Nothing,
            is_http10: false,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Leaves a header of browsers out.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Sending::Whole(body.as_ref().to_vec());
        self
    }

    pub(crate) fn chunks(mut self, body: impl AsRef<[u8]>, size: usize) -> Self {
        self.body = Sending::Chunks(body.as_ref().to_vec(), size);
        self
    }

    pub(crate) fn http10(mut self) -> Self {
        self.is_http10 = true;
        self
    }

    /// The same request with a parameter more, if its target can have one.
    pub(crate) fn parameter(mut self, pair: &str) -> Self {
        if self.target != "*" {
            self.target.push(if self.target.contains('?') { '&' } else { '?' });
            self.target.push_str(pair);
        }
        self
    }

    /// The same request, marked for the origin's notes.
    pub(crate) fn marked(&self, case: &str, fetch: &str) -> Self {
        self.clone().header(CASE, case).header(FETCH, fetch)
    }

    pub(crate) fn expects_continue(&self) -> bool {
        self.headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("expect") && value == "100-continue")
    }
}
