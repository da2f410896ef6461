use proptest::prelude::*;
use serde_json::json;

use super::*;

const UNKNOWN: DecimalMark = DecimalMark::Unknown;

fn read(text: &str, mark: DecimalMark) -> Result<String, DoubtfulAmount> {
    parse(text, mark).map(|amount| amount.text())
}

#[test]
fn amounts_are_read_as_their_countries_print_them() {
    for (place, text, expected) in [
        ("Germany", "€ 1.234,56", "1234.56"),
        ("Germany", "1.234,56\u{a0}€", "1234.56"),
        ("Germany, Shopware", "49,90 €*", "49.90"),
        ("Germany", "Gesamtsumme: 1.234.567,00 EUR", "1234567.00"),
        ("Germany", "12,– €", "12"),
        ("Austria", "€\u{a0}1\u{a0}234,56", "1234.56"),
        ("Austria", "€ 12,—", "12"),
        ("Switzerland", "CHF 1'234.50", "1234.50"),
        ("Switzerland", "CHF\u{a0}1\u{2019}234.50", "1234.50"),
        ("Switzerland", "1'234.– Fr.", "1234"),
        ("Switzerland", "CHF-1\u{2019}234.50", "-1234.50"),
        ("Netherlands", "€ 12,-", "12"),
        ("Netherlands", "€ 1.234,--", "1234"),
        ("Netherlands", "€ -12,50", "-12.50"),
        ("France", "1\u{202f}234,56\u{a0}€", "1234.56"),
        ("France", "12,50€ TTC", "12.50"),
        ("Spain", "1234,56 €", "1234.56"),
        ("Italy", "Totale € 1.234,5", "1234.5"),
        ("United States", "$1,234.56", "1234.56"),
        ("United States", "1,234.56 USD", "1234.56"),
        ("United States", "-$12.50", "-12.50"),
        ("United States", "$-12.50", "-12.50"),
        ("United States", "US$1,234,567", "1234567"),
        ("United Kingdom", "Total: £0.99 incl. VAT.", "0.99"),
        ("Ireland", "You paid €49.90.", "49.90"),
        ("India", "₹1,23,456.78", "123456.78"),
        ("India", "Rs.12,34,567", "1234567"),
        ("India", "Rs. 1,23,456/-", "123456"),
        ("Japan", "¥12,345,678", "12345678"),
        ("Japan", "１２，３４５，６７８円", "12345678"),
        ("China", "1,234.50元", "1234.50"),
        ("Korea", "12345원", "12345"),
        ("Thailand", "฿๑,๒๓๔.๕๐", "1234.50"),
        ("Sweden", "1 234,56 kr", "1234.56"),
        ("Sweden", "1 234:-", "1234"),
        ("Sweden", "\u{2212}12,50 kr", "-12.50"),
        ("Norway", "kr\u{a0}1\u{a0}234,56", "1234.56"),
        ("Norway", "kr 500,-", "500"),
        ("Denmark", "kr. 1.234,00", "1234.00"),
        ("Denmark", "kr.1.234,00", "1234.00"),
        ("Denmark", "1.234,00 kr.", "1234.00"),
        ("Finland", "1\u{2009}234,56 €", "1234.56"),
        ("Poland", "1 234,56 zł", "1234.56"),
        ("Czechia", "1 234,50Kč", "1234.50"),
        ("Hungary", "12 345 Ft", "12345"),
        ("Russia", "1 234,56 руб.", "1234.56"),
        ("Ukraine", "1\u{a0}234,56 грн", "1234.56"),
        ("Türkiye", "1.234,56 TL", "1234.56"),
        ("Brazil", "R$ 1.234,56", "1234.56"),
        ("South Africa", "R1,234.50", "1234.50"),
        ("Arabia", "١٬٢٣٤٫٥٠\u{a0}ر.س.\u{200f}", "1234.50"),
        ("Arabia", "\u{200f}-١٢٫٥٠ د.إ.", "-12.50"),
        ("Emirates", "د.إ. 1,234.50", "1234.50"),
        ("Iran", "۱٬۲۳۴٬۵۶۷ ریال", "1234567"),
        ("Israel", "\u{200f}1,234.56 \u{200f}₪", "1234.56"),
        ("Bangladesh", "৳১,২৩,৪৫৬.৭৮", "123456.78"),
        ("Kuwait", "KWD 12,345.678", "12345.678"),
        ("accounting", "1.234,56-", "-1234.56"),
        ("accounting", "12.50- USD", "-12.50"),
        ("label", "Total -12,50", "-12.50"),
        ("label", "Sub-total: 12,50", "12.50"),
        ("label", "Rabatt:-12,50", "-12.50"),
        ("label", "Total (EUR) 12,50", "12.50"),
        ("label", "  \n\t12,50\n ", "12.50"),
        ("WooCommerce", "&#36;12.50", "12.50"),
        ("WooCommerce", "1&nbsp;234,56&nbsp;&euro;", "1234.56"),
        ("WooCommerce", "&pound;&#x31;2.50 &amp; paid", "12.50"),
        ("data", "49.90", "49.90"),
        ("data", "49.9000", "49.9000"),
        ("data", "0", "0"),
        ("data", "0.00", "0.00"),
        ("data", "-0.00", "0.00"),
        ("data", "+12.5", "12.5"),
        ("data", "0.125", "0.125"),
        ("data", "1234.567", "1234.567"),
        ("data", "000000001234", "1234"),
        ("data", "1234567890123456789012345678", "1234567890123456789012345678"),
    ] {
        assert_eq!(read(text, UNKNOWN).as_deref(), Ok(expected), "{place}: {text:?}");
    }
}

