//! Telephone numbers in the form of ITU-T E.164: `+`, the country, the subscriber.

use super::{Hash, Personal};
use crate::tracking::amount::{ascii_digit, is_invisible};

/// A telephone number as E.164 (`+4930123456`), or nothing.
///
/// A number without its country (`030 …`) needs one: the calling code under which the site's visitors
/// dial, with or without `+`. Even so a number is left out where the country's plan leaves a doubt.
#[must_use]
pub fn phone(text: &str, country: Option<&str>) -> Option<Personal> {
    match Hash::of(text) {
        Some(Hash::Sha256(hash)) => return Some(Personal::Hashed(hash)),
        Some(Hash::Other) => return None,
        None => {}
    }
    let dialled = Dialled::read(text)?;
    let number = match (dialled.international, dialled.digits.strip_prefix("00")) {
        (true, _) => dialled.digits,
        (false, Some(abroad)) => abroad.to_owned(),
        (false, None) => national(&dialled.digits, calling_code(country?)?)?,
    };
    // Section 6: at most 15 digits; no calling code begins with 0. Below 7 it is no subscriber's.
    let is_number = (7..=15).contains(&number.len()) && !number.starts_with('0');
    is_number.then(|| Personal::Clear(format!("+{number}")))
}

struct Dialled {
    international: bool,
    digits: String,
}

impl Dialled {
    /// Takes the digits out of what people put between them.
    fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let text = text.trim();
        let text = text.strip_prefix("tel:").unwrap_or(text);
        let plain: String = text
            .chars()
            .filter(|character| !is_invisible(*character) && !character.is_whitespace())
            .map(|character| ascii_digit(character).unwrap_or(character))
            .collect();
        let (international, number) = match plain.strip_prefix(['+', '\u{ff0b}']) {
            Some(number) => (true, number),
            None => (false, plain.as_str()),
        };
        // +49 (0)30 …: the zero is not dialled from abroad.
        let is_abroad = international || number.starts_with("00");
        let number = if is_abroad { number.replacen("(0)", "", 1) } else { number.to_owned() };
        let digits = number.chars().filter(|character| !is_separator(*character)).collect::<String>();
        let only_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        only_digits.then_some(Self { international, digits })
    }
}

/// The international form of a number that was dialled inside a country.
fn national(digits: &str, country: &str) -> Option<String> {
    if let Some((_, length)) = WITHOUT_TRUNK.iter().find(|(code, _)| *code == country) {
        return match digits.strip_prefix(country) {
            _ if digits.len() == *length && !digits.starts_with('0') => Some(format!("{country}{digits}")),
            Some(rest) if rest.len() == *length && !rest.starts_with('0') => Some(digits.to_owned()),
            Some(_) | None => None,
        };
    }
    let rest = digits.strip_prefix('0')?;
    if KEEP_ZERO.contains(&country) {
        Some(format!("{country}{digits}"))
    } else if OTHER_TRUNK.contains(&country) {
        None
    } else {
        Some(format!("{country}{rest}"))
    }
}

/// One to three digits, as `49`, `+49` or `0049`.
fn calling_code(text: &str) -> Option<&str> {
    let text = text.trim();
    let code = text.strip_prefix('+').or_else(|| text.strip_prefix("00")).unwrap_or(text);
    let is_code =
        (1..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit()) && !code.starts_with('0');
    is_code.then_some(code)
}

fn is_separator(character: char) -> bool {
    matches!(character, '(' | ')' | '-' | '.' | '/' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// Longest text in bytes.
const MAX_TEXT: usize = 128;

/// Countries whose national numbers have one length and no zero in front (their plans at the ITU,
/// E.129): North America, Greece, Spain, Denmark, Norway, Poland, Portugal, Czechia.
const WITHOUT_TRUNK: [(&str, usize); 8] =
    [("1", 10), ("30", 10), ("34", 9), ("45", 8), ("47", 8), ("48", 9), ("351", 9), ("420", 9)];

/// Countries whose leading zero is part of the number: Italy, San Marino, Côte d'Ivoire.
const KEEP_ZERO: [&str; 3] = ["39", "378", "225"];

/// Countries that dial something other than 0 before a national number: Russia and Kazakhstan 8,
/// Hungary 06.
const OTHER_TRUNK: [&str; 2] = ["7", "36"];
