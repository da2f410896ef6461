//! Character references: `&nbsp;`, `&#8364;`, `&#x20AC;`.
//!
//! Known are the names of HTML 4 and those of ASCII punctuation in HTML 5; what else stands behind an
//! ampersand is text, as browsers take unknown names.

use std::{collections::BTreeMap, sync::LazyLock};

/// Where a reference stands, which decides what counts without a semicolon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Between tags.
    Text,
    /// In the value of an attribute, where `?a=1&copy=2` is an address.
    Attribute,
}

/// What a text that begins with an ampersand begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reference {
    /// This letter, and how many bytes of the text stand for it.
    Letter(char, usize),
    /// An ampersand and nothing else.
    Ampersand,
    /// More must be seen first.
    Open,
}

/// Decodes the value of an attribute.
pub(super) fn decode_attribute(value: &str) -> String {
    let mut decoded = String::with_capacity(value.len());
    let mut rest = value;
    decode(&mut rest, Place::Attribute, true, &mut decoded);
    decoded
}

/// Decodes `rest` as far as that can be done, and leaves in it a reference that may go on.
pub(super) fn decode(rest: &mut &str, place: Place, is_end: bool, decoded: &mut String) {
    while let Some((before, from)) = rest.find('&').and_then(|at| rest.split_at_checked(at)) {
        decoded.push_str(before);
        *rest = from;
        let length = match reference(from, place, is_end) {
            Reference::Letter(letter, length) => {
                decoded.push(letter);
                length
            }
            Reference::Ampersand => {
                decoded.push('&');
                1
            }
            Reference::Open => return,
        };
        *rest = from.get(length..).unwrap_or_default();
    }
    decoded.push_str(rest);
    *rest = "";
}

fn reference(text: &str, place: Place, is_end: bool) -> Reference {
    let body = text.get(1..).unwrap_or_default();
    if let Some(number) = body.strip_prefix('#') {
        return numeric(number, is_end);
    }
    let end = body.bytes().take(MAX_NAME + 1).position(|byte| !byte.is_ascii_alphanumeric());
    let end = match end {
        Some(end) => end,
        None if body.len() > MAX_NAME => return Reference::Ampersand,
        None if is_end => body.len(),
        None => return Reference::Open,
    };
    let (name, after) = body.split_at_checked(end).unwrap_or_default();
    if after.starts_with(';')
        && let Some((letter, _)) = NAMES.get(name)
    {
        return Reference::Letter(*letter, name.len() + 2);
    }
    // Old pages leave the semicolon out, and old names mean something without it, even in the middle
    // of a word (HTML, section 13.2.5.73).
    let old = (2..=name.len()).rev().find_map(|length| {
        let name = name.get(..length)?;
        NAMES.get(name).filter(|(_, is_old)| *is_old).map(|(letter, _)| (*letter, length))
    });
    match old {
        Some((_, length)) if place == Place::Attribute && (length < name.len() || after.starts_with('=')) => {
            Reference::Ampersand
        }
        Some((letter, length)) => Reference::Letter(letter, length + 1),
        None => Reference::Ampersand,
    }
}

/// Reads what follows `&#`.
fn numeric(body: &str, is_end: bool) -> Reference {
    let is_hex = body.starts_with(['x', 'X']);
    let digits = if is_hex { body.get(1..).unwrap_or_default() } else { body };
    let radix = if is_hex { 16 } else { 10 };
    let is_digit = |byte: u8| char::from(byte).is_digit(radix);
    let end = match digits.bytes().take(MAX_NAME).position(|byte| !is_digit(byte)) {
        Some(end) => end,
        None if digits.len() < MAX_NAME && !is_end => return Reference::Open,
        None => digits.len().min(MAX_NAME),
    };
    let (number, after) = digits.split_at_checked(end).unwrap_or_default();
    if number.is_empty() {
        return Reference::Ampersand;
    }
    let code = u32::from_str_radix(number, radix).unwrap_or(u32::MAX);
    let length = 2 + usize::from(is_hex) + number.len() + usize::from(after.starts_with(';'));
    Reference::Letter(letter(code), length)
}

