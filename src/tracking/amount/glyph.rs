//! The characters of printed amounts, brought to few: ASCII digits, `-`, and the separators.
//!
//! Whether a character may stand where it stands is decided elsewhere.

use std::borrow::Cow;

use super::DoubtfulAmount;

/// The text with ASCII digits and minus, full-width forms narrowed and invisible marks gone.
pub(super) fn normalise(text: &str) -> Result<String, DoubtfulAmount> {
    let mut script = None;
    let mut out = String::with_capacity(text.len());
    for character in without_references(text).chars().filter(|character| !is_invisible(*character)) {
        let Some((digit, zero)) = digit(character) else {
            out.push(narrow(character));
            continue;
        };
        // Two scripts in one number are two numbers, or somebody's joke.
        if script.is_some_and(|known| known != zero) {
            return Err(DoubtfulAmount::Shape);
        }
        script = Some(zero);
        out.push(digit);
    }
    Ok(out)
}

/// The ASCII digit that a decimal digit of any script stands for.
pub fn ascii_digit(character: char) -> Option<char> {
    digit(character).map(|(digit, _)| digit)
}

/// Marks without a look of their own: direction (UAX #9), zero width, soft hyphen.
pub fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Dashes that are no minus: hyphens proper, and the figure, en and em dash and the bar.
pub(super) const fn is_long_dash(character: char) -> bool {
    matches!(character, '\u{2010}'..='\u{2015}')
}

fn digit(character: char) -> Option<(char, u32)> {
    if character.is_ascii() {
        return character.is_ascii_digit().then_some((character, u32::from('0')));
    }
    let code = u32::from(character);
    let zero = ZEROS.iter().copied().find(|zero| (*zero..*zero + 10).contains(&code))?;
    Some((char::from_digit(code - zero, 10)?, zero))
}

/// Resolves character references, for shops print them in their data too (`&#36;12.50`, `1&nbsp;234`).
///
/// Those with a number, and the names of spaces, marks and currencies; other names stay words.
fn without_references(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for (index, part) in text.split('&').enumerate() {
        let reference = (index > 0).then(|| part.split_once(';')).flatten();
        match reference.and_then(|(name, after)| Some((referred(name)?, after))) {
            Some((character, after)) => {
                out.push(character);
                out.push_str(after);
            }
            None => {
                out.push_str(if index > 0 { "&" } else { "" });
                out.push_str(part);
            }
        }
    }
    Cow::Owned(out)
}

fn referred(name: &str) -> Option<char> {
    let code = match name.strip_prefix('#') {
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        },
        None => return NAMED.iter().find(|(known, _)| *known == name).map(|(_, character)| *character),
    };
    char::from_u32(code)
}

const fn narrow(character: char) -> char {
    match character {
        '\u{2212}' | '\u{fe63}' | '\u{ff0d}' => '-',
        '\u{ff0e}' => '.',
        '\u{ff0c}' => ',',
        '\u{ff05}' | '\u{66a}' | '\u{2030}' => '%',
        '\u{ff0b}' => '+',
        other => other,
    }
}

/// The zeros of the scripts whose ten digits stand in a row: general category Nd of the Basic
/// Multilingual Plane (Unicode 16, `DerivedGeneralCategory.txt`).
const ZEROS: [u32; 36] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
];

/// Names of HTML (its section 13.5) that belong to amounts.
const NAMED: [(&str, char); 10] = [
    ("nbsp", '\u{a0}'),
    ("thinsp", '\u{2009}'),
    ("minus", '\u{2212}'),
    ("ndash", '\u{2013}'),
    ("rsquo", '\u{2019}'),
    ("lrm", '\u{200e}'),
    ("rlm", '\u{200f}'),
    ("euro", '€'),
    ("pound", '£'),
    ("yen", '¥'),
];
