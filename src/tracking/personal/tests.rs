use proptest::prelude::*;

use super::*;

fn clear(found: Option<Personal>) -> Option<String> {
    found.and_then(|personal| personal.clear().map(ToOwned::to_owned))
}

#[test]
fn addresses_are_trimmed_and_lowered_and_nothing_more() {
    for (text, expected) in [
        (" Jane.Doe@Gmail.com\u{a0}", "jane.doe@gmail.com"),
        ("\u{200b}a+news@b.example\n", "a+news@b.example"),
        ("JÖRG@MÜLLER.example", "jörg@müller.example"),
        ("o'brien@mail.shop.co.uk", "o'brien@mail.shop.co.uk"),
    ] {
        assert_eq!(clear(email(text)).as_deref(), Some(expected), "{text:?}");
    }
}

#[test]
fn what_is_no_address_is_left_out() {
    for text in [
        "",
        "@",
        "jane",
        "jane@",
        "@b.example",
        "a@b",
        "a@b@c.example",
        "a b@c.example",
        "a@b..example",
        "a@.example",
        "a@b.example.",
        "a@127.0.0.1",
        "a@-b.example",
        "j***@b.example",
        "Jane <a@b.example>",
        "a@b.example, c@d.example",
        ".a@b.example",
        "a@b.example?subject=x",
        "a@b_c.example",
        "a\u{0}@b.example",
        "null",
    ] {
        assert_eq!(email(text), None, "{text:?}");
    }
    assert_eq!(email(&format!("{}@b.example", "x".repeat(65))), None);
    assert_eq!(email(&format!("a@{}.example", "x".repeat(64))), None);
}

#[test]
fn a_hash_passes_in_lower_case_and_other_digests_do_not() {
    let hash = sha256_hex(b"jane@example.com");
    for read in [email, |text: &str| phone(text, Some("49"))] {
        let found = read(&format!(" {} ", hash.to_uppercase())).expect("a hash");
        assert_eq!((found.sha256(), found.clear()), (hash.clone(), None));
        assert_eq!(read("5d41402abc4b2a76b9719d911017c592"), None, "MD5");
        assert_eq!(read("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"), None, "SHA-1");
    }
}

#[test]
fn the_hash_is_that_of_the_form_networks_ask_for() {
    // printf jane@example.com | sha256sum
    let found = email(" Jane@Example.COM ").expect("an address");
    assert_eq!(found.sha256(), "8c87b489ce35cf2e2f39f80e282cb2e804932a56a213983eeeb428407d43b52d");
    assert_eq!(found.into_text(), "jane@example.com");
}

#[test]
fn numbers_become_international() {
    for (text, country, expected) in [
        ("+49 30 123456", None, "+4930123456"),
        ("+49 (0)30 / 12 34-56", None, "+4930123456"),
        ("0049 (0) 30 123456", None, "+4930123456"),
        ("+1 (555) 123.4567", None, "+15551234567"),
        ("tel:+44-20-7946-0018", None, "+442079460018"),
        ("\u{200e}+٩٧١ ٥٠ ١٢٣ ٤٥٦٧", None, "+971501234567"),
        ("030 123456", Some("49"), "+4930123456"),
        ("(030) 12\u{2013}34\u{a0}56", Some("+49"), "+4930123456"),
        ("020 7946 0018", Some("0044"), "+442079460018"),
        ("06 6982", Some("39"), "+39066982"),
        ("612 34 56 78", Some("34"), "+34612345678"),
        ("34 612 34 56 78", Some("34"), "+34612345678"),
        ("(555) 123-4567", Some("1"), "+15551234567"),
        ("1-555-123-4567", Some("1"), "+15551234567"),
    ] {
        assert_eq!(clear(phone(text, country)).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn numbers_in_doubt_are_left_out() {
    for (text, country) in [
        ("", Some("49")),
        ("030 123456", None),
        ("123456789", Some("49")),
        ("030 123456", Some("x")),
        ("030 123456", Some("0")),
        ("+49 30 123456 ext. 7", None),
        ("+49 30 123456 / +49 30 123457", None),
        ("+12345", None),
        ("+1234567890123456", None),
        ("+0301234567", None),
        ("0000000000", Some("49")),
        ("06 20 123 4567", Some("36")),
        ("0 612 345 678", Some("34")),
        ("+49 30 12XX56", None),
        ("٠٣٠", None),
    ] {
        assert_eq!(phone(text, country), None, "{text}");
    }
}

#[test]
fn an_address_loses_its_last_part() {
    for (address, expected) in [
        ("203.0.113.77", "203.0.113.0"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("2001:db8:85a3:8d3:1319:8a2e:370:7348", "2001:db8:85a3::"),
        ("::1", "::"),
    ] {
        let address: IpAddr = address.parse().expect("an address");
        assert_eq!(truncate(address).to_string(), expected);
        assert_eq!(truncate(truncate(address)), truncate(address));
    }
}

#[test]
fn personal_values_do_not_show_in_debug_output() {
    let shown = format!("{:?} {:?}", email("jane@example.com"), phone("+4930123456", None));
    assert!(!shown.contains("jane") && !shown.contains("4930"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_text_is_read_or_left_out_and_reading_twice_changes_nothing(text in "\\PC{0,40}|[0-9+() ./@a.Z-]{0,30}") {
        if let Some(found) = clear(email(&text)) {
            prop_assert_eq!(clear(email(&found)), Some(found));
        }
        if let Some(found) = clear(phone(&text, Some("49"))) {
            prop_assert_eq!(clear(phone(&found, None)), Some(found));
        }
    }
}