/// The letter of a number; 128 to 159 mean what they do in windows-1252 (HTML, section 13.2.5.80).
fn letter(code: u32) -> char {
    match u8::try_from(code) {
        Ok(0) => None,
        Ok(byte @ 0x80..=0x9f) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(&[byte]).0.chars().next(),
        Ok(_) | Err(_) => char::from_u32(code),
    }
    .unwrap_or(char::REPLACEMENT_CHARACTER)
}

static NAMES: LazyLock<BTreeMap<&str, (char, bool)>> = LazyLock::new(|| {
    let named = |list: &'static str, is_old| {
        let mut words = list.split_ascii_whitespace();
        std::iter::from_fn(move || {
            let name = words.next()?;
            let code = u32::from_str_radix(words.next()?, 16).ok()?;
            Some((name, (char::from_u32(code)?, is_old)))
        })
    };
    named(OLD, true).chain(named(NEWER, false)).collect()
});

/// The longest name or number that is looked at.
const MAX_NAME: usize = 24;
/// Names that count without a semicolon too, each with its number.
const OLD: &str = "\
    QUOT 22 quot 22 AMP 26 amp 26 LT 3c lt 3c GT 3e gt 3e nbsp a0 iexcl a1 cent a2 pound a3 curren a4 yen a5 \
    brvbar a6 sect a7 uml a8 COPY a9 copy a9 ordf aa laquo ab not ac shy ad REG ae reg ae macr af deg b0 \
    plusmn b1 sup2 b2 sup3 b3 acute b4 micro b5 para b6 middot b7 cedil b8 sup1 b9 ordm ba raquo bb frac14 bc \
    frac12 bd frac34 be iquest bf Agrave c0 Aacute c1 Acirc c2 Atilde c3 Auml c4 Aring c5 AElig c6 Ccedil c7 \
    Egrave c8 Eacute c9 Ecirc ca Euml cb Igrave cc Iacute cd Icirc ce Iuml cf ETH d0 Ntilde d1 Ograve d2 \
    Oacute d3 Ocirc d4 Otilde d5 Ouml d6 times d7 Oslash d8 Ugrave d9 Uacute da Ucirc db Uuml dc Yacute dd \
    THORN de szlig df agrave e0 aacute e1 acirc e2 atilde e3 auml e4 aring e5 aelig e6 ccedil e7 egrave e8 \
    eacute e9 ecirc ea euml eb igrave ec iacute ed icirc ee iuml ef eth f0 ntilde f1 ograve f2 oacute f3 ocirc \
    f4 otilde f5 ouml f6 divide f7 oslash f8 ugrave f9 uacute fa ucirc fb uuml fc yacute fd thorn fe yuml ff";
