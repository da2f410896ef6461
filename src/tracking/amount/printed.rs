//! Finds the one number in a text, its sign, and the words that make it doubtful.

use super::{
    Amount, DecimalMark, DoubtfulAmount, currency,
    glyph::{is_long_dash, normalise},
    grouping::{Number, Separator},
};

/// Reads the one amount in a text; labels and currencies around it don't matter.
pub fn parse(text: &str, mark: DecimalMark) -> Result<Amount, DoubtfulAmount> {
    let text = text.trim();
    if text.len() > MAX_TEXT {
        return Err(DoubtfulAmount::Long);
    }
    let text = normalise(text)?;
    let start = text.find(|character: char| character.is_ascii_digit()).ok_or(DoubtfulAmount::Empty)?;
    let (before, rest) = text.split_at(start);
    let (mut number, after) = Number::split(rest);
    let (after, no_cents) = match strip_no_cents(after) {
        Some((separator, after)) => {
            separator.into_iter().for_each(|separator| number.without_cents(separator));
            (after, true)
        }
        None => (after, false),
    };
    refuse_other_numbers(before, after)?;
    refuse_words(before, after)?;
    // Rand, or an order of Solidus.
    if number.is_bare() && before.ends_with('R') {
        return Err(DoubtfulAmount::Word);
    }
    let digits = number.read(mark)?;
    let negative = is_negative_before(before)?;
    let negative_after = !no_cents && is_negative_after(after)?;
    if negative && negative_after {
        return Err(DoubtfulAmount::Sign);
    }
    Amount::of(negative || negative_after, &digits.whole, &digits.fraction)
}

/// `12,-` in the Netherlands, `12.–` in Switzerland, `12:-` in Sweden, `12/-` in India: no cents, and
/// no minus. In India decimals may stand before it.
fn strip_no_cents(after: &str) -> Option<(Option<Separator>, &str)> {
    let mut characters = after.chars();
    let separator = match characters.next()? {
        '.' => Some(Separator::Point),
        ',' => Some(Separator::Comma),
        ':' => Some(Separator::Colon),
        '/' => None,
        _ => return None,
    };
    let dashes = characters.as_str();
    let rest = dashes.trim_start_matches(|character| matches!(character, '-' | '=') || is_long_dash(character));
    (rest.len() < dashes.len()).then_some((separator, rest))
}

fn refuse_other_numbers(before: &str, after: &str) -> Result<(), DoubtfulAmount> {
    let is_digit = |character: char| character.is_ascii_digit();
    let exponent = after.strip_prefix(['e', 'E']).map(|power| power.strip_prefix(['+', '-']).unwrap_or(power));
    if exponent.is_some_and(|power| power.starts_with(is_digit)) {
        Err(DoubtfulAmount::Exponent)
    } else if after.contains(is_digit) {
        Err(DoubtfulAmount::Several)
    } else if before.contains('%') || after.contains('%') {
        Err(DoubtfulAmount::Percent)
    } else if after.trim_start().starts_with(char::is_numeric) || before.trim_end().ends_with(char::is_numeric) {
        // ½, ³ and their like, and digits of scripts that we don't know.
        Err(DoubtfulAmount::Shape)
    } else {
        Ok(())
    }
}

fn refuse_words(before: &str, after: &str) -> Result<(), DoubtfulAmount> {
    if before.ends_with([',', '\u{66b}', '\u{66c}']) {
        return Err(DoubtfulAmount::Shape);
    }
    // What is numbered, not counted.
    if before.trim_end().ends_with(['#', '№']) {
        return Err(DoubtfulAmount::Word);
    }
    let head = before.trim_end_matches(currency::belongs);
    let grown = before.strip_prefix(head).unwrap_or_default();
    if grown.ends_with('.') && !grown.contains(char::is_alphabetic) {
        // `.50`: what stood before the point may be lost.
        return Err(DoubtfulAmount::Shape);
    }
    // `A17`, `no.17`; of `Total€12` the sign alone is grown together with the digits.
    let touches = grown.ends_with(|last: char| last.is_alphabetic() || last == '.');
    if touches && !currency::is_currency(grown) {
        return Err(DoubtfulAmount::Word);
    }
    let letters = |text: &str| text.split(|character: char| !character.is_alphabetic()).next().map(ToOwned::to_owned);
    let adjacent = letters(after).unwrap_or_default();
    if !adjacent.is_empty() && !currency::is_currency(&adjacent) && !currency::is_currency(leading(after)) {
        return Err(DoubtfulAmount::Word);
    }
    let next = letters(after.trim_start()).unwrap_or_default().to_lowercase();
    let is_odd = MULTIPLES.contains(&next.as_str()) || MINOR_UNITS.contains(&next.as_str());
    if is_odd
        || before.contains(CENT)
        || after.contains(CENT)
        || next.starts_with(['万', '萬', '億', '亿', '千', '만', '억', '천'])
    {
        return Err(DoubtfulAmount::Word);
    }
    Ok(())
}

