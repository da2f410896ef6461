//! Whether a request is a person looking at a page.

use http::{HeaderMap, HeaderName, Method};

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
    let fetches_ahead =
        |name| headers.get(name).is_some_and(|value| memchr::memmem::find(value.as_bytes(), b"prefetch").is_some());
    if PURPOSES.iter().any(fetches_ahead) {
        return Some(NotAVisit::Prefetch);
    }
    let destination = headers.get(&DESTINATION).map(http::HeaderValue::as_bytes);
    let is_page = matches!(destination, None | Some(b"document" | b"iframe" | b"frame"));
    (method == Method::HEAD || !is_page).then_some(NotAVisit::NotDocument)
}

// Parsed names: a look-up by text would parse it each time.
static PURPOSES: [HeaderName; 3] =
    [HeaderName::from_static("sec-purpose"), HeaderName::from_static("purpose"), HeaderName::from_static("x-moz")];
static DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");

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
