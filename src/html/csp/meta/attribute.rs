//! The attributes of one element, read as browsers read them (HTML, 13.2.5.32 to 13.2.5.40).

/// Where in a tag we are, behind its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    DoubleQuoted,
    SingleQuoted,
    Unquoted,
    End,
}

impl Place {
    /// Where the next byte leads.
    pub(super) const fn step(self, byte: u8) -> Self {
        let is_quoted = matches!(self, Self::DoubleQuoted | Self::SingleQuoted);
        if byte == b'>' && !is_quoted {
            return Self::End;
        }
        let is_space = matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ');
        match (self, byte) {
            (Self::DoubleQuoted, b'"') | (Self::SingleQuoted, b'\'') => Self::BeforeName,
            (Self::DoubleQuoted | Self::SingleQuoted | Self::End, _) => self,
            (Self::BeforeValue, b'"') => Self::DoubleQuoted,
            (Self::BeforeValue, b'\'') => Self::SingleQuoted,
            (Self::BeforeValue, _) => {
                if is_space {
                    self
                } else {
                    Self::Unquoted
                }
            }
            (Self::Unquoted, _) => {
                if is_space {
                    Self::BeforeName
                } else {
                    self
                }
            }
            (Self::BeforeName, _) => {
                if is_space || byte == b'/' {
                    self
                } else {
                    Self::Name
                }
            }
            (Self::Name | Self::AfterName, _) => Self::behind_name(byte, is_space),
        }
    }

    const fn behind_name(byte: u8, is_space: bool) -> Self {
        match byte {
            _ if is_space => Self::AfterName,
            b'/' => Self::BeforeName,
            b'=' => Self::BeforeValue,
            _ => Self::Name,
        }
    }
}

/// Names, in lower case, and raw values, in their order.
pub(super) fn attributes(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut attributes: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut place = Place::BeforeName;
    for byte in text {
        let next = place.step(*byte);
        if next == Place::Name && place != Place::Name {
            attributes.push((Vec::new(), Vec::new()));
        }
        if let Some((name, value)) = attributes.last_mut() {
            match (place, next) {
                (_, Place::Name) => name.push(byte.to_ascii_lowercase()),
                (_, Place::Unquoted)
                | (Place::DoubleQuoted, Place::DoubleQuoted)
                | (Place::SingleQuoted, Place::SingleQuoted) => value.push(*byte),
                _ => {}
            }
        }
        place = next;
    }
    attributes
}

/// A value with its character references replaced; `None` for one that is not known here.
pub(super) fn decode(value: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'&', rest) {
        let (plain, reference) = rest.split_at_checked(at)?;
        decoded.extend_from_slice(plain);
        let (letter, after) = character(reference.get(1..)?)?;
        decoded.extend(letter);
        rest = after;
    }
    decoded.extend_from_slice(rest);
    Some(decoded)
}

/// What stands behind `&`: the character, or `&` itself where no reference stands.
fn character(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let length = text.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'#').unwrap_or(text.len());
    let (name, after) = text.split_at_checked(length)?;
    let after_semicolon = after.strip_prefix(b";");
    let end = after_semicolon.unwrap_or(after);
    if let Some(number) = name.strip_prefix(b"#") {
        let digits = std::str::from_utf8(number).ok()?;
        let code = match digits.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => digits.parse(),
        };
        let letter = char::from_u32(code.ok()?)?;
        return Some((letter.to_string().into_bytes(), end));
    }
    if after_semicolon.is_none() {
        // As in `/report?a=1&b=2`.
        return Some((vec![b'&'], text));
    }
    let (_, letter) = NAMED.iter().find(|(known, _)| known.as_bytes() == name)?;
    Some((letter.as_bytes().to_vec(), end))
}

/// The named references that policies are written with (HTML, 13.5).
const NAMED: [(&str, &str); 18] = [
    ("amp", "&"),
    ("apos", "'"),
    ("ast", "*"),
    ("colon", ":"),
    ("comma", ","),
    ("equals", "="),
    ("gt", ">"),
    ("hyphen", "\u{2010}"),
    ("lowbar", "_"),
    ("lt", "<"),
    ("nbsp", "\u{a0}"),
    ("NewLine", "\n"),
    ("period", "."),
    ("plus", "+"),
    ("quot", "\""),
    ("semi", ";"),
    ("sol", "/"),
    ("Tab", "\t"),
];
