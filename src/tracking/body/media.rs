//! Media types, as far as they say how a body is to be read.

use encoding_rs::Encoding;

/// A media type that is read.
pub(super) struct MediaType {
    pub(super) kind: Kind,
    /// The parameter `charset`, if it names a superset of ASCII.
    pub(super) charset: Option<&'static Encoding>,
}

/// The kinds of bodies that are read.
pub(super) enum Kind {
    /// What browsers send unless a form says otherwise.
    UrlEncoded,
    /// Forms with files, and `FormData` of scripts.
    Multipart {
        /// What parts the parts, without its dashes.
        boundary: Vec<u8>,
    },
    /// JSON, by WHATWG's MIME Sniffing, section 4.6.
    Json,
}

impl MediaType {
    /// Reads a `Content-Type`; `None` when it is none of these.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let essence = value.split(|byte| *byte == b';').next()?.trim_ascii();
        let is = |name: &[u8]| essence.eq_ignore_ascii_case(name);
        let ends = |suffix: &[u8]| {
            let start = essence.len().checked_sub(suffix.len());
            start.and_then(|start| essence.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
        };
        let kind = if is(b"application/x-www-form-urlencoded") {
            Kind::UrlEncoded
        } else if is(b"multipart/form-data") {
            let boundary = parameter(value, b"boundary")?;
            // RFC 2046, section 5.1.1.
            if boundary.is_empty() || boundary.len() > 70 {
                return None;
            }
            Kind::Multipart { boundary }
        } else if is(b"application/json") || is(b"text/json") || ends(b"+json") {
            Kind::Json
        } else {
            return None;
        };
        Some(Self { kind, charset: parameter(value, b"charset").and_then(|label| charset(&label)) })
    }
}

/// The encoding of this name, if ASCII bytes mean ASCII in it: others would read anything into a form.
pub(super) fn charset(label: &[u8]) -> Option<&'static Encoding> {
    Encoding::for_label(label).filter(|encoding| encoding.is_ascii_compatible())
}

/// The first parameter of this name in a header such as `form-data; name="a;b"`, without its quotes.
///
/// Browsers quote without backslashes (HTML, section 4.10.21.8), and so they mean themselves.
pub(super) fn parameter(header: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut is_quoted = false;
    let is_between = |byte: &u8| {
        is_quoted ^= *byte == b'"';
        *byte == b';' && !is_quoted
    };
    header.split(is_between).skip(1).find_map(|parameter| {
        let equals = memchr::memchr(b'=', parameter)?;
        let (key, value) = parameter.split_at_checked(equals)?;
        let value = value.get(1..)?.trim_ascii();
        let bare = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
        key.trim_ascii().eq_ignore_ascii_case(name).then(|| bare.to_vec())
    })
}
