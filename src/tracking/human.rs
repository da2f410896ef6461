//! Whether a request is a person looking at a page.

use http::{HeaderMap, Method};

/// Why a request is served but never counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAVisit {
    /// The browser fetches ahead of time.
    Prefetch,
    /// A HEAD request, or something other than a page: an image, a script, a fragment.
    NotDocument,
}

/// Tells pages from everything else, by what browsers say of themselves.
///
/// `Sec-Purpose` and `Sec-Fetch-Dest`: W3C Fetch Metadata, 2025; `Purpose` and `X-Moz`: older
/// Chromium, Safari and Firefox. A request without these headers counts as a page.
#[must_use]
pub fn not_a_visit(method: &Method, headers: &HeaderMap) -> Option<NotAVisit> {
    let says = |name: &str, word: &str| {
        headers.get(name).is_some_and(|value| memchr::memmem::find(value.as_bytes(), word.as_bytes()).is_some())
    };
    if says("sec-purpose", "prefetch") || says("purpose", "prefetch") || says("x-moz", "prefetch") {
        return Some(NotAVisit::Prefetch);
    }
    let destination = headers.get("sec-fetch-dest").map(http::HeaderValue::as_bytes);
    let is_page = matches!(destination, None | Some(b"document" | b"iframe" | b"frame"));
    (method == Method::HEAD || !is_page).then_some(NotAVisit::NotDocument)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, headers: &[(&'static str, &'static str)]) -> Option<NotAVisit> {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        not_a_visit(method, &headers.collect())
    }

    #[test]
    fn only_a_page_that_somebody_sees_is_a_visit() {
        assert_eq!(asked(&Method::GET, &[]), None);
        assert_eq!(asked(&Method::GET, &[("sec-fetch-dest", "document")]), None);
        assert_eq!(asked(&Method::HEAD, &[]), Some(NotAVisit::NotDocument));
        assert_eq!(asked(&Method::GET, &[("sec-fetch-dest", "image")]), Some(NotAVisit::NotDocument));
        assert_eq!(asked(&Method::GET, &[("sec-purpose", "prefetch;prerender")]), Some(NotAVisit::Prefetch));
        assert_eq!(asked(&Method::GET, &[("x-moz", "prefetch")]), Some(NotAVisit::Prefetch));
    }
}