#[test]
fn what_can_be_read_in_one_way_is_read_so_whatever_is_configured() {
    for text in ["49.90", "49,90", "1.234,56", "1,234.56", "1 234,5", "0.125", "1.234.567", "12,-"] {
        let unknown = parse(text, UNKNOWN);
        assert!(unknown.is_ok(), "{text}");
        assert_eq!(parse(text, DecimalMark::Comma), unknown, "{text}");
        assert_eq!(parse(text, DecimalMark::Point), unknown, "{text}");
    }
}

#[test]
fn thousands_or_thousandths_are_for_the_operator_to_say() {
    for (text, point, comma) in [
        ("1.234", "1.234", "1234"),
        ("€ 12.345", "12.345", "12345"),
        ("123,456 kr", "123456", "123.456"),
        ("-1,000", "-1000", "-1.000"),
    ] {
        assert_eq!(read(text, UNKNOWN), Err(DoubtfulAmount::Ambiguous), "{text}");
        assert_eq!(read(text, DecimalMark::Point).as_deref(), Ok(point), "{text}");
        assert_eq!(read(text, DecimalMark::Comma).as_deref(), Ok(comma), "{text}");
    }
}

#[test]
fn a_doubtful_amount_is_left_out_with_its_reason() {
    use DoubtfulAmount::{Empty, Exponent, Overflow, Percent, Several, Shape, Sign, Word};
    for (text, reason) in [
        ("", Empty),
        ("free of charge", Empty),
        ("NaN", Empty),
        ("10,00 € (incl. 1,60 € tax)", Several),
        ("Order 17: 12", Several),
        ("17 12,50", Several),
        ("12 345 67", Several),
        ("10 – 20 €", Several),
        ("2 × 12,50", Several),
        ("12€50", Several),
        ("2026-11-22", Several),
        ("10:30", Several),
        ("10, 20", Several),
        ("1  234", Several),
        ("<b>12</b><sup>50</sup>", Several),
        ("12&#32;&#32;50", Several),
        ("12 &#x110000; 50", Several),
        ("1.234.5", Shape),
        ("12.05.2026", Shape),
        ("1,2,3", Shape),
        ("1,234,56", Shape),
        ("1.23.456", Shape),
        ("1.234,567.89", Shape),
        ("0,123,456", Shape),
        ("1.234.-", Shape),
        ("12,50:-", Shape),
        (".50", Shape),
        ("€ ,50", Shape),
        ("12½", Shape),
        ("12³", Shape),
        ("1٢", Shape),
        ("19 %", Percent),
        ("%20", Percent),
        ("٪٢٠", Percent),
        ("1e3", Exponent),
        ("1.5E+10", Exponent),
        ("12345678901234567890123456789", Overflow),
        ("0.12345678901234567890123456789", Overflow),
        ("Total - 12,50 €", Sign),
        ("–12,50 €", Sign),
        ("(12,50 €)", Sign),
        ("($12.50)", Sign),
        ("±12", Sign),
        ("-12-", Sign),
        ("12-pack", Sign),
        ("12,50 € –", Sign),
        ("-S/12.50", Sign),
        ("Total -S/12.50", Sign),
        ("Total:-S/12.50", Sign),
        ("- Total 12,50", Sign),
        ("Order-12", Sign),
        ("A17", Word),
        ("R123456789", Word),
        ("no.17", Word),
        ("Total12,50", Word),
        ("12k", Word),
        ("$1.5M", Word),
        ("1,5 Mio. €", Word),
        ("2 Lakh", Word),
        ("3万円", Word),
        ("3 万", Word),
        ("12abc", Word),
        ("#17", Word),
        ("№ 17", Word),
        ("99¢", Word),
        ("99 ct", Word),
        ("99p", Word),
    ] {
        assert_eq!(read(text, UNKNOWN), Err(reason), "{text:?}");
    }
    assert_eq!(read(&format!("12{}€", " ".repeat(1024)), UNKNOWN), Err(DoubtfulAmount::Long));
}