/// Names that need their semicolon.
const NEWER: &str = "\
    Tab 9 NewLine a excl 21 num 23 dollar 24 percnt 25 apos 27 lpar 28 rpar 29 ast 2a plus 2b comma 2c period \
    2e sol 2f colon 3a semi 3b equals 3d quest 3f commat 40 lsqb 5b bsol 5c rsqb 5d lowbar 5f lcub 7b rcub 7d \
    NonBreakingSpace a0 OElig 152 oelig 153 Scaron 160 scaron 161 Yuml 178 fnof 192 circ 2c6 tilde 2dc Alpha \
    391 Beta 392 Gamma 393 Delta 394 Epsilon 395 Zeta 396 Eta 397 Theta 398 Iota 399 Kappa 39a Lambda 39b Mu \
    39c Nu 39d Xi 39e Omicron 39f Pi 3a0 Rho 3a1 Sigma 3a3 Tau 3a4 Upsilon 3a5 Phi 3a6 Chi 3a7 Psi 3a8 Omega \
    3a9 alpha 3b1 beta 3b2 gamma 3b3 delta 3b4 epsilon 3b5 zeta 3b6 eta 3b7 theta 3b8 iota 3b9 kappa 3ba \
    lambda 3bb mu 3bc nu 3bd xi 3be omicron 3bf pi 3c0 rho 3c1 sigmaf 3c2 sigma 3c3 tau 3c4 upsilon 3c5 phi \
    3c6 chi 3c7 psi 3c8 omega 3c9 thetasym 3d1 upsih 3d2 piv 3d6 ensp 2002 emsp 2003 numsp 2007 puncsp 2008 \
    thinsp 2009 hairsp 200a zwnj 200c zwj 200d lrm 200e rlm 200f hyphen 2010 ndash 2013 mdash 2014 lsquo 2018 \
    rsquo 2019 sbquo 201a ldquo 201c rdquo 201d bdquo 201e dagger 2020 Dagger 2021 bull 2022 hellip 2026 \
    permil 2030 prime 2032 Prime 2033 lsaquo 2039 rsaquo 203a oline 203e frasl 2044 euro 20ac image 2111 \
    weierp 2118 real 211c trade 2122 alefsym 2135 larr 2190 uarr 2191 rarr 2192 darr 2193 harr 2194 crarr 21b5 \
    lArr 21d0 uArr 21d1 rArr 21d2 dArr 21d3 hArr 21d4 forall 2200 part 2202 exist 2203 empty 2205 nabla 2207 \
    isin 2208 notin 2209 ni 220b prod 220f sum 2211 minus 2212 lowast 2217 radic 221a prop 221d infin 221e ang \
    2220 and 2227 or 2228 cap 2229 cup 222a int 222b there4 2234 sim 223c cong 2245 asymp 2248 ne 2260 equiv \
    2261 le 2264 ge 2265 sub 2282 sup 2283 nsub 2284 sube 2286 supe 2287 oplus 2295 otimes 2297 perp 22a5 sdot \
    22c5 lceil 2308 rceil 2309 lfloor 230a rfloor 230b lang 2329 rang 232a loz 25ca spades 2660 clubs 2663 \
    hearts 2665 diams 2666";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known() {
        assert_eq!(NAMES.len(), OLD.split(' ').count() / 2 + NEWER.split(' ').count() / 2);
        assert_eq!(NAMES["nbsp"], ('\u{a0}', true));
        assert_eq!(NAMES["euro"], ('\u{20ac}', false));
        assert_eq!(NAMES["diams"], ('\u{2666}', false));
    }

    #[test]
    fn references_are_decoded_as_browsers_do() {
        for (text, in_text, in_attribute) in [
            ("&euro;&nbsp;12", "\u{20ac}\u{a0}12", "\u{20ac}\u{a0}12"),
            ("&#8364;&#x20AC;&#X20ac;&#128;", "\u{20ac}\u{20ac}\u{20ac}\u{20ac}", "\u{20ac}\u{20ac}\u{20ac}\u{20ac}"),
            ("&pound12 &copy=1", "\u{a3}12 \u{a9}=1", "&pound12 &copy=1"),
            ("&pound 12", "\u{a3} 12", "\u{a3} 12"),
            (
                "&euro 12 &unknown; &; & &#; &#x;",
                "&euro 12 &unknown; &; & &#; &#x;",
                "&euro 12 &unknown; &; & &#; &#x;",
            ),
            ("&amp;euro;", "&euro;", "&euro;"),
            ("&#0;&#xD800;&#99999999999;", "\u{fffd}\u{fffd}\u{fffd}", "\u{fffd}\u{fffd}\u{fffd}"),
            ("&#49&#50;", "12", "12"),
            ("&notit; &notin;", "\u{ac}it; \u{2209}", "&notit; \u{2209}"),
            ("&Eacute;&eacute;", "\u{c9}\u{e9}", "\u{c9}\u{e9}"),
            ("a&quot;b&#39;c&apos;", "a\"b'c'", "a\"b'c'"),
        ] {
            let (mut decoded, mut rest) = (String::new(), text);
            decode(&mut rest, Place::Text, true, &mut decoded);
            assert_eq!((decoded.as_str(), rest), (in_text, ""), "{text}");
            assert_eq!(decode_attribute(text), in_attribute, "{text}");
        }
    }

    #[test]
    fn a_reference_that_may_go_on_waits() {
        for (text, decoded_now, left) in [
            ("a &eur", "a ", "&eur"),
            ("&#12", "", "&#12"),
            ("&", "", "&"),
            ("&#x", "", "&#x"),
            ("a &b c", "a &b c", ""),
        ] {
            let (mut decoded, mut rest) = (String::new(), text);
            decode(&mut rest, Place::Text, false, &mut decoded);
            assert_eq!((decoded.as_str(), rest), (decoded_now, left), "{text}");
        }
        let long = format!("&{}", "a".repeat(100));
        let (mut decoded, mut rest) = (String::new(), long.as_str());
        decode(&mut rest, Place::Text, false, &mut decoded);
        assert_eq!((decoded.as_str(), rest), (long.as_str(), ""));
    }
}