/// What may be the name of a currency at the front.
fn leading(text: &str) -> &str {
    text.split(|character| !currency::belongs(character)).next().unwrap_or_default()
}

/// Whether a minus stands before the number or before the currency in front of it.
fn is_negative_before(before: &str) -> Result<bool, DoubtfulAmount> {
    let near = before.trim_end();
    let (head, touching) = if near.ends_with('-') {
        (near, near.len() == before.len())
    } else {
        let rest = currency::strip_end(near).unwrap_or(near);
        let head = rest.trim_end();
        (head, head.len() == rest.len())
    };
    let Some(words) = head.strip_suffix('-') else {
        let is_odd = |last: char| matches!(last, '(' | '±') || is_long_dash(last);
        // An accountant's parentheses are a minus, others are none.
        let doubtful = head.ends_with(is_odd) || near.ends_with(is_odd) || has_loose_minus(near);
        return if doubtful { Err(DoubtfulAmount::Sign) } else { Ok(false) };
    };
    let is_minus =
        words.trim().is_empty() || (touching && (words.ends_with(is_gap) || currency::strip_end(words).is_some()));
    if is_minus { Ok(true) } else { Err(DoubtfulAmount::Sign) }
}

/// Whether a minus begins a word, with a currency perhaps that we don't know (`-S/12`).
fn has_loose_minus(words: &str) -> bool {
    let mut gap = true;
    let mut characters = words.trim_start().chars().peekable();
    let mut first = true;
    while let Some(character) = characters.next() {
        let grown = characters.peek().is_some_and(|next| !next.is_whitespace());
        if character == '-' && gap && (grown || first) {
            return true;
        }
        gap = is_gap(character);
        first = false;
    }
    false
}

fn is_gap(character: char) -> bool {
    character.is_whitespace() || matches!(character, ':' | '=')
}

/// Whether a minus stands right behind the digits, as accounting programs print it.
fn is_negative_after(after: &str) -> Result<bool, DoubtfulAmount> {
    let is_note = |character: char| character.is_whitespace() || character == '*';
    if let Some(rest) = after.strip_prefix('-') {
        let rest = rest.trim_matches(is_note);
        return if rest.is_empty() || currency::is_currency(rest) { Ok(true) } else { Err(DoubtfulAmount::Sign) };
    }
    let is_dash = |character: char| character == '-' || is_long_dash(character);
    if after.starts_with(is_dash) || after.trim_end_matches(is_note).ends_with(is_dash) {
        return Err(DoubtfulAmount::Sign);
    }
    Ok(false)
}

/// `¢`, which stands for minor units.
const CENT: [char; 2] = ['\u{a2}', '\u{ffe0}'];

/// Longest text in bytes.
const MAX_TEXT: usize = 1024;

/// Words behind a number that multiply it, in lower case.
const MULTIPLES: [&str; 20] = [
    "k",
    "m",
    "mn",
    "mio",
    "mill",
    "million",
    "millions",
    "millionen",
    "mln",
    "млн",
    "тыс",
    "tsd",
    "tys",
    "mrd",
    "bn",
    "billion",
    "lakh",
    "crore",
    "cr",
    "mil",
];

/// Words behind a number that make it one of minor units, in lower case.
const MINOR_UNITS: [&str; 14] =
    ["ct", "cts", "cent", "cents", "p", "pence", "øre", "öre", "aurar", "gr", "groszy", "коп", "paise", "centimes"];
