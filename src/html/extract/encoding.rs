//! The bytes of a page as text, whatever character set they are in.
//!
//! As browsers find it (HTML, section 13.2.3.2): a byte order mark, then the head of the answer, then a
//! `<meta>` or XML declaration in the first bytes. A page without any of these is UTF-8 where it can be,
//! and windows-1252 elsewhere; hardly a text in windows-1252 looks like UTF-8 by chance.

use std::{mem, str, sync::LazyLock};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};
use regex::bytes::Regex;

/// One page's bytes on their way to text.
pub(super) enum Reader {
    /// Too little was seen to know; all of it.
    Opening(Vec<u8>),
    /// The character set is known.
    Known(Box<Decoder>),
    /// It is not; the bytes of a letter that is not complete.
    Guessing(Vec<u8>),
}

impl Reader {
    /// Starts a page; the label is what the head of the answer says.
    pub(super) fn new(label: Option<&str>) -> Self {
        let encoding = label.and_then(|label| Encoding::for_label(label.as_bytes()));
        encoding.map_or_else(|| Self::Opening(Vec::new()), Self::known)
    }

    /// Yields the text of a chunk, as far as it is complete.
    pub(super) fn read(&mut self, chunk: &[u8], is_end: bool) -> String {
        match self {
            Self::Opening(opening) => {
                opening.extend_from_slice(chunk);
                if opening.len() < OPENING && !is_end {
                    return String::new();
                }
                let opening = mem::take(opening);
                *self = declared(&opening).map_or_else(|| Self::Guessing(Vec::new()), Self::known);
                self.read(&opening, is_end)
            }
            Self::Known(decoder) => decode(decoder, chunk, is_end),
            Self::Guessing(held) => guess(held, chunk, is_end),
        }
    }

    fn known(encoding: &'static Encoding) -> Self {
        Self::Known(Box::new(encoding.new_decoder()))
    }
}

fn decode(decoder: &mut Decoder, chunk: &[u8], is_end: bool) -> String {
    let room = decoder.max_utf8_buffer_length(chunk.len()).unwrap_or_default();
    let mut text = String::with_capacity(room);
    // With that room nothing is left over.
    (_, _, _) = decoder.decode_to_string(chunk, &mut text, is_end);
    text
}

/// Reads UTF-8, and each byte that is none as windows-1252.
fn guess(held: &mut Vec<u8>, chunk: &[u8], is_end: bool) -> String {
    held.extend_from_slice(chunk);
    let bytes = mem::take(held);
    let mut text = String::with_capacity(bytes.len());
    let mut pieces = bytes.utf8_chunks().peekable();
    while let Some(piece) = pieces.next() {
        text.push_str(piece.valid());
        let is_cut = !is_end && pieces.peek().is_none() && may_go_on(piece.invalid());
        if is_cut {
            held.extend_from_slice(piece.invalid());
        } else {
            text.push_str(&WINDOWS_1252.decode_without_bom_handling(piece.invalid()).0);
        }
    }
    text
}

/// Whether bytes at the end are no UTF-8 only because more must follow.
fn may_go_on(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// What the first bytes say of themselves.
fn declared(opening: &[u8]) -> Option<&'static Encoding> {
    if let Some((encoding, _)) = Encoding::for_bom(opening) {
        return Some(encoding);
    }
    let opening = opening.get(..OPENING).unwrap_or(opening);
    let mut labels = DECLARATION.captures_iter(opening).filter_map(|found| found.get(1).or_else(|| found.get(2)));
    let encoding = labels.find_map(|label| Encoding::for_label(label.as_bytes()))?;
    // What stands there in ASCII is no UTF-16 (HTML, section 13.2.3.2).
    Some(match encoding {
        it if it == UTF_16BE || it == UTF_16LE => UTF_8,
        it if it == X_USER_DEFINED => WINDOWS_1252,
        it => it,
    })
}

/// Comments, so that nothing in them counts, and declarations.
#[expect(clippy::expect_used, reason = "a constant, which a test compiles")]
static DECLARATION: LazyLock<Regex> = LazyLock::new(|| {
    let meta = r#"<meta[\s/][^>]*?charset\s*=\s*["']?\s*([^\s"'/>;]+)"#;
    let xml = r#"<\?xml[^>]*?encoding\s*=\s*["']([^"'>]+)"#;
    Regex::new(&format!("(?is-u)<!--.*?(?:-->|$)|{meta}|{xml}")).expect("a pattern")
});

/// How many bytes browsers look at.
const OPENING: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], label: Option<&str>, size: usize) -> String {
        let mut reader = Reader::new(label);
        let mut text: String = bytes.chunks(size).map(|chunk| reader.read(chunk, false)).collect();
        text.push_str(&reader.read(b"", true));
        text
    }

    #[test]
    fn every_way_to_tell_the_character_set_is_heeded() {
        for (bytes, label, expected) in [
            (&b"\x80 12"[..], Some("windows-1252"), "\u{20ac} 12"),
            (b"\xd1\xf3\xec\xec\xe0", Some("Windows-1251"), "\u{421}\u{443}\u{43c}\u{43c}\u{430}"),
            (b"\x8d\x87\x8c\x76", Some("Shift_JIS"), "\u{5408}\u{8a08}"),
            (b"\x1b$B9g7W\x1b(B", Some("iso-2022-jp"), "\u{5408}\u{8a08}"),
            (b"\xff\xfeA\0", Some("utf-8"), "A"),
            (b"\xef\xbb\xbf\xe2\x82\xac", Some("windows-1252"), "\u{20ac}"),
            (b"A\0B\0", Some("utf-16le"), "AB"),
            (b"<meta charset=iso-8859-2>\xb1", None, "<meta charset=iso-8859-2>\u{105}"),
            (
                b"<META http-equiv='Content-Type' content='text/html; charset=windows-1251'/>\xd1",
                None,
                "<META http-equiv='Content-Type' content='text/html; charset=windows-1251'/>\u{421}",
            ),
            (b"<?xml version='1.0' encoding='koi8-r'?>\xf7", None, "<?xml version='1.0' encoding='koi8-r'?>\u{412}"),
            (b"<meta charset=utf-16>\xe2\x82\xac", None, "<meta charset=utf-16>\u{20ac}"),
            (
                b"<!-- <meta charset=koi8-r> -->\xe2\x82\xac\xa412",
                None,
                "<!-- <meta charset=koi8-r> -->\u{20ac}\u{a4}12",
            ),
            (b"\xe2\x82", None, "\u{e2}\u{201a}"),
            (b"<meta charset=nonsense>\x80", None, "<meta charset=nonsense>\u{20ac}"),
            (b"plain", Some("nonsense"), "plain"),
        ] {
            for size in [1, 2, 3, 1000] {
                assert_eq!(read(bytes, label, size), expected, "{expected:?} by {size}");
            }
        }
    }

    #[test]
    fn a_declaration_beyond_the_opening_comes_too_late() {
        let page = format!("{}<meta charset=koi8-r>", " ".repeat(OPENING)).into_bytes();
        let page = [&page[..], b"\xf7"].concat();
        assert!(read(&page, None, 100).ends_with('\u{f7}'));
    }
}
