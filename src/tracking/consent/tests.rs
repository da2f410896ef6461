//! What follows from what a banner has written, and from what else says a choice.

use http::HeaderValue;
use regex::Regex;

use super::{
    axeptio::Axeptio, borlabs::Borlabs, complianz::Complianz, cookiebot::Cookiebot, cookieyes::CookieYes,
    didomi::Didomi, iubenda::Iubenda, klaro::Klaro, onetrust::OneTrust, tarteaucitron::Tarteaucitron,
    trustarc::TrustArc, usprivacy::UsPrivacy, wp::WpConsent, *,
};
use crate::tracking::{cookie, matcher::Test, value::Source};

use Decision::{Denied, Granted, Pending};

mod banners;
mod hostile;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    lines.iter().map(pair).collect()
}

fn cookies(line: &str) -> HeaderMap {
    headers(&[("cookie", line)])
}

fn rules(signals: Vec<Signal>) -> ConsentRules {
    ConsentRules { require: Requirement::AdStorage, signals, ..ConsentRules::default() }
}

fn decide(rules: &ConsentRules, query: &str, headers: &HeaderMap) -> Decision {
    rules.decide(None, RequestView { query, path: &[], headers })
}

/// Checks what one signal says of these cookies.
fn check(signal: &Signal, cases: &[(&str, Decision)]) {
    let rules = rules(vec![signal.clone()]);
    assert_eq!(decide(&rules, "", &cookies("other=1")), Pending, "{signal:?}");
    for (line, expected) in cases {
        assert_eq!(decide(&rules, "", &cookies(line)), *expected, "{signal:?}: {line}");
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_us_privacy_string_never_grants() {
    let cases = [
        ("usprivacy=1YNN", Pending),
        ("usprivacy=1---", Pending),
        ("usprivacy=1YYN", Denied),
        ("usprivacy=1yyn", Denied),
        ("usprivacy={\"uspString\":\"1YY-\"}", Denied),
        ("usprivacy=%7B%22uspString%22%3A%221YN-%22%7D", Pending),
        ("usprivacy=1YN", Denied),
        ("usprivacy=2YNN", Denied),
        ("usprivacy={\"uspString\":1}", Denied),
    ];
    check(&Signal::UsPrivacy(UsPrivacy::default()), &cases);
}

#[test]
fn consent_mode_is_believed_of_the_pages_own_hits() {
    let own = [("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "empty")];
    let rules = rules(vec![Signal::Google]);
    for (query, expected) in [
        ("gcd=13r3p3r3r5&gcs=G111", Granted),
        ("v=2&gcd=13n3n3n3n5", Granted),
        ("gcd=13v3v3v3v5", Granted),
        ("gcd=13v3v3l3l5", Granted),
        ("gcd=13r3r3q3r5", Denied),
        ("gcd=13q3q3q3q5", Denied),
        ("gcd=13u3u3u3u5", Denied),
        ("gcd=13m3m3m3m5", Denied),
        ("gcd=13t3t3t3t5&gcs=G111", Pending),
        ("gcd=13p3p3p3p5&gcs=G100", Pending),
        ("gcd=13l3l3l3l1", Pending),
        ("gcd=13r3r3r3r5&gcd=13q3q3q3q5", Denied),
        ("gcd=13r3r", Denied),
        ("gcd=13R3r3r3r5", Denied),
        ("gcd=%31", Denied),
        ("gcs=G100", Denied),
        ("gcs=G111", Pending),
        ("gcs=G1--", Pending),
        ("gcs=", Denied),
        ("", Pending),
    ] {
        assert_eq!(decide(&rules, query, &headers(&own)), expected, "{query}");
    }
    let granted = "gcd=13r3r3r3r5";
    for foreign in [
        vec![],
        vec![("sec-fetch-site", "none"), ("sec-fetch-dest", "document")],
        vec![("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "image")],
        vec![("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "document")],
    ] {
        assert_eq!(decide(&rules, granted, &headers(&foreign)), Pending, "a link that anybody can write");
    }
}

#[test]
fn the_bridge_leaves_one_of_two_words() {
    let cases = [("_tl_consent=granted", Granted), ("_tl_consent=denied", Denied), ("_tl_consent=x", Denied)];
    check(&Signal::Bridge, &cases);
}

#[test]
fn the_bridge_does_not_overrule_a_denial_that_was_read() {
    let beside = rules(vec![Signal::Bridge, Signal::Tcf(Tcf::default()), Signal::Wp(WpConsent::default())]);
    let said = |line: &str| decide(&beside, "", &cookies(line));
    assert_eq!(said("_tl_consent=granted"), Granted);
    assert_eq!(said("_tl_consent=granted; wp_consent_marketing=allow"), Granted);
    assert_eq!(said("_tl_consent=granted; wp_consent_marketing=deny"), Denied);
    assert_eq!(said("_tl_consent=granted; wp_consent_marketing=allow; euconsent-v2=x"), Denied);
    assert_eq!(said("_tl_consent=denied; wp_consent_marketing=allow"), Denied);
}

#[test]
fn any_cookie_and_any_header_can_tell() {
    let granted = Regex::new("^yes").unwrap();
    let denied = Some(Regex::new("no").unwrap());
    let cookie = Signal::Cookie { name: "mine".into(), granted: granted.clone(), denied: denied.clone() };
    let cases = [
        ("mine=yes", Granted),
        ("mine=%79es", Granted),
        ("mine=no", Denied),
        ("mine=yes and no", Denied),
        ("mine=neither", Denied),
        ("mine=", Denied),
        ("mine=yes; mine=neither", Denied),
        ("mine=%ff", Denied),
    ];
    check(&cookie, &cases);
    let header = rules(vec![Signal::Header { name: "x-consent".parse().unwrap(), granted, denied }]);
    let said = |lines: &[(&str, &str)]| decide(&header, "", &headers(lines));
    assert_eq!(said(&[]), Pending);
    assert_eq!(said(&[("x-consent", "yes")]), Granted);
    assert_eq!(said(&[("x-consent", "maybe")]), Denied);
    let mut twice = headers(&[("x-consent", "yes")]);
    twice.append("x-consent", HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(decide(&header, "", &twice), Denied);
}

#[test]
fn the_first_signal_that_has_a_choice_decides() {
    let both = rules(vec![Signal::CookieYes(CookieYes::default()), Signal::Wp(WpConsent::default())]);
    let said = |line: &str| decide(&both, "", &cookies(line));
    assert_eq!(said("wp_consent_marketing=allow"), Granted);
    assert_eq!(said("cookieyes-consent=action:,advertisement:yes; wp_consent_marketing=deny"), Denied, "no choice yet");
    assert_eq!(said("cookieyes-consent=action:yes,advertisement:yes; wp_consent_marketing=deny"), Granted);
    assert_eq!(said("cookieyes-consent=damaged; wp_consent_marketing=allow"), Denied);
    assert_eq!(decide(&rules(vec![]), "", &cookies("wp_consent_marketing=allow")), Pending);
}

#[test]
fn global_privacy_control_denies_whatever_the_banner_says() {
    let deny = rules(vec![Signal::Bridge]);
    let ignore = ConsentRules { gpc: Gpc::Ignore, ..deny.clone() };
    let said = |rules: &ConsentRules, value| {
        decide(rules, "", &headers(&[("sec-gpc", value), ("cookie", "_tl_consent=granted")]))
    };
    assert_eq!(said(&deny, "1"), Denied);
    assert_eq!(said(&deny, "0"), Granted);
    assert_eq!(said(&deny, "true"), Granted);
    assert_eq!(said(&ignore, "1"), Granted);
    assert_eq!(decide(&ConsentRules::default(), "", &headers(&[("sec-gpc", "1")])), Decision::NotRequired);
}

#[test]
fn some_journeys_need_no_consent() {
    let condition = |name: &str| Condition { source: Source::Query(name.to_owned()), test: Test::OneOf(names(&["1"])) };
    let cashback = ConsentRules { unless: vec![condition("sn"), condition("cb")], ..rules(vec![Signal::Bridge]) };
    let said = |query| decide(&cashback, query, &cookies("_tl_consent=denied"));
    assert_eq!(said("sn=1&cb=1"), Decision::NotRequired);
    assert_eq!(said("sn=1&cb=2"), Denied);
    assert_eq!(said("sn=1"), Denied);
}

#[test]
fn a_network_may_ask_for_more_or_for_nothing() {
    let site = rules(vec![Signal::Tcf(Tcf::default())]);
    let ads = cookies("euconsent-v2=CQTFM8AQTFM8AAKADBENAwFgAPLAAAAAAAYgAAAAAAAA.IAAA");
    let said = |rules: &ConsentRules, network: Option<Requirement>| {
        rules.decide(network.as_ref(), RequestView { query: "", path: &[], headers: &ads })
    };
    assert_eq!(said(&site, None), Granted, "purposes 1, 2, 3, 4, 7, 9, 10");
    let of = |purposes: &[u8], vendor| Requirement::Purposes { purposes: purposes.to_vec(), vendor };
    assert_eq!(said(&site, Some(of(&[1, 8], None))), Denied);
    assert_eq!(said(&site, Some(of(&[1, 7], Some(755)))), Denied);
    assert_eq!(said(&site, Some(Requirement::None)), Decision::NotRequired);
    let open = ConsentRules { require: Requirement::None, ..site };
    assert_eq!(said(&open, None), Decision::NotRequired);
    assert_eq!(said(&open, Some(of(&[1, 9], None))), Granted);
}

#[test]
fn decisions_have_labels_of_their_own() {
    let labels = Decision::ALL.map(Decision::as_str);
    assert_eq!(labels, ["not_required", "granted", "denied", "pending"]);
    assert_eq!(Decision::ALL.map(Decision::allows), [true, true, false, false]);
}
