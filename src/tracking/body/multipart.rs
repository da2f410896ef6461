//! Forms as `multipart/form-data` (RFC 7578): the fields that are text; files are passed over.

use std::borrow::Cow;

use encoding_rs::Encoding;
use memchr::memmem;

use super::{
    form::{Form, MAX_FIELDS, RawField},
    media::{charset, parameter},
};

/// Reads the fields; `None` when the boundary never comes.
///
/// The end of a part is its boundary, so what a cut copy holds of the last part is no field.
pub(super) fn read(bytes: &[u8], boundary: &[u8], is_cut: bool, declared: Option<&'static Encoding>) -> Option<Form> {
    let delimiter = [b"\r\n--", boundary].concat();
    let opening = delimiter.get(2..)?;
    // The first boundary has no line before it, unless there is a preamble.
    let start = if bytes.starts_with(opening) {
        opening.len()
    } else {
        memmem::find(bytes, &delimiter)?.saturating_add(delimiter.len())
    };
    let mut rest = bytes.get(start..)?;
    let mut fields = Vec::new();
    let finder = memmem::Finder::new(&delimiter);
    // After the last boundary come two dashes; parts without a field are bounded by the bytes.
    while fields.len() < MAX_FIELDS && !rest.starts_with(b"--") {
        let Some(end) = finder.find(rest) else { break };
        let Some((part, after)) = rest.split_at_checked(end) else { break };
        fields.extend(field(part));
        rest = after.get(delimiter.len()..).unwrap_or_default();
    }
    Some(Form::decode(&fields, is_cut, declared))
}

/// A part that is a field: from the line break after its boundary to the next one.
fn field(part: &[u8]) -> Option<RawField<'_>> {
    let head_end = memmem::find(part, b"\r\n\r\n")?;
    let head = part.get(..head_end)?.get(..MAX_HEAD.min(head_end))?;
    let value = part.get(head_end + 4..)?;
    let (mut disposition, mut own_charset) = (None, None);
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, text) = (line.get(..colon)?.trim_ascii(), line.get(colon + 1..)?.trim_ascii());
        if name.eq_ignore_ascii_case(b"content-disposition") {
            disposition = Some(text);
        } else if name.eq_ignore_ascii_case(b"content-type") {
            own_charset = parameter(text, b"charset").and_then(|label| charset(&label));
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") && !is_plain(text) {
            return None;
        }
    }
    let disposition = disposition?;
    let is_file = ["filename", "filename*"].iter().any(|name| parameter(disposition, name.as_bytes()).is_some());
    if is_file {
        return None;
    }
    let name = parameter(disposition, b"name")?;
    Some(RawField { name: Cow::Owned(unescape(&name)), value: Cow::Borrowed(value), charset: own_charset })
}

/// RFC 7578, section 4.7: not used any more; whoever does sends base64.
fn is_plain(transfer_encoding: &[u8]) -> bool {
    [b"7bit".as_slice(), b"8bit", b"binary"].iter().any(|plain| transfer_encoding.eq_ignore_ascii_case(plain))
}

/// Browsers write quotes and line breaks in names as `%22`, `%0D`, `%0A`, and nothing else so (HTML,
/// section 4.10.21.8).
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut unescaped = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        let escaped = match rest.get(..3) {
            Some(b"%22") => Some(b'"'),
            Some(b"%0D" | b"%0d") => Some(b'\r'),
            Some(b"%0A" | b"%0a") => Some(b'\n'),
            Some(_) | None => None,
        };
        unescaped.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { rest.get(3..).unwrap_or_default() } else { after };
    }
    unescaped
}

/// Longest head of a part that is read.
const MAX_HEAD: usize = 4096;
