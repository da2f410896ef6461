//! Where a request ends: what Pingora leaves open about it.
//!
//! Pingora 0.9.1 takes `Content-Length: 5, 5`, or two such lines, for 5, and hands them on as they
//! came. Whoever accepts them has to make them one before (RFC 9110 section 8.6): a site could read
//! the first, the last, or none.

use http::{HeaderValue, header};
use pingora::http::RequestHeader;

/// Makes a length that is stated several times, always the same, one.
///
/// That they are the same has been checked: Pingora refuses all others.
pub fn state_length_once(request: &mut RequestHeader) {
    let mut lines = request.headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else { return };
    let length = first.as_bytes().split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
    if lines.next().is_none() && length.len() == first.len() {
        return;
    }
    if let Ok(length) = HeaderValue::from_bytes(length)
        && request.insert_header(header::CONTENT_LENGTH, length).is_err()
    {
        tracing::debug!("a request has too many headers for another one");
    }
}

/// Whether another request may lie behind this one before it is answered (RFC 9112 section 9.3.2).
///
/// Only where no body could hide it: behind all others the connection is closed.
#[must_use]
pub fn may_be_followed(request: &RequestHeader) -> bool {
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE]
        .iter()
        .all(|name| !request.headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_is_stated_several_times_is_stated_once() {
        for (stated, once) in
            [(&["5"][..], &["5"][..]), (&["5", "5"], &["5"]), (&["5, 5"], &["5"]), (&["5,5", " 5"], &["5"]), (&[], &[])]
        {
            let mut request = RequestHeader::build("POST", b"/", None).expect("a request");
            for length in stated {
                request.append_header(header::CONTENT_LENGTH, *length).expect("room");
            }
            state_length_once(&mut request);
            let lines: Vec<_> = request.headers.get_all(header::CONTENT_LENGTH).iter().collect();
            assert_eq!(lines, once, "{stated:?}");
        }
    }
}
