//! Where requests and answers end: what Pingora leaves open about it.
//!
//! Pingora 0.9.1 takes `Content-Length: 5, 5`, or two such lines, for 5, and hands them on as they
//! came. Whoever accepts them has to make them one before (RFC 9110 section 8.6): the next could read
//! the first, the last, or none.

use http::{HeaderMap, HeaderValue, header};
use pingora::http::RequestHeader;

/// The one length of a head that states it several times.
///
/// That all are the same has been checked: Pingora refuses all others.
#[must_use]
pub fn repeated_length(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let first = lines.next()?;
    let length = first.as_bytes().split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
    let is_single = lines.next().is_none() && length.len() == first.len();
    if is_single { None } else { HeaderValue::from_bytes(length).ok() }
}

/// Whether nothing but another request may lie behind this one before it is answered (RFC 9112
/// section 9.3.2).
///
/// Behind all others, whose bodies could hide it, the connection is closed.
#[must_use]
pub fn ends_with_head(request: &RequestHeader) -> bool {
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE]
        .iter()
        .all(|name| !request.headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_is_stated_several_times_is_stated_once() {
        for (stated, once) in [
            (&["5"][..], None),
            (&["5", "5"], Some("5")),
            (&["5, 5"], Some("5")),
            (&["5,5", " 5"], Some("5")),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for length in stated {
                headers.append(header::CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            let length = repeated_length(&headers);
            assert_eq!(length.as_ref().map(HeaderValue::as_bytes), once.map(str::as_bytes), "{stated:?}");
        }
    }
}
