//! Edits of request and response heads.

use http::{HeaderName, HeaderValue, Uri, Version, header, uri::PathAndQuery};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::{
    html::page::Page,
    tracking::{site::SiteRules, target::spared_target, visit::Visit},
};

/// Makes the site answer with a page that can be worked on.
///
/// A 304 could carry neither a cookie nor pixels, a part of a page no pixels, and an encoded page must
/// be decoded first; a client that wants it encoded (`takes_plain` is false) gets it so.
pub(super) fn ask_for_whole_page(request: &mut RequestHeader, visit: &Visit, takes_plain: bool) {
    let is_read_whole = visit.may_edit_page() || visit.may_change() && visit.may_read_answer();
    if visit.has_click_parameter() || is_read_whole {
        request.remove_header(&header::IF_NONE_MATCH);
        request.remove_header(&header::IF_MODIFIED_SINCE);
    }
    if is_read_whole {
        request.remove_header(&header::RANGE);
        request.remove_header(&header::IF_RANGE);
    }
    if visit.may_edit_page() && takes_plain {
        request.remove_header(&header::ACCEPT_ENCODING);
    }
}

/// Takes the click parameters out of the address that the site sees.
pub(super) fn spare_click_parameters(request: &mut RequestHeader, site: &SiteRules) {
    if let Some(target) = spared_target(site, request.raw_path())
        && !set_target(request, &target)
    {
        tracing::debug!("an address without its click parameters is no address");
    }
}

fn set_target(request: &mut RequestHeader, target: &[u8]) -> bool {
    if request.uri.path_and_query().is_none_or(|it| it.as_str().as_bytes() != request.raw_path()) {
        return request.set_raw_path(target).is_ok();
    }
    // The host of an HTTP/2 request stands in its address and must stay there.
    let mut parts = request.uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(target).ok();
    Uri::from_parts(parts).map(|uri| request.set_uri(uri)).is_ok()
}

/// Adds our cookies, and keeps the answer from shared caches.
pub(super) fn set_cookies(response: &mut ResponseHeader, lines: &[String]) {
    let mut added = false;
    for line in lines {
        if let Ok(value) = HeaderValue::try_from(line.as_str()) {
            added |= response.append_header(header::SET_COOKIE, value).is_ok();
        }
    }
    if added {
        keep_from_shared_caches(response);
    }
}

/// Takes the permission from shared caches to store this answer; what browsers were told stays.
pub(super) fn keep_from_shared_caches(response: &mut ResponseHeader) {
    restrict(response, &FOR_SHARED_CACHES, "private");
}

/// Takes it from browsers, too: a stored page would show its pixels a second time.
pub(super) fn keep_from_all_caches(response: &mut ResponseHeader) {
    restrict(response, &FOR_CACHES, "private, no-cache");
}

/// Shows a visitor who previews the site what was decided, and has nobody keep the answer: what it shows
/// was true once.
pub(super) fn show_preview(response: &mut ResponseHeader, decisions: HeaderValue) {
    set(response, PREVIEW, decisions);
    restrict(response, &FOR_CACHES, "private, no-store");
}

