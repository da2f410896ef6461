//! TC strings, made bit by bit, and what another reader makes of the same.

use std::{fmt::Write, str::FromStr};

use http::HeaderValue;
use iab_gpp::sections::tcfeuv2::TcfEuV2;
use proptest::prelude::*;

use super::*;

/// From the IAB's own repository: purposes 1, 2, 3, 4, 7, 9, 10, no vendors.
const VECTOR: &str = "CQTFM8AQTFM8AAKADBENAwFgAPLAAAAAAAYgAAAAAAAA.IAAA";

/// Bits as they are written.
#[derive(Clone, Debug, Default)]
struct Written(Vec<bool>);

impl Written {
    fn number(mut self, value: u32, width: u32) -> Self {
        self.0.extend((0..width).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    fn vendors(self, vendors: &Vendors) -> Self {
        match vendors {
            Vendors::Bits(bits) => {
                let head = self.number(u32::try_from(bits.len()).unwrap(), 16).number(0, 1);
                bits.iter().fold(head, |out, bit| out.number(u32::from(*bit), 1))
            }
            Vendors::Ranges(ranges) => {
                let last = ranges.iter().map(|(_, last)| *last).max().unwrap_or(0);
                self.number(u32::from(last), 16).number(1, 1).ranges(ranges)
            }
        }
    }

    fn ranges(self, ranges: &[(u16, u16)]) -> Self {
        let head = self.number(u32::try_from(ranges.len()).unwrap(), 12);
        ranges.iter().fold(head, |out, (first, last)| {
            let out = out.number(u32::from(first != last), 1).number(u32::from(*first), 16);
            if first == last { out } else { out.number(u32::from(*last), 16) }
        })
    }

    fn text(&self) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        // Whole bytes, as every encoder writes them.
        let mut bits = self.0.clone();
        bits.resize(bits.len().div_ceil(8) * 8, false);
        let letter = |six: &[bool]| {
            let value = (0..6).fold(0, |value, at| value << 1 | usize::from(six.get(at).copied().unwrap_or(false)));
            char::from(LETTERS[value])
        };
        bits.chunks(6).map(letter).collect()
    }
}

#[derive(Clone, Debug)]
enum Vendors {
    Bits(Vec<bool>),
    Ranges(Vec<(u16, u16)>),
}

/// Purpose, kind, vendors.
type Restriction = (u8, u8, Vec<(u16, u16)>);

/// A string's parts that decide.
#[derive(Clone, Debug)]
struct Parts {
    purposes: u32,
    vendors: Vendors,
    interests: Vendors,
    restrictions: Vec<Restriction>,
    disclosed: Option<Vendors>,
    is_service_specific: bool,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            purposes: 0,
            vendors: Vendors::Bits(vec![]),
            interests: Vendors::Bits(vec![]),
            restrictions: vec![],
            disclosed: None,
            is_service_specific: true,
        }
    }
}

impl Parts {
    fn text(&self) -> String {
        let head = Written::default().number(2, 6).number(0, 12).number(500_000, 24).number(0, 12).number(500_000, 24);
        let head = head.number(10, 12).number(1, 12).number(0, 6).number(4, 6).number(3, 6).number(100, 12);
        let head = head.number(5, 6).number(u32::from(self.is_service_specific), 1).number(0, 13);
        let head = head.number(self.purposes, 24).number(0, 25).number(0, 12);
        let head = head.vendors(&self.vendors).vendors(&self.interests);
        let head = head.number(u32::try_from(self.restrictions.len()).unwrap(), 12);
        let core = self.restrictions.iter().fold(head, |out, (purpose, kind, ranges)| {
            out.number(u32::from(*purpose), 6).number(u32::from(*kind), 2).ranges(ranges)
        });
        let mut text = core.text();
        if let Some(disclosed) = &self.disclosed {
            let segment = Written::default().number(1, 3).vendors(disclosed).text();
            write!(text, ".{segment}").unwrap();
        }
        text
    }
}

const fn purpose(number: u32) -> u32 {
    1 << (24 - number)
}