#[test]
fn a_number_in_json_is_beyond_doubt_and_a_text_is_not() {
    for (value, expected) in [
        (json!(1.234), Ok("1.234")),
        (json!(49.90), Ok("49.9")),
        (json!(100.0), Ok("100")),
        (json!(-0.0), Ok("0")),
        (json!(1_000), Ok("1000")),
        (json!(u64::MAX), Ok("18446744073709551615")),
        (json!(1e-7), Ok("0.0000001")),
        (json!(1.5e20), Ok("150000000000000000000")),
        (json!(1e300), Err(DoubtfulAmount::Overflow)),
        (json!(1e-300), Err(DoubtfulAmount::Overflow)),
        (json!("49.90"), Ok("49.90")),
        (json!("1,234.50"), Ok("1234.50")),
        (json!("1.234"), Err(DoubtfulAmount::Ambiguous)),
        (json!(null), Err(DoubtfulAmount::Empty)),
        (json!(true), Err(DoubtfulAmount::Kind)),
        (json!([1]), Err(DoubtfulAmount::Kind)),
    ] {
        let found = Amount::from_json(&value, UNKNOWN).map(|amount| amount.text());
        assert_eq!(found.as_deref(), expected.as_ref().map(|text| &**text), "{value}");
    }
}

#[test]
fn minor_units_are_those_of_the_currency() {
    for (units, currency, expected) in [
        ("4990", "EUR", Ok("49.90")),
        ("4990", "eur", Ok("49.90")),
        ("4990", "JPY", Ok("4990")),
        ("4990", "KWD", Ok("4.990")),
        ("4990", "CLF", Ok("0.4990")),
        ("-5", "USD", Ok("-0.05")),
        ("0", "USD", Ok("0.00")),
        ("4990.00", "EUR", Ok("49.90")),
        ("49.9", "EUR", Err(DoubtfulAmount::Units)),
        ("4990", "XAU", Err(DoubtfulAmount::Currency)),
        ("4990", "", Err(DoubtfulAmount::Currency)),
        ("4990", "EU", Err(DoubtfulAmount::Currency)),
        ("4990", "R E", Err(DoubtfulAmount::Currency)),
    ] {
        let units = Amount::plain(units).expect("an amount");
        let found = Amount::from_minor(&units, currency).map(|amount| amount.text());
        assert_eq!(found.as_deref(), expected.as_ref().map(|text| &**text), "{currency}");
        if let Ok(amount) = Amount::from_minor(&units, currency) {
            let back = amount.to_units(currency::exponent(currency).expect("an exponent"));
            assert_eq!(back, Some(units), "{currency}");
        }
    }
    assert_eq!(Amount::from_units(&Amount::plain("1234").expect("an amount"), 29), Err(DoubtfulAmount::Overflow));
    assert_eq!(Amount::plain("1.005").expect("an amount").to_units(2), None);
}

#[test]
fn differences_are_exact() {
    for (from, less, expected) in [
        ("119.00", "19", Ok("100.00")),
        ("0.3", "0.1", Ok("0.2")),
        ("10.0", "0.05", Ok("9.95")),
        ("5", "7.5", Ok("-2.5")),
        ("1.50", "1.5", Ok("0.00")),
        ("9999999999999999999999999999", "0.1", Err(DoubtfulAmount::Overflow)),
    ] {
        let amount = |text| Amount::plain(text).expect("an amount");
        let found = amount(from).minus(&amount(less)).map(|amount| amount.text());
        assert_eq!(found.as_deref(), expected.as_ref().map(|text| &**text), "{from} - {less}");
    }
}

#[test]
fn plain_text_is_digits_and_a_point_only() {
    for text in ["", "-", ".5", "5.", "1,5", "+1", " 1", "1e3", "1.2.3", "--1", "1_000", "١", "-.5"] {
        assert_eq!(Amount::plain(text), None, "{text:?}");
    }
    assert_eq!(Amount::plain("1.234").map(|amount| amount.text()).as_deref(), Some("1.234"));
}

