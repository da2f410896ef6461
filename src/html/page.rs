//! Whether a page may be edited, judged by the head of its answer.

use http::{HeaderMap, header};

/// Why an answer passes untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Untouchable {
    /// A status whose body is not a page: 204, 206, 304, an error.
    Status,
    /// It has no body.
    Empty,
    /// Something other than HTML.
    NotHtml,
    /// An encoding that is not undone here.
    Encoded,
    /// A download.
    Attachment,
    /// A character set in which ASCII is not ASCII.
    Charset,
    /// Trailers are announced, and would be lost.
    Trailers,
}

impl Untouchable {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Empty => "empty",
            Self::NotHtml => "not_html",
            Self::Encoded => "encoded",
            Self::Attachment => "attachment",
            Self::Charset => "charset",
            Self::Trailers => "trailers",
        }
    }
}

/// Judges the head of an answer.
///
/// `has_body` is false for HEAD and for answers that end with their head. XHTML passes too: its
/// parsers stop at the first tag that is not well-formed XML.
pub fn editable(status: u16, headers: &HeaderMap, has_body: bool) -> Result<(), Untouchable> {
    if !(200..=203).contains(&status) || headers.contains_key(header::CONTENT_RANGE) {
        return Err(Untouchable::Status);
    }
    if !has_body || text(headers, &header::CONTENT_LENGTH) == Some("0") {
        return Err(Untouchable::Empty);
    }
    let content_type = text(headers, &header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((&content_type, ""));
    if media_type.trim() != "text/html" {
        return Err(Untouchable::NotHtml);
    }
    if NOT_ASCII.iter().any(|charset| parameters.contains(charset)) {
        return Err(Untouchable::Charset);
    }
    if text(headers, &header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Untouchable::Encoded);
    }
    let disposition = text(headers, &header::CONTENT_DISPOSITION).unwrap_or_default();
    if disposition.trim_start().get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case("attachment")) {
        return Err(Untouchable::Attachment);
    }
    if headers.contains_key(header::TRAILER) {
        return Err(Untouchable::Trailers);
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Character sets in which the bytes of ASCII mean something else (WHATWG Encoding, section 4).
const NOT_ASCII: [&str; 5] = ["utf-16", "utf-32", "iso-2022", "utf-7", "ucs-2"];

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, headers: &[(&'static str, &'static str)]) -> Result<(), Untouchable> {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        editable(status, &headers.collect(), true)
    }

    #[test]
    fn only_whole_plain_html_is_edited() {
        let html = ("content-type", "Text/HTML; charset=utf-8");
        assert_eq!(judged(200, &[html]), Ok(()));
        assert_eq!(judged(200, &[html, ("content-encoding", "identity")]), Ok(()));
        for (status, headers, reason) in [
            (204, vec![html], Untouchable::Status),
            (206, vec![html], Untouchable::Status),
            (304, vec![html], Untouchable::Status),
            (500, vec![html], Untouchable::Status),
            (200, vec![html, ("content-length", "0")], Untouchable::Empty),
            (200, vec![("content-type", "application/json")], Untouchable::NotHtml),
            (200, vec![], Untouchable::NotHtml),
            (200, vec![("content-type", "text/html; charset=UTF-16LE")], Untouchable::Charset),
            (200, vec![html, ("content-encoding", "gzip")], Untouchable::Encoded),
            (200, vec![html, ("content-disposition", "Attachment; filename=a.html")], Untouchable::Attachment),
            (200, vec![html, ("trailer", "x-checksum")], Untouchable::Trailers),
        ] {
            assert_eq!(judged(status, &headers), Err(reason), "{status} {headers:?}");
        }
    }
}