#[test]
fn the_vector_of_the_specification_is_read() {
    for number in 1..=24 {
        let expected = [1, 2, 3, 4, 7, 9, 10].contains(&number);
        assert_eq!(grants(VECTOR, &[number], None), Some(expected), "purpose {number}");
    }
    assert_eq!(grants(VECTOR, &[1, 7], None), Some(true));
    assert_eq!(grants(VECTOR, &[1, 8], None), Some(false));
    assert_eq!(grants(VECTOR, &[1], Some(1)), Some(false));
    assert_eq!(grants(VECTOR, &[0], None), Some(false));
    assert_eq!(grants(VECTOR, &[25], None), Some(false));
}

#[test]
fn vendors_are_found_in_bits_and_in_ranges() {
    let with = |vendors| Parts { purposes: purpose(1), vendors, ..Parts::default() }.text();
    let mut bits = vec![false; 800];
    bits[754] = true;
    let ranges = with(Vendors::Ranges(vec![(2, 5), (755, 755), (800, 65535)]));
    for (text, vendor, expected) in [
        (with(Vendors::Bits(bits.clone())), 755, true),
        (with(Vendors::Bits(bits.clone())), 754, false),
        (with(Vendors::Bits(bits)), 801, false),
        (ranges.clone(), 755, true),
        (ranges.clone(), 756, false),
        (ranges.clone(), 3, true),
        (ranges.clone(), 0, false),
        (ranges, 65535, true),
    ] {
        assert_eq!(grants(&text, &[1], Some(vendor)), Some(expected), "{vendor} in {text}");
    }
}

#[test]
fn what_the_publisher_or_the_banner_withholds_is_not_granted() {
    let base =
        Parts { purposes: purpose(1) | purpose(7), vendors: Vendors::Ranges(vec![(755, 755)]), ..Parts::default() };
    let wanted = |parts: Parts| grants(&parts.text(), &[1, 7], Some(755));
    let restricted = |purpose, kind, ranges| Parts { restrictions: vec![(purpose, kind, ranges)], ..base.clone() };
    assert_eq!(wanted(base.clone()), Some(true));
    assert_eq!(wanted(restricted(7, 0, vec![(700, 800)])), Some(false), "not allowed");
    assert_eq!(wanted(restricted(7, 2, vec![(755, 755)])), Some(false), "by legitimate interest alone");
    assert_eq!(wanted(restricted(7, 1, vec![(755, 755)])), Some(true), "by consent");
    assert_eq!(wanted(restricted(3, 0, vec![(755, 755)])), Some(true), "another purpose");
    assert_eq!(wanted(restricted(7, 0, vec![(1, 754)])), Some(true), "another vendor");
    let disclosed = |vendors| Parts { disclosed: Some(vendors), ..base.clone() };
    assert_eq!(wanted(disclosed(Vendors::Ranges(vec![(755, 760)]))), Some(true));
    assert_eq!(wanted(disclosed(Vendors::Ranges(vec![(1, 3)]))), Some(false), "the visitor was not told of it");
    assert_eq!(wanted(Parts { is_service_specific: false, ..base }), None);
}

#[test]
fn damaged_strings_are_denials_and_absent_ones_nothing() {
    let read = |line: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", line.parse().unwrap());
        Tcf::default().read(&headers, &[1, 7], None)
    };
    assert_eq!(read("other=1"), Reading::Absent);
    assert_eq!(read("euconsent-v2="), Reading::Undecided);
    assert_eq!(read(&format!("euconsent-v2={VECTOR}")), Reading::Granted);
    assert_eq!(read(&format!("eupubconsent-v2={VECTOR}")), Reading::Granted);
    assert_eq!(read(&format!("eupubconsent-v2={VECTOR}; euconsent-v2=C")), Reading::Denied);
    let core = VECTOR.split('.').next().unwrap();
    for cut in 1..core.len() {
        assert_eq!(read(&format!("euconsent-v2={}", core.get(..cut).unwrap())), Reading::Denied, "cut to {cut}");
    }
    let version_1 = VECTOR.replacen('C', "B", 1);
    let padded = format!("{core}==");
    let long = format!("{VECTOR}{}", "A".repeat(9000));
    for damaged in [&*version_1, &padded, "CQTFM8AQ+", "ä", &long, ".", "1YNN"] {
        assert_eq!(read(&format!("euconsent-v2={damaged}")), Reading::Denied, "{damaged}");
    }
}

