//! Edits of request and response heads.

use http::{HeaderName, HeaderValue, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::{html::page::Page, tracking::visit::Visit};

/// Makes the site answer with a page that can be worked on.
///
/// A 304 could carry neither a cookie nor pixels, a part of a page no pixels, and an encoded page must
/// be decoded first; a client that wants it encoded (`takes_plain` is false) gets it so.
pub(super) fn ask_for_whole_page(request: &mut RequestHeader, visit: &Visit, takes_plain: bool) {
    if visit.has_click_parameter() || visit.may_edit_page() {
        request.remove_header(&header::IF_NONE_MATCH);
        request.remove_header(&header::IF_MODIFIED_SINCE);
    }
    if visit.may_edit_page() {
        request.remove_header(&header::RANGE);
        request.remove_header(&header::IF_RANGE);
        if takes_plain {
            request.remove_header(&header::ACCEPT_ENCODING);
        }
    }
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
        keep_from_caches(response);
    }
}

/// Takes the permission from shared caches to store this answer; what browsers were told stays.
pub(super) fn keep_from_caches(response: &mut ResponseHeader) {
    let private = HeaderValue::from_static("private");
    let mut kept = String::new();
    for line in response.headers.get_all(header::CACHE_CONTROL) {
        let directives = line.to_str().unwrap_or_default().split(',').map(str::trim);
        for directive in directives.filter(|it| !it.is_empty() && !is_for_shared_caches(it)) {
            kept.push_str(directive);
            kept.push_str(", ");
        }
    }
    let control = if kept.is_empty() {
        private
    } else {
        kept.push_str("private");
        HeaderValue::try_from(kept).unwrap_or(private)
    };
    set(response, header::CACHE_CONTROL, control);
    set(response, SURROGATE_CONTROL, HeaderValue::from_static("no-store"));
    set(response, CDN_CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn is_for_shared_caches(directive: &str) -> bool {
    let name = directive.split('=').next().unwrap_or_default().trim();
    ["public", "private", "s-maxage", "proxy-revalidate"].iter().any(|known| name.eq_ignore_ascii_case(known))
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
