//! Whether a request is a person looking at a page.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::bot::is_bot;

/// Why a request is served but never counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAVisit {
    /// The browser fetches ahead of time.
    Prefetch,
    /// A HEAD request, or something other than a page: an image, a script, a fragment.
    NotDocument,
    /// A program looks at the page.
    Bot,
}

/// Tells pages from everything else, by what browsers and the scripts in them say of themselves.
///
/// `Sec-Purpose` and `Sec-Fetch-Dest`: W3C Fetch Metadata, 2025; `Purpose` and `X-Moz`: older
/// Chromium, Safari and Firefox; `X-Sec-Purpose`: Turbo, for links under the pointer. A request without
/// these headers counts as a page.
///
/// Scripts fetch fragments, and some fetch whole pages in place of the browser: a boosted link or form
/// of htmx (`HX-Boosted`), a visit of Turbo Drive (`X-Turbo-Request-Id` without `Turbo-Frame`). These
/// put the body of the answer in place of the old one, pixels included, and the visitor looks at a new
/// page; so they count, although browsers can only call them `Sec-Fetch-Dest: empty`.
#[must_use]
pub fn not_a_visit(method: &Method, headers: &HeaderMap) -> Option<NotAVisit> {
    let fetches_ahead =
        |name| headers.get(name).is_some_and(|value| memchr::memmem::find(value.as_bytes(), b"prefetch").is_some());
    if PURPOSES.iter().any(fetches_ahead) {
        return Some(NotAVisit::Prefetch);
    }
    let destination = headers.get(&DESTINATION).map(HeaderValue::as_bytes);
    let is_page = match destination {
        None | Some(b"document" | b"iframe" | b"frame") => !is_scripted(headers) || is_whole_page(headers),
        Some(b"empty") => is_whole_page(headers),
        Some(_) => false,
    };
    if method == Method::HEAD || !is_page {
        return Some(NotAVisit::NotDocument);
    }
    is_bot(headers).then_some(NotAVisit::Bot)
}

/// Whether a script asks, and not the browser.
///
/// `X-Requested-With` with another value is the name of the app around an Android `WebView`.
fn is_scripted(headers: &HeaderMap) -> bool {
    says(headers, &HX_REQUEST, b"true")
        || says(headers, &REQUESTED_WITH, b"XMLHttpRequest")
        || headers.contains_key(&TURBO_FRAME)
        || headers.contains_key(&TURBO_REQUEST)
}

/// Whether it asks for a page to put in place of this one.
fn is_whole_page(headers: &HeaderMap) -> bool {
    let is_boosted = says(headers, &HX_REQUEST, b"true") && says(headers, &HX_BOOSTED, b"true");
    let is_drive = headers.contains_key(&TURBO_REQUEST) && !headers.contains_key(&TURBO_FRAME);
    is_boosted || is_drive
}

fn says(headers: &HeaderMap, name: &HeaderName, value: &[u8]) -> bool {
    headers.get(name).is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value))
}

// Parsed names: a look-up by text would parse it each time.
static PURPOSES: [HeaderName; 4] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-moz"),
    HeaderName::from_static("x-sec-purpose"),
];
static DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");
static HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
static HX_BOOSTED: HeaderName = HeaderName::from_static("hx-boosted");
static REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");
static TURBO_FRAME: HeaderName = HeaderName::from_static("turbo-frame");
static TURBO_REQUEST: HeaderName = HeaderName::from_static("x-turbo-request-id");

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, headers: &[(&'static str, &'static str)]) -> Option<NotAVisit> {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        not_a_visit(method, &headers.collect())
    }

    #[test]
    fn fragments_are_not_pages_and_scripted_pages_are() {
        let empty = ("sec-fetch-dest", "empty");
        for fragment in [
            vec![empty],
            vec![("hx-request", "true")],
            vec![("hx-request", "true"), ("hx-boosted", "false"), empty],
            vec![("hx-boosted", "true"), empty],
            vec![("x-requested-with", "XMLHttpRequest")],
            vec![("turbo-frame", "cart")],
            vec![("turbo-frame", "cart"), ("x-turbo-request-id", "7"), empty],
            vec![("x-turbo-request-id", "7"), ("sec-fetch-dest", "script")],
        ] {
            assert_eq!(asked(&Method::GET, &fragment), Some(NotAVisit::NotDocument), "{fragment:?}");
        }
        for page in [
            vec![("hx-request", "true"), ("hx-boosted", "true"), empty],
            vec![("x-turbo-request-id", "7"), empty],
            vec![("x-turbo-request-id", "7")],
            vec![("x-requested-with", "com.example.app"), ("sec-fetch-dest", "document")],
            vec![("sec-fetch-dest", "iframe")],
        ] {
            assert_eq!(asked(&Method::GET, &page), None, "{page:?}");
        }
        let hovered = [("x-turbo-request-id", "7"), ("x-sec-purpose", "prefetch"), empty];
        assert_eq!(asked(&Method::GET, &hovered), Some(NotAVisit::Prefetch));
    }

    #[test]
    fn a_bot_that_asks_for_a_page_is_no_visit() {
        let bot = ("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)");
        assert_eq!(asked(&Method::GET, &[bot]), Some(NotAVisit::Bot));
        assert_eq!(asked(&Method::HEAD, &[bot]), Some(NotAVisit::NotDocument));
        assert_eq!(asked(&Method::GET, &[bot, ("purpose", "prefetch")]), Some(NotAVisit::Prefetch));
        let browser = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0");
        assert_eq!(asked(&Method::GET, &[browser]), None);
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