#[test]
fn the_string_is_handed_on_only_if_it_is_the_only_one_and_in_order() {
    let string = |line: String| {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::try_from(line).unwrap());
        Tcf::default().string(&headers)
    };
    assert_eq!(string(format!("euconsent-v2={VECTOR}")).as_deref(), Some(VECTOR));
    assert_eq!(string(format!("euconsent-v2={VECTOR}; euconsent-v2={VECTOR}")).as_deref(), Some(VECTOR));
    assert_eq!(string(format!("euconsent-v2={VECTOR}; eupubconsent-v2=C")), None);
    assert_eq!(string("euconsent-v2=C&x=1".to_owned()), None);
    assert_eq!(string("a=1".to_owned()), None);
}

/// As many ranges of all vendors as a cookie holds: expanded, they would be a hundred million ids.
#[test]
fn a_bomb_of_ranges_costs_no_more_than_its_length() {
    let bomb = Parts { vendors: Vendors::Ranges(vec![(1, 65535); 1400]), ..Parts::default() }.text();
    assert!(bomb.len() > 7_000 && bomb.len() <= jar::MAX_VALUE, "{}", bomb.len());
    #[expect(clippy::disallowed_methods, reason = "what is measured here is time")]
    let start = std::time::Instant::now();
    for _ in 0..200 {
        assert_eq!(grants(&bomb, &[], Some(755)), Some(true));
    }
    // A reader that expands takes seconds for one; unoptimised, this one takes a millisecond.
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

fn vendors() -> impl Strategy<Value = Vendors> {
    let bits = prop::collection::vec(any::<bool>(), 0..40).prop_map(Vendors::Bits);
    prop_oneof![bits, ranges().prop_map(Vendors::Ranges)]
}

/// Ranges in order, as encoders write them.
fn ranges() -> impl Strategy<Value = Vec<(u16, u16)>> {
    prop::collection::vec((1..5u16, 0..4u16), 0..6).prop_map(|steps| {
        let mut at = 0;
        let range = |(gap, length): (u16, u16)| {
            let first = at + gap;
            at = first + length;
            (first, at)
        };
        steps.into_iter().map(range).collect()
    })
}

fn parts() -> impl Strategy<Value = Parts> {
    let restriction = (1..=10u8, 0..=2u8, ranges());
    let restrictions = prop::collection::vec(restriction, 0..3);
    (0u32..1 << 24, vendors(), vendors(), restrictions, prop::option::of(vendors())).prop_map(
        |(purposes, vendors, interests, restrictions, disclosed)| Parts {
            purposes,
            vendors,
            interests,
            restrictions,
            disclosed,
            is_service_specific: true,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn another_reader_reads_the_same(parts in parts(), wanted in 1..=24u8, vendor in 1..50u16) {
        // That one reads restrictions in the form of GPP, which TC strings don't have.
        let parts = Parts { restrictions: vec![], ..parts };
        let text = parts.text();
        let theirs = TcfEuV2::from_str(&text).unwrap();
        let core = &theirs.core;
        let has_purpose = core.purpose_consents.contains(&u16::from(wanted));
        prop_assert_eq!(grants(&text, &[wanted], None), Some(has_purpose));
        let is_disclosed = theirs.disclosed_vendors.as_ref().is_none_or(|it| it.contains(&vendor));
        let expected = has_purpose && core.vendor_consents.contains(&vendor) && is_disclosed;
        prop_assert_eq!(grants(&text, &[wanted], Some(vendor)), Some(expected), "{}", text);
    }

    #[test]
    fn no_mutation_makes_it_panic(parts in parts(), at in any::<prop::sample::Index>(), to in any::<char>(), cut in any::<prop::sample::Index>()) {
        let mut letters: Vec<char> = parts.text().chars().collect();
        *at.get_mut(&mut letters) = to;
        letters.truncate(cut.index(letters.len()) + 1);
        let text: String = letters.into_iter().collect();
        let whole = grants(&text, &[], None);
        // What is no string for nobody is none for anybody.
        prop_assert_eq!(grants(&text, &[1], Some(7)).is_some(), whole.is_some());
    }

    #[test]
    fn no_text_makes_it_panic(text in "C[A-Za-z0-9_.-]{0,200}") {
        let whole = grants(&text, &[], None);
        prop_assert_eq!(grants(&text, &[1, 7], Some(755)).is_some(), whole.is_some());
    }
}
