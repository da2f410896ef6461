//! Character sets: whether the bytes of ASCII mean ASCII, so that markup can go in.
//!
//! As browsers find it (HTML, section 13.2.3.2): a byte order mark wins, then what the head of the
//! answer says, then what the first bytes of the page say of themselves. A page that calls itself
//! UTF-16 in its own ASCII bytes can't be: browsers read it as UTF-8, and so it can be edited.

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// ASCII bytes are ASCII. Names that nobody knows count as such: browsers fall back to one that is.
    Ascii,
    /// UTF-16 in either order.
    Utf16,
    /// Anything else in which they are not: stateful, or not based on ASCII at all.
    Other,
}

impl Charset {
    /// Looks a name up (Encoding, section 4.2, and a few that no browser knows any more).
    #[must_use]
    pub fn of(label: &[u8]) -> Self {
        let label = label.trim_ascii();
        let begins = |name: &&[u8]| label.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let is = |name: &&[u8]| label.eq_ignore_ascii_case(name);
        if UTF16.iter().any(begins) || UTF16_EXACTLY.iter().any(is) {
            Self::Utf16
        } else if OTHERS.iter().any(begins) {
            Self::Other
        } else {
            Self::Ascii
        }
    }

    /// Reads the `charset` of a media type such as `text/html; charset=utf-8`.
    #[must_use]
    pub fn in_content_type(value: &[u8]) -> Option<Self> {
        Self::label_in_content_type(value).map(Self::of)
    }

    /// The name itself that stands in such a media type.
    #[must_use]
    pub fn label_in_content_type(value: &[u8]) -> Option<&[u8]> {
        let at = value.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME))?;
        let rest = value.get(at + NAME.len()..)?.trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b"=") else {
            // `charset` without a value; a later one may have it.
            return Self::label_in_content_type(rest);
        };
        let rest = rest.trim_ascii_start();
        match rest.split_first() {
            Some((quote @ (b'"' | b'\''), rest)) => rest.split(|byte| byte == quote).next(),
            _ => rest.split(|byte| *byte == b';' || byte.is_ascii_whitespace()).next(),
        }
    }

    /// What the very first bytes of a page give away, whatever else is said of it.
    #[must_use]
    pub fn marked(start: &[u8]) -> Option<Self> {
        match start {
            [0xef, 0xbb, 0xbf, ..] => Some(Self::Ascii),
            // The second also begins UTF-32; a zero so early means two or four bytes for each letter.
            [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, ..] | [_, 0, ..] => Some(Self::Utf16),
            // EBCDIC for `<!do`, `<!DO`, `<htm`, `<HTM` and `<?xm`.
            [0x4c, 0x5a, 0x84, 0x96, ..]
            | [0x4c, 0x5a, 0xc4, 0xd6, ..]
            | [0x4c, 0x88, 0xa3, 0x94, ..]
            | [0x4c, 0xc8, 0xe3, 0xd4, ..]
            | [0x4c, 0x6f, 0xa7, 0x94, ..] => Some(Self::Other),
            _ => None,
        }
    }

    /// What an XML declaration at the start says.
    #[must_use]
    pub fn in_xml_declaration(start: &[u8]) -> Option<Self> {
        let declaration = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).strip_prefix(b"<?xml")?;
        let declaration = declaration.split(|byte| *byte == b'>').next()?;
        let at = memchr::memmem::find(declaration, b"encoding")?;
        let rest = declaration.get(at + b"encoding".len()..)?.trim_ascii_start().strip_prefix(b"=")?;
        let (quote, rest) = rest.trim_ascii_start().split_first()?;
        let is_quoted = matches!(quote, b'"' | b'\'');
        rest.split(|byte| byte == quote).next().filter(|_| is_quoted).map(Self::of)
    }
}

const NAME: &[u8] = b"charset";
const UTF16: [&[u8]; 2] = [b"utf-16", b"utf16"];
const UTF16_EXACTLY: [&[u8]; 6] =
    [b"unicode", b"unicodefeff", b"unicodefffe", b"csunicode", b"ucs-2", b"iso-10646-ucs-2"];
const OTHERS: [&[u8]; 20] = [
    b"iso-2022",
    b"csiso2022",
    b"hz-gb-2312",
    b"utf-7",
    b"unicode-1-1-utf-7",
    b"x-unicode20utf7",
    b"utf-32",
    b"utf32",
    b"ucs-4",
    b"iso-10646-ucs-4",
    b"scsu",
    b"bocu-1",
    b"cesu-16",
    b"ebcdic",
    b"ibm037",
    b"ibm1047",
    b"ibm500",
    b"cp037",
    b"cp1047",
    b"cp500",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_their_families() {
        for ascii in [
            "utf-8",
            "UTF8",
            "unicode-1-1-utf-8",
            "iso-8859-1",
            "windows-1252",
            "shift_jis",
            "gbk",
            "big5",
            "x-user-defined",
            "",
            "nonsense",
        ] {
            assert_eq!(Charset::of(ascii.as_bytes()), Charset::Ascii, "{ascii}");
        }
        for utf16 in ["UTF-16", "utf-16le", "utf-16be", "unicode", "unicodefffe", "ucs-2", "csUnicode"] {
            assert_eq!(Charset::of(utf16.as_bytes()), Charset::Utf16, "{utf16}");
        }
        for other in ["ISO-2022-JP", "csiso2022kr", "utf-7", "UTF-32", "hz-gb-2312", "ibm037", "EBCDIC-CP-US"] {
            assert_eq!(Charset::of(other.as_bytes()), Charset::Other, "{other}");
        }
    }

    #[test]
    fn a_media_type_may_name_one_in_any_spelling() {
        for (value, expected) in [
            ("text/html; charset=utf-16", Some(Charset::Utf16)),
            ("text/html;CHARSET = \"iso-2022-jp\"; x=y", Some(Charset::Other)),
            ("text/html; charset='utf-8'", Some(Charset::Ascii)),
            ("text/html; charset; charset=utf-7", Some(Charset::Other)),
            ("text/html; charset=\"utf-16", Some(Charset::Utf16)),
            ("text/html", None),
            ("text/html; charset", None),
        ] {
            assert_eq!(Charset::in_content_type(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn the_first_bytes_give_wide_and_foreign_letters_away() {
        for (start, expected) in [
            (&b"\xef\xbb\xbf<html"[..], Some(Charset::Ascii)),
            (b"\xff\xfe<\0h\0", Some(Charset::Utf16)),
            (b"\xfe\xff\0<\0h", Some(Charset::Utf16)),
            (b"<\0h\0t\0m\0", Some(Charset::Utf16)),
            (b"\0\0\0<", Some(Charset::Utf16)),
            (b"\x4c\x5a\x84\x96\x83", Some(Charset::Other)),
            (b"<!doctype html>", None),
            (b"Lorem ipsum", None),
            ("L\u{f6}sung".as_bytes(), None),
            (b"L", None),
            (b"", None),
        ] {
            assert_eq!(Charset::marked(start), expected, "{start:?}");
        }
    }

    #[test]
    fn an_xml_declaration_may_name_one() {
        for (start, expected) in [
            ("<?xml version=\"1.0\" encoding=\"ISO-2022-JP\"?><html/>", Some(Charset::Other)),
            ("\u{feff}<?xml version='1.0' encoding = 'utf-8'?>", Some(Charset::Ascii)),
            ("<?xml version='1.0'?><p encoding='utf-7'>", None),
            ("<html encoding='utf-7'>", None),
        ] {
            assert_eq!(Charset::in_xml_declaration(start.as_bytes()), expected, "{start}");
        }
    }
}
