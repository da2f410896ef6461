//! Whether a page may be edited, judged by the head of its answer.
//!
//! The bytes of the page have a say too; they are judged by [`super::inject`].

use http::{HeaderMap, header};

use super::{charset::Charset, coding::Coding};

/// A page that may be edited, as far as its head tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// What must be undone first.
    pub coding: Option<Coding>,
    /// How its markup is read.
    pub syntax: Syntax,
    /// Whether the head says its character set, so that the page's own word does not count.
    pub charset_is_known: bool,
}

/// The two ways to write a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Syntax {
    /// Anything is a page.
    #[default]
    Html,
    /// XML: one mistake, and nothing is shown.
    Xhtml,
}

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
    /// A set of frames: no image lives in it.
    Frameset,
    /// An AMP page, in which `<img>` is an error.
    Amp,
    /// XHTML that does not end with `</body>`: nothing may stand behind it.
    NoBodyEnd,
    /// A compressed page that is damaged, or ends before its end.
    Corrupt,
    /// A compressed page that expands beyond all bounds.
    Bomb,
}

impl Untouchable {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Status,
        Self::Empty,
        Self::NotHtml,
        Self::Encoded,
        Self::Attachment,
        Self::Charset,
        Self::Trailers,
        Self::Frameset,
        Self::Amp,
        Self::NoBodyEnd,
        Self::Corrupt,
        Self::Bomb,
    ];

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
            Self::Frameset => "frameset",
            Self::Amp => "amp",
            Self::NoBodyEnd => "no_body_end",
            Self::Corrupt => "corrupt",
            Self::Bomb => "bomb",
        }
    }
}

/// Judges the head of an answer.
///
/// `has_body` is false for HEAD and for answers that end with their head.
pub fn editable(status: u16, headers: &HeaderMap, has_body: bool) -> Result<Page, Untouchable> {
    if !(200..=203).contains(&status) || headers.contains_key(header::CONTENT_RANGE) {
        return Err(Untouchable::Status);
    }
    if !has_body || text(headers, &header::CONTENT_LENGTH) == Some("0") {
        return Err(Untouchable::Empty);
    }
    let content_type = headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let syntax = if media_type.eq_ignore_ascii_case(b"text/html") {
        Syntax::Html
    } else if media_type.eq_ignore_ascii_case(b"application/xhtml+xml") {
        Syntax::Xhtml
    } else {
        return Err(Untouchable::NotHtml);
    };
    let charset = Charset::in_content_type(content_type);
    if charset.is_some_and(|charset| charset != Charset::Ascii) {
        return Err(Untouchable::Charset);
    }
    let coding = coding(headers)?;
    let disposition = text(headers, &header::CONTENT_DISPOSITION).unwrap_or_default();
    if disposition.get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case("attachment")) {
        return Err(Untouchable::Attachment);
    }
    if headers.contains_key(header::TRAILER) {
        return Err(Untouchable::Trailers);
    }
    Ok(Page { coding, syntax, charset_is_known: charset.is_some() })
}

/// The one coding of an answer, if it has any; several at once are not undone.
fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Untouchable> {
    let mut lines = headers.get_all(header::CONTENT_ENCODING).iter();
    let (line, None) = (lines.next(), lines.next()) else { return Err(Untouchable::Encoded) };
    let Some(line) = line else { return Ok(None) };
    let name = line.to_str().map_err(|_| Untouchable::Encoded)?.trim();
    if name.is_empty() || name.eq_ignore_ascii_case("identity") {
        return Ok(None);
    }
    Coding::parse(name).map(Some).ok_or(Untouchable::Encoded)
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, headers: &[(&'static str, &'static str)]) -> Result<Page, Untouchable> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        editable(status, &map, true)
    }

    #[test]
    fn only_whole_plain_html_is_edited() {
        let html = ("content-type", "Text/HTML; charset=utf-8");
        let plain = Page { coding: None, syntax: Syntax::Html, charset_is_known: true };
        assert_eq!(judged(200, &[html]), Ok(plain));
        assert_eq!(judged(200, &[html, ("content-encoding", "identity")]), Ok(plain));
        let gzip = Page { coding: Some(Coding::Gzip), ..plain };
        assert_eq!(judged(200, &[html, ("content-encoding", "GZIP")]), Ok(gzip));
        assert_eq!(judged(200, &[("content-type", "text/html")]), Ok(Page { charset_is_known: false, ..plain }));
        let xhtml = Page { syntax: Syntax::Xhtml, ..plain };
        assert_eq!(judged(200, &[("content-type", "application/xhtml+xml; charset=UTF-8")]), Ok(xhtml));
        for (status, headers, reason) in [
            (204, vec![html], Untouchable::Status),
            (206, vec![html], Untouchable::Status),
            (304, vec![html], Untouchable::Status),
            (500, vec![html], Untouchable::Status),
            (200, vec![html, ("content-length", "0")], Untouchable::Empty),
            (200, vec![("content-type", "application/json")], Untouchable::NotHtml),
            (200, vec![], Untouchable::NotHtml),
            (200, vec![("content-type", "text/html; charset=UTF-16LE")], Untouchable::Charset),
            (200, vec![("content-type", "text/html; charset=iso-2022-jp")], Untouchable::Charset),
            (200, vec![("content-type", "application/xml")], Untouchable::NotHtml),
            (200, vec![("content-type", "text/htmlx")], Untouchable::NotHtml),
            (200, vec![html, ("content-encoding", "compress")], Untouchable::Encoded),
            (200, vec![html, ("content-encoding", "gzip, br")], Untouchable::Encoded),
            (200, vec![html, ("content-encoding", "gzip"), ("content-encoding", "br")], Untouchable::Encoded),
            (200, vec![html, ("content-disposition", "Attachment; filename=a.html")], Untouchable::Attachment),
            (200, vec![html, ("trailer", "x-checksum")], Untouchable::Trailers),
        ] {
            assert_eq!(judged(status, &headers), Err(reason), "{status} {headers:?}");
        }
    }
}
