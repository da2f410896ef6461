//! Currencies: their codes, their minor units, and how they are written beside an amount.
//!
//! Which currency an ambiguous sign (`$`, `kr`) stands for is not decided here, or anywhere.

/// How many decimals a currency has (ISO 4217, column "Minor unit"): EUR 2, JPY 0, KWD 3.
///
/// Nothing for a code that is not in the list, and for those to which it gives none (gold, units of
/// account). Upper and lower case are the same: Stripe writes `eur`.
#[must_use]
pub fn exponent(code: &str) -> Option<u32> {
    let code = code.trim();
    if !is_code(code) {
        return None;
    }
    let listed = EXPONENTS.iter().find(|(_, codes)| contains(codes, code));
    Some(listed.map_or(2, |(exponent, _)| *exponent))
}

/// Whether this is the code of a currency with a minor unit.
#[must_use]
pub fn is_code(code: &str) -> bool {
    code.len() == 3 && contains(CODES, code)
}

/// Whether a piece of text names a currency and nothing else: `€`, `EUR`, `kr.`, `US$`.
pub(super) fn is_currency(text: &str) -> bool {
    let letters = text.trim_matches(|character| character == '.' || is_symbol(character));
    if letters.is_empty() {
        text.contains(is_symbol)
    } else {
        let is_in = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(letters));
        is_code(letters) || is_in(&NAMES) || (text.contains(is_symbol) && is_in(&COUNTRIES))
    }
}

/// Splits a name of a currency off the end.
pub(super) fn strip_end(text: &str) -> Option<&str> {
    let head = text.trim_end_matches(belongs);
    text.strip_prefix(head).filter(|tail| is_currency(tail)).map(|_| head)
}

/// Whether a character may belong to the name of a currency.
pub(super) fn belongs(character: char) -> bool {
    character.is_alphabetic() || character == '.' || is_symbol(character)
}

/// General category Sc of the Basic Multilingual Plane (Unicode 16).
pub(super) const fn is_symbol(character: char) -> bool {
    matches!(
        character,
        '$' | '\u{a2}'..='\u{a5}' | '\u{58f}' | '\u{60b}' | '\u{7fe}' | '\u{7ff}' | '\u{9f2}' | '\u{9f3}' | '\u{9fb}'
        | '\u{af1}' | '\u{bf9}' | '\u{e3f}' | '\u{17db}' | '\u{20a0}'..='\u{20c0}' | '\u{a838}' | '\u{fdfc}'
        | '\u{fe69}' | '\u{ff04}' | '\u{ffe0}' | '\u{ffe1}' | '\u{ffe5}' | '\u{ffe6}'
    )
}

/// Codes stand three letters and a space apart.
fn contains(codes: &str, code: &str) -> bool {
    codes.split(' ').any(|listed| listed.eq_ignore_ascii_case(code))
}

/// Minor units other than two digits (ISO 4217 list one, as of 2025).
const EXPONENTS: [(u32, &str); 3] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

/// All codes with a minor unit (ISO 4217 list one, as of 2025, and those that left it since 2018).
const CODES: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP \
    BYN BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP \
    GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD \
    KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR \
    NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC \
    SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF \
    XPF YER ZAR ZMW ZWG ZWL";

/// How currencies are written with letters other than their codes.
const NAMES: [&str; 40] = [
    "kr",
    "Kč",
    "KČ",
    "zł",
    "Ft",
    "lei",
    "Fr",
    "SFr",
    "Rs",
    "Rp",
    "RM",
    "R",
    "TL",
    "KM",
    "din",
    "Euro",
    "Euros",
    "лв",
    "руб",
    "р",
    "грн",
    "ден",
    "дин",
    "сум",
    "円",
    "元",
    "圆",
    "원",
    "บาท",
    "د.إ",
    "ر.س",
    "د.ك",
    "د.ب",
    "ر.ق",
    "ر.ع",
    "ج.م",
    "د.م",
    "د.ا",
    "ل.ل",
    "ریال",
];

/// Letters that make a currency with a sign only: `US$`, `A$`.
const COUNTRIES: [&str; 11] = ["US", "A", "AU", "C", "CA", "NZ", "HK", "S", "NT", "MX", "RD"];