#[test]
fn reasons_have_labels_of_their_own() {
    let labels: std::collections::BTreeSet<_> = DoubtfulAmount::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(labels.len(), DoubtfulAmount::ALL.len());
}

/// How a country prints: the separators, what stands around, the zero of its digits.
struct Style {
    thousands: &'static str,
    decimals: &'static str,
    mark: DecimalMark,
    around: (&'static str, &'static str),
    zero: char,
    indian: bool,
}

const STYLES: [Style; 12] = [
    style(".", ",", DecimalMark::Comma, ("", " €")),
    style(".", ",", DecimalMark::Comma, ("kr. ", "")),
    style("\u{a0}", ",", DecimalMark::Comma, ("", "\u{a0}zł")),
    style("\u{202f}", ",", DecimalMark::Comma, ("Total : ", "\u{a0}€")),
    style(" ", ",", DecimalMark::Comma, ("", " kr")),
    style(",", ".", DecimalMark::Point, ("$", "")),
    style(",", ".", DecimalMark::Point, ("USD ", " *")),
    style("'", ".", DecimalMark::Point, ("CHF ", "")),
    style("\u{2019}", ".", DecimalMark::Point, ("CHF", "")),
    style("", ".", DecimalMark::Point, ("", "")),
    Style { zero: '\u{660}', ..style("\u{66c}", "\u{66b}", DecimalMark::Unknown, ("\u{200f}", "\u{a0}ر.س.")) },
    Style { indian: true, ..style(",", ".", DecimalMark::Point, ("₹", "")) },
];

const fn style(
    thousands: &'static str,
    decimals: &'static str,
    mark: DecimalMark,
    around: (&'static str, &'static str),
) -> Style {
    Style { thousands, decimals, mark, around, zero: '0', indian: false }
}

impl Style {
    fn print(&self, negative: bool, whole: u64, fraction: &str) -> String {
        let mut digits = whole.to_string();
        let mut groups = Vec::new();
        while digits.len() > 3 || (self.indian && !groups.is_empty() && digits.len() > 2) {
            let width = if self.indian && !groups.is_empty() { 2 } else { 3 };
            groups.push(digits.split_off(digits.len() - width));
        }
        groups.push(digits);
        groups.reverse();
        let mut number = groups.join(self.thousands);
        if !fraction.is_empty() {
            number = [&number, self.decimals, fraction].concat();
        }
        let own = |character: char| match character.to_digit(10) {
            Some(digit) => char::from_u32(u32::from(self.zero) + digit).expect("a digit"),
            None => character,
        };
        let number: String = number.chars().map(own).collect();
        [self.around.0, if negative { "-" } else { "" }, &number, self.around.1].concat()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_a_country_prints_is_read_back(
        style in 0..STYLES.len(), negative: bool, whole in prop_oneof![0_u64..10_000, any::<u64>()], fraction in "[0-9]{0,4}",
    ) {
        let style = &STYLES[style];
        let plain = format!("{}{whole}{}{fraction}", if negative { "-" } else { "" }, if fraction.is_empty() { "" } else { "." });
        let expected = Amount::plain(&plain).expect("an amount").text();
        let printed = style.print(negative, whole, &fraction);
        let found = read(&printed, style.mark);
        prop_assert_eq!(found.as_deref(), Ok(&*expected), "{:?}", printed);
        match read(&printed, UNKNOWN) {
            Err(doubt) => prop_assert_eq!(doubt, DoubtfulAmount::Ambiguous),
            Ok(unknown) => prop_assert_eq!(unknown, expected),
        }
    }

    #[test]
    fn any_text_gives_an_amount_that_reads_itself_or_a_reason(
        text in "\\PC{0,24}|[0-9.,' \u{a0}\u{660}-\u{66c}€$kr()–-]{0,16}",
    ) {
        for mark in [UNKNOWN, DecimalMark::Comma, DecimalMark::Point] {
            if let Ok(amount) = parse(&text, mark) {
                prop_assert_eq!(Amount::plain(&amount.text()), Some(amount));
            }
        }
    }

    #[test]
    fn taking_away_what_is_left_gives_what_was_taken(a in any::<i64>(), b in any::<i64>(), c in 0_u32..6, d in 0_u32..6) {
        let amount = |units, exponent| Amount::exactly(i128::from(units), exponent).expect("an amount");
        let (whole, part) = (amount(a, c), amount(b, d));
        let rest = whole.minus(&part).expect("small enough");
        prop_assert_eq!(whole.minus(&rest), Ok(part));
        prop_assert_eq!(rest.negated(), part.minus(&whole).expect("small enough"));
    }
}