/// Puts `restriction` in the place of all that speaks against it, wherever a cache may look.
fn restrict(response: &mut ResponseHeader, against: &[&str], restriction: &'static str) {
    let mut kept = String::new();
    for line in response.headers.get_all(header::CACHE_CONTROL) {
        // Field names may stand in quotes: `private="set-cookie, x-user"` (RFC 9111 section 5.2.2.7).
        let mut is_quoted = false;
        let directives = line.to_str().unwrap_or_default().split(move |letter| {
            is_quoted ^= letter == '"';
            letter == ',' && !is_quoted
        });
        for directive in directives.map(str::trim).filter(|it| !it.is_empty()) {
            let name = directive.split('=').next().unwrap_or_default().trim();
            if !against.iter().any(|known| name.eq_ignore_ascii_case(known)) {
                kept.push_str(directive);
                kept.push_str(", ");
            }
        }
    }
    let plain = HeaderValue::from_static(restriction);
    let control = if kept.is_empty() {
        plain
    } else {
        kept.push_str(restriction);
        HeaderValue::try_from(kept).unwrap_or(plain)
    };
    for name in response.headers.keys().filter(|name| is_for_one_cache(name)).cloned().collect::<Vec<_>>() {
        // nginx reads a number of seconds, everybody else directives.
        let never = if name == X_ACCEL_EXPIRES { "0" } else { "no-store" };
        set(response, name, HeaderValue::from_static(never));
    }
    set(response, header::CACHE_CONTROL, control);
    set(response, SURROGATE_CONTROL, HeaderValue::from_static("no-store"));
    set(response, CDN_CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Whether a header speaks to one product's caches, which heed it before `Cache-Control`: nginx's,
/// Akamai's, and the targeted fields that end alike (RFC 9213, section 2).
fn is_for_one_cache(name: &HeaderName) -> bool {
    *name == X_ACCEL_EXPIRES || *name == EDGE_CONTROL || name.as_str().ends_with("-cache-control")
}

/// Takes back what the head says of the bytes that the site sent: they will be others.
///
/// A page that came encoded leaves in gzip if the client takes it. `Vary` stays: for other visitors the
/// site's answer still depends on it.
pub(super) fn of_unknown_length(response: &mut ResponseHeader, page: Page, takes_gzip: bool) {
    response.remove_header(&header::CONTENT_LENGTH);
    if page.coding.is_some() && takes_gzip {
        set(response, header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    } else if page.coding.is_some() {
        response.remove_header(&header::CONTENT_ENCODING);
    }
    // Without validators a browser asks for the page again instead of showing this visitor's pixels a
    // second time.
    for name in &VALIDATORS {
        response.remove_header(name);
    }
}

/// Prepares for a body whose length is known when it has ended.
pub(super) fn in_chunks(response: &mut ResponseHeader, is_http10: bool) {
    if is_http10 {
        response.remove_header(&header::TRANSFER_ENCODING);
    } else {
        set(response, header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Takes a site's HTTP/1.0 out of an answer that is ours (RFC 9112, section 2.3).
///
/// Pingora passes it on, in front of a body that it sends in chunks; browsers then show the chunks.
pub(super) fn in_our_version(response: &mut ResponseHeader) {
    if response.version == Version::HTTP_10 {
        response.set_version(Version::HTTP_11);
    }
}

/// HTTP/1.0 knows no chunks: the body ends with the connection.
pub(super) fn without_chunks(response: &mut ResponseHeader) {
    response.remove_header(&header::TRANSFER_ENCODING);
}

// RFC 9213 and the Edge Architecture Specification (W3C note, 2001).
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");
// nginx, ngx_http_proxy_module, `proxy_cache_valid`; Akamai, "Edge-Control header".
const X_ACCEL_EXPIRES: HeaderName = HeaderName::from_static("x-accel-expires");
const EDGE_CONTROL: HeaderName = HeaderName::from_static("edge-control");
const PREVIEW: HeaderName = HeaderName::from_static("x-throughline-preview");

/// Directives that speak to shared caches.
const FOR_SHARED_CACHES: [&str; 4] = ["public", "private", "s-maxage", "proxy-revalidate"];
/// The same, and those that let a browser show what it has stored.
const FOR_CACHES: [&str; 9] = [
    "public",
    "private",
    "s-maxage",
    "proxy-revalidate",
    "max-age",
    "no-cache",
    "immutable",
    "stale-while-revalidate",
    "stale-if-error",
];

/// Parsed names: a search by text would parse each of them for every page.
static VALIDATORS: [HeaderName; 7] = [
    header::ETAG,
    header::LAST_MODIFIED,
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

fn set(response: &mut ResponseHeader, name: HeaderName, value: HeaderValue) {
    if response.insert_header(name, value).is_err() {
        tracing::debug!("a response has too many headers for another one");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_changes_behind_its_host_only() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.set_uri(Uri::from_static("https://shop.example:8443/p?exotracker=x&b"));
        assert!(set_target(&mut request, b"/p?b"));
        assert_eq!(request.uri, Uri::from_static("https://shop.example:8443/p?b"));
        assert_eq!(request.raw_path(), b"/p?b");
        for (before, after) in
            [("/p?a&b", "/p?b"), ("/p?a", "/p"), ("http://shop.example/p?a&b", "http://shop.example/p?b")]
        {
            let mut request = RequestHeader::build("GET", before.as_bytes(), None).unwrap();
            assert!(set_target(&mut request, after.as_bytes()));
            assert_eq!(request.raw_path(), after.as_bytes());
            assert_eq!(request.uri.path(), "/p");
        }
        let mut request = RequestHeader::build("GET", b"/\xff?a&\xfe", None).unwrap();
        assert!(set_target(&mut request, b"/\xff?\xfe"));
        assert_eq!(request.raw_path(), b"/\xff?\xfe");
    }
}
