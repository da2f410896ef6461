//! Strings and numbers as scripts write them.

use std::{iter::Peekable, str::Chars};

use serde_json::Number;

/// Decodes what stands between quotes (ECMA-262, section 12.9.4).
pub(super) fn text(raw: &str) -> String {
    if !raw.contains('\\') {
        return raw.to_owned();
    }
    let mut text = String::with_capacity(raw.len());
    let mut letters = raw.chars().peekable();
    // The first half of a letter beyond the first 65,536.
    let mut half = None;
    while let Some(letter) = letters.next() {
        let unit = if letter == '\\' { escape(&mut letters) } else { Unit::Letter(letter) };
        if half.is_some() && !matches!(unit, Unit::Code(0xdc00..=0xdfff)) {
            half = None;
            text.push(char::REPLACEMENT_CHARACTER);
        }
        match unit {
            Unit::Nothing => {}
            Unit::Letter(letter) => text.push(letter),
            Unit::Code(code @ 0xd800..=0xdbff) => half = Some(code),
            Unit::Code(code @ 0xdc00..=0xdfff) => {
                let whole = half.take().map(|half| 0x1_0000 + ((half - 0xd800) << 10) + (code - 0xdc00));
                text.push(whole.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Unit::Code(code) => text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }
    if half.is_some() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

enum Unit {
    /// A line that goes on.
    Nothing,
    Letter(char),
    Code(u32),
}

/// Reads what follows a backslash.
fn escape(letters: &mut Peekable<Chars<'_>>) -> Unit {
    let Some(letter) = letters.next() else { return Unit::Nothing };
    match letter {
        'n' => Unit::Letter('\n'),
        't' => Unit::Letter('\t'),
        'r' => Unit::Letter('\r'),
        'b' => Unit::Letter('\u{8}'),
        'f' => Unit::Letter('\u{c}'),
        'v' => Unit::Letter('\u{b}'),
        'x' => Unit::Code(digits(letters, 16, 2)),
        'u' if letters.next_if_eq(&'{').is_some() => {
            let code = digits(letters, 16, 8);
            letters.next_if_eq(&'}');
            Unit::Code(code)
        }
        'u' => Unit::Code(digits(letters, 16, 4)),
        '0'..='7' => {
            // Octal, as scripts without "use strict" may still have it.
            let first = letter.to_digit(8).unwrap_or_default();
            let count = if first < 4 { 2 } else { 1 };
            let mut code = first;
            for _ in 0..count {
                let Some(digit) = letters.next_if(|letter| letter.is_digit(8)) else { break };
                code = code * 8 + digit.to_digit(8).unwrap_or_default();
            }
            Unit::Code(code)
        }
        '\r' => {
            letters.next_if_eq(&'\n');
            Unit::Nothing
        }
        '\n' | '\u{2028}' | '\u{2029}' => Unit::Nothing,
        other => Unit::Letter(other),
    }
}

fn digits(letters: &mut Peekable<Chars<'_>>, radix: u32, count: usize) -> u32 {
    let mut code = 0_u32;
    for _ in 0..count {
        let Some(digit) = letters.next_if(|letter| letter.is_digit(radix)) else { break };
        code = code.saturating_mul(radix).saturating_add(digit.to_digit(radix).unwrap_or_default());
    }
    code
}

/// Reads a number (ECMA-262, section 12.9.3); whole ones are integers however they are written.
///
/// One with a leading zero is none: it may be octal, or an order number whose quotes were forgotten.
pub(super) fn number(raw: &str) -> Option<Number> {
    let raw = raw.strip_suffix('n').unwrap_or(raw);
    let plain: String = raw.chars().filter(|letter| *letter != '_').collect();
    let radix = match plain.as_bytes() {
        [b'0', b'x' | b'X', ..] => Some(16),
        [b'0', b'o' | b'O', ..] => Some(8),
        [b'0', b'b' | b'B', ..] => Some(2),
        [b'0', b'0'..=b'9', ..] => return None,
        _ => None,
    };
    if let Some(radix) = radix {
        let digits = plain.get(2..)?;
        return u64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+')).map(Number::from);
    }
    if let Ok(whole) = plain.parse::<u64>() {
        return Some(Number::from(whole));
    }
    if !plain.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    let value = plain.parse::<f64>().ok()?;
    if value.fract() == 0.0 && value.abs() < MAX_EXACT {
        return format!("{value:.0}").parse::<i64>().ok().map(Number::from);
    }
    Number::from_f64(value)
}

/// The opposite number.
pub(super) fn negated(number: &Number) -> Option<Number> {
    match number.as_i64() {
        Some(whole) => whole.checked_neg().map(Number::from),
        None => number.as_f64().and_then(|value| Number::from_f64(-value)),
    }
}

/// Up to here every whole number is one (2 to the power of 53).
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn escapes_are_decoded() {
        for (raw, expected) in [
            (r"plain", "plain"),
            (r"\u0026\u003c\x41\/\'\n\u{20ac}", "&<A/'\n\u{20ac}"),
            (r"\ud83d\ude00!", "\u{1f600}!"),
            (r"\ud83d!", "\u{fffd}!"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            ("a\\\r\nb\\\nc", "abc"),
            (r"\101\0\47", "A\0'"),
            (r"\q\\", "q\\"),
            (r"\u{ffffffffff}", "\u{fffd}ff}"),
            ("\\", ""),
        ] {
            assert_eq!(text(raw), expected, "{raw}");
        }
    }

    #[test]
    fn numbers_are_what_a_browser_reads() {
        for (raw, expected) in [
            ("12", json!(12)),
            ("1234.50", json!(1234.5)),
            ("12.00", json!(12)),
            (".5", json!(0.5)),
            ("5.", json!(5)),
            ("1e3", json!(1000)),
            ("1.5e-2", json!(0.015)),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("1_000.25", json!(1000.25)),
            ("18446744073709551615", json!(u64::MAX)),
            ("9007199254740993n", json!(9_007_199_254_740_993_u64)),
            ("0", json!(0)),
            ("0.1", json!(0.1)),
        ] {
            assert_eq!(number(raw).map(serde_json::Value::Number), Some(expected), "{raw}");
        }
        for raw in ["00123", "010", "1px", "0xg", "1.2.3", "1e999", "0x+1", "", "."] {
            assert_eq!(number(raw), None, "{raw}");
        }
        assert_eq!(negated(&number("1.5").unwrap()), Number::from_f64(-1.5));
        assert_eq!(negated(&number("3").unwrap()), Some(Number::from(-3)));
    }
}
