//! What each banner writes before a choice, after either, and damaged; and what follows from it.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose};
use http::HeaderValue;
use proptest::prelude::*;
use regex::Regex;

use super::{
    axeptio::Axeptio, borlabs::Borlabs, complianz::Complianz, cookiebot::Cookiebot, cookieyes::CookieYes,
    didomi::Didomi, iubenda::Iubenda, klaro::Klaro, onetrust::OneTrust, tarteaucitron::Tarteaucitron,
    trustarc::TrustArc, usprivacy::UsPrivacy, wp::WpConsent, *,
};
use crate::tracking::{cookie, matcher::Test, value::Source};

use Decision::{Denied, Granted, Pending};

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
fn onetrust_writes_defaults_before_its_banner_is_gone() {
    let closed = |groups: &str| {
        format!(
            "OptanonAlertBoxClosed=2026-01-02T03:04:05.000Z; OptanonConsent=isGpcEnabled=0&interactionCount=1&{groups}"
        )
    };
    let [granted, denied, again, missing, odd, no_groups] = [
        "groups=C0001%3A1%2CC0004%3A1&AwaitingReconsent=false",
        "groups=C0004%3A0%2CC0001%3A1&AwaitingReconsent=false",
        "groups=C0001%3A1%2CC0004%3A1&AwaitingReconsent=true",
        "groups=C0001%3A1%2CC00041%3A1",
        "groups=C0004%3Ayes",
        "landingPath=https%3A%2F%2Fshop.example%2F%3Fa%3D1%26groups%3DC0004%3A1",
    ]
    .map(closed);
    let cases = [
        (granted.as_str(), Granted),
        (&denied, Denied),
        (&again, Pending),
        (&missing, Pending),
        (&odd, Denied),
        (&no_groups, Pending),
        ("OptanonConsent=groups=C0001%3A1%2CC0004%3A1&AwaitingReconsent=false", Pending),
        ("OptanonConsent=groups=C0004%3A1; OptanonAlertBoxClosed=", Pending),
        ("OptanonAlertBoxClosed=2026-01-02T03:04:05.000Z", Pending),
        ("OptanonAlertBoxClosed=2026-01-02T03:04:05.000Z; OptanonConsent=rubbish", Denied),
        ("OptanonAlertBoxClosed=2026-01-02T03:04:05.000Z; OptanonConsent=groups=%ff", Denied),
        ("OptanonAlertBoxClosed=2026; OptanonConsent=groups=C0004:1; OptanonConsent=groups=C0004:0", Denied),
        ("OptanonAlertBoxClosed=2026; OptanonConsent=groups=C0004:1,C0004:0", Denied),
    ];
    check(&Signal::OneTrust(OneTrust::default()), &cases);
    let other = OneTrust { group: "C0002".to_owned(), ..OneTrust::default() };
    check(&Signal::OneTrust(other), &[(&closed("groups=C0002%3A1%2CC0004%3A0"), Granted)]);
}

#[test]
fn cookiebot_writes_that_all_is_allowed_where_it_does_not_ask() {
    let stamped = |marketing: &str, method: &str| {
        format!(
            "CookieConsent={{stamp:%27QUJD==%27%2Cnecessary:true%2Cstatistics:false%2Cmarketing:{marketing}%2C\
             method:%27{method}%27%2Cver:1%2Cutc:1750000000000%2Cregion:%27de%27}}"
        )
    };
    let cases = [
        (&*stamped("true", "explicit"), Granted),
        (&stamped("false", "explicit"), Denied),
        (&stamped("true", "implied"), Pending),
        (&stamped("maybe", "explicit"), Denied),
        ("CookieConsent={stamp:'x',marketing:true,method:'explicit'}", Granted),
        ("CookieConsent={stamp:'x',iab2:'a,marketing:true',marketing:false,method:'explicit'}", Denied),
        ("CookieConsent={stamp:'-1',marketing:true,method:'explicit'}", Pending),
        ("CookieConsent={stamp:'x',marketing:true}", Pending),
        ("CookieConsent=-1", Pending),
        ("CookieConsent=0", Denied),
        ("CookieConsent=true", Pending),
        ("CookieConsent=", Pending),
        ("CookieConsent={stamp:'x',necessary:true,method:'explicit'}", Denied),
        ("CookieConsent={stamp:%27QUJD", Denied),
    ];
    check(&Signal::Cookiebot(Cookiebot::default()), &cases);
}

#[test]
fn cookieyes_asks_for_an_action() {
    let cases = [
        ("cookieyes-consent=consentid:QUJD,consent:yes,action:yes,necessary:yes,advertisement:yes,other:no", Granted),
        ("cookieyes-consent=consentid:QUJD,consent:no,action:yes,necessary:yes,advertisement:no", Denied),
        ("cookieyes-consent=consentid:QUJD,consent:yes,action:,necessary:yes,advertisement:yes", Pending),
        ("cookieyes-consent=consentid:QUJD%2Caction:yes%2Cadvertisement:yes", Granted),
        ("cookieyes-consent=action:yes,analytics:yes", Pending),
        ("cookieyes-consent=action:yes,advertisement:perhaps", Denied),
        ("cookieyes-consent=yes", Denied),
    ];
    check(&Signal::CookieYes(CookieYes::default()), &cases);
}

#[test]
fn complianz_asks_for_a_banner_that_is_gone() {
    let cases = [
        ("cmplz_banner-status=dismissed; cmplz_marketing=allow", Granted),
        ("cmplz_banner-status=dismissed; cmplz_marketing=deny", Denied),
        ("cmplz_marketing=allow", Pending),
        ("cmplz_banner-status=shown; cmplz_marketing=allow", Pending),
        ("cmplz_banner-status=dismissed", Pending),
        ("cmplz_banner-status=dismissed; cmplz_marketing=1", Denied),
        ("cmplz_banner-status=dismissed; cmplz_marketing=allow; cmplz_marketing=deny", Denied),
    ];
    check(&Signal::Complianz(Complianz::default()), &cases);
    let shared = Complianz { prefix: "cmplz_rt_".to_owned(), ..Complianz::default() };
    check(&Signal::Complianz(shared), &[("cmplz_rt_banner-status=dismissed; cmplz_rt_marketing=allow", Granted)]);
}

#[test]
fn borlabs_lists_services() {
    let saved = |marketing: &str| {
        format!(
            "borlabs-cookie=%7B%22consents%22%3A%7B%22essential%22%3A%5B%22borlabs-cookie%22%5D{marketing}%7D%2C\
             %22uid%22%3A%22x%22%2C%22version%22%3A%221%22%2C%22v3%22%3Atrue%7D"
        )
    };
    let pixel = saved("%2C%22marketing%22%3A%5B%22facebook-pixel%22%5D");
    let cases = [
        (&*pixel, Granted),
        (&saved(""), Denied),
        (&saved("%2C%22marketing%22%3A%5B%5D"), Denied),
        (&saved("%2C%22marketing%22%3Atrue"), Denied),
        ("borlabs-cookie=%7B%22consents%22", Denied),
        ("borlabs-cookie=", Pending),
    ];
    check(&Signal::Borlabs(Borlabs::default()), &cases);
    let other = Borlabs { services: names(&["google-ads"]), ..Borlabs::default() };
    check(&Signal::Borlabs(other), &[(&pixel, Denied)]);
}

#[test]
fn iubenda_leaves_out_what_a_site_does_not_use() {
    let saved = |policy: &str, minute: u32, rest: &str| {
        let json =
            format!("{{\"timestamp\":\"2026-01-02T03:{minute:02}:05.000Z\",\"version\":\"1.80.0\",{rest},\"id\":1}}");
        let mut cookie = format!("_iub_cs-{policy}=");
        cookie::encode_value(&json, &mut cookie);
        cookie
    };
    let granted = |policy, minute| saved(policy, minute, "\"purposes\":{\"1\":true,\"4\":true,\"5\":true}");
    let denied = |policy, minute| saved(policy, minute, "\"purposes\":{\"1\":true,\"4\":true,\"5\":false}");
    let cases = [
        (granted("12345678", 1), Granted),
        (denied("s123", 1), Denied),
        (saved("1", 1, "\"purposes\":{\"1\":true,\"4\":true}"), Pending),
        (saved("1", 1, "\"purposes\":[5]"), Denied),
        (saved("1", 1, "\"consent\":true"), Granted),
        (saved("1", 1, "\"consent\":false"), Denied),
        (saved("1", 1, "\"consent\":\"true\""), Denied),
        (granted("12345678-granular", 1), Pending),
        (format!("{}; {}", denied("1", 1), granted("2", 2)), Granted),
        (format!("{}; {}", granted("1", 1), denied("2", 2)), Denied),
        (format!("{}; {}", granted("1", 1), denied("2", 1)), Denied),
        (format!("{}; {}", denied("1", 1), granted("1", 2)), Denied),
        ("_iub_cs-1=%7B".to_owned(), Denied),
        ("_iub_cs-1={\"timestamp\":\"soon\",\"consent\":true}".to_owned(), Denied),
        (vec![granted("1", 1); 40].join("; "), Denied),
    ];
    let cases: Vec<_> = cases.iter().map(|(line, expected)| (line.as_str(), *expected)).collect();
    check(&Signal::Iubenda(Iubenda::default()), &cases);
    let one = Iubenda { policy: Some("1".to_owned()), ..Iubenda::default() };
    check(&Signal::Iubenda(one), &[(&format!("{}; {}", granted("1", 1), denied("2", 2)), Granted)]);
}

#[test]
fn didomi_decides_by_ids_in_two_lists() {
    let token = |lists: &str| {
        let json = format!("{{\"user_id\":\"x\",\"created\":\"2026-01-02T03:04:05.000Z\",{lists},\"version\":2}}");
        format!("didomi_token={}", general_purpose::STANDARD.encode(json))
    };
    let enabled =
        token("\"vendors\":{\"enabled\":[\"c:x-Ab\"]},\"purposes\":{\"enabled\":[\"ads-1\"],\"disabled\":[]}");
    let cases = [
        (&*enabled, Granted),
        (&enabled.replace('=', "%3D").replacen("%3D", "=", 1), Granted),
        (
            &token("\"vendors\":{\"enabled\":[\"c:x-Ab\"]},\"purposes\":{\"enabled\":[],\"disabled\":[\"ads-1\"]}"),
            Denied,
        ),
        (&token("\"vendors\":{\"enabled\":[]},\"purposes\":{\"enabled\":[\"ads-1\"]}"), Pending),
        (
            &token(
                "\"vendors\":{\"enabled\":[\"c:x-Ab\"],\"disabled\":[\"c:x-Ab\"]},\"purposes\":{\"enabled\":[\"ads-1\"]}",
            ),
            Denied,
        ),
        ("didomi_token=bm90IGpzb24=", Denied),
        ("didomi_token=***", Denied),
        ("didomi_dcs=AAAA", Pending),
    ];
    let ids = Didomi { purposes: names(&["ads-1"]), vendors: names(&["c:x-Ab"]), ..Didomi::default() };
    check(&Signal::Didomi(ids), &cases);
    check(&Signal::Didomi(Didomi::default()), &[(&enabled, Pending)]);
}

#[test]
fn trustarc_counts_levels_from_0_and_from_1() {
    let cases = [
        ("notice_gdpr_prefs=0,1,2:", Granted),
        ("notice_gdpr_prefs=0,1:", Denied),
        ("notice_gdpr_prefs=0%2C1%2C2:; notice_behavior=expressed,eu", Granted),
        ("notice_gdpr_prefs=0,1,2::implied,us", Pending),
        ("notice_gdpr_prefs=0,1::implied,us", Denied),
        ("notice_gdpr_prefs=0,1,2:; notice_behavior=implied|us", Pending),
        ("notice_behavior=expressed,eu", Pending),
        ("notice_preferences=2:", Granted),
        ("notice_preferences=1:", Denied),
        ("cmapi_cookie_privacy=permit 1,2,3", Granted),
        ("cmapi_cookie_privacy=\"permit%201,2,3\"", Granted),
        ("cmapi_cookie_privacy=permit 1,2", Denied),
        ("cmapi_cookie_privacy=permit 1 required", Denied),
        ("cmapi_cookie_privacy=permit", Denied),
        ("cmapi_cookie_privacy=permit 1,2,3; notice_gdpr_prefs=0:", Denied),
        ("notice_gdpr_prefs=a,2:", Denied),
    ];
    check(&Signal::TrustArc(TrustArc::default()), &cases);
}

#[test]
fn axeptio_must_be_completed() {
    let saved = |completed: &str, vendors: &str| {
        format!(
            "axeptio_cookies={{%22$$token%22:%22x%22%2C%22$$completed%22:{completed}}}; axeptio_authorized_vendors={vendors}"
        )
    };
    let cases = [
        (&*saved("true", "%2Cgoogle_ads%2C"), Granted),
        (&saved("true", "%2CGoogle_Ads%2C"), Granted),
        (&saved("true", "%2C%2C"), Denied),
        (&saved("true", "%2Cgoogle_ads_2%2C"), Denied),
        (&saved("false", "%2C%2C"), Pending),
        (&saved("false", "%2Cgoogle_ads%2C"), Pending),
        ("axeptio_cookies={%22$$completed%22:true}", Denied),
        ("axeptio_cookies={%22$$completed%22:\"true\"}; axeptio_authorized_vendors=,google_ads,", Pending),
        ("axeptio_cookies={%22$$comp; axeptio_authorized_vendors=,google_ads,", Denied),
        ("axeptio_authorized_vendors=,google_ads,", Pending),
    ];
    check(&Signal::Axeptio(Axeptio { vendors: names(&["google_ads"]), ..Axeptio::default() }), &cases);
}

#[test]
fn tarteaucitron_waits() {
    let cases = [
        ("tarteaucitron=!gtag=true!facebookpixel=false", Granted),
        ("tarteaucitron=!gtag=false!facebookpixel=true", Denied),
        ("tarteaucitron=!gtag=wait!facebookpixel=true", Pending),
        ("tarteaucitron=%21gtag=true", Granted),
        ("tarteaucitron=!facebookpixel=true", Pending),
        ("tarteaucitron=!gtag=1", Denied),
        ("tarteaucitron=gtag", Denied),
    ];
    check(&Signal::Tarteaucitron(Tarteaucitron { services: names(&["gtag"]), ..Tarteaucitron::default() }), &cases);
}

#[test]
fn klaro_writes_on_save() {
    let cases = [
        ("klaro=%7B%22googleAds%22%3Atrue%2C%22matomo%22%3Afalse%7D", Granted),
        ("klaro={\"googleAds\":false,\"matomo\":true}", Denied),
        ("klaro={\"matomo\":true}", Pending),
        ("klaro={\"googleAds\":1}", Denied),
        ("klaro=%7B%22googleAds%22", Denied),
        ("klaro=[true]", Denied),
    ];
    check(&Signal::Klaro(Klaro { services: names(&["googleAds"]), ..Klaro::default() }), &cases);
    let both = Klaro { services: names(&["googleAds", "matomo"]), ..Klaro::default() };
    check(&Signal::Klaro(both), &[(cases[0].0, Denied)]);
}

#[test]
fn shopify_has_defaults_of_the_region_beside_the_choice() {
    let saved = |choice: &str| {
        format!(
            "_cmp_a=%7B%7D; _tracking_consent={{\"con\":{choice},\"v\":\"2.1\",\"region\":\"DEBE\",\"reg\":\"\",\"purposes\":{{\"a\":true,\"m\":true}}}}"
        )
    };
    let cases = [
        (&*saved("{\"CMP\":{\"a\":\"\",\"m\":\"1\",\"p\":\"\",\"s\":\"\"}}"), Granted),
        (&saved("{\"CMP\":{\"a\":\"1\",\"m\":\"0\",\"p\":\"\",\"s\":\"\"}}"), Denied),
        (&saved("{\"CMP\":{\"a\":\"\",\"m\":\"\",\"p\":\"\",\"s\":\"\"}}"), Pending),
        (&saved("{\"CMP\":{\"m\":true}}"), Denied),
        (&saved("{\"GDPR\":\"1\"}"), Granted),
        (&saved("{\"GDPR\":\"0\"}"), Denied),
        (&saved("{}"), Pending),
        (&saved("1"), Denied),
        ("_tracking_consent=3.AMPS_DEBE_f_f_x", Pending),
        ("_tracking_consent=%7B%22con%22", Denied),
    ];
    check(&Signal::Shopify, &cases);
}

#[test]
fn the_wp_consent_api_says_allow_or_deny() {
    let cases = [
        ("wp_consent_marketing=allow", Granted),
        ("wp_consent_marketing=deny", Denied),
        ("wp_consent_marketing=Allow", Denied),
        ("wp_consent_statistics=allow", Pending),
    ];
    check(&Signal::Wp(WpConsent::default()), &cases);
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

/// All signals, each with ids that the samples below have.
fn all() -> Vec<Signal> {
    vec![
        Signal::Bridge,
        Signal::Tcf(Tcf::default()),
        Signal::OneTrust(OneTrust::default()),
        Signal::Cookiebot(Cookiebot::default()),
        Signal::CookieYes(CookieYes::default()),
        Signal::Complianz(Complianz::default()),
        Signal::Borlabs(Borlabs::default()),
        Signal::Iubenda(Iubenda::default()),
        Signal::Didomi(Didomi { purposes: names(&["a"]), ..Didomi::default() }),
        Signal::TrustArc(TrustArc::default()),
        Signal::Axeptio(Axeptio { vendors: names(&["a"]), ..Axeptio::default() }),
        Signal::Tarteaucitron(Tarteaucitron { services: names(&["a"]), ..Tarteaucitron::default() }),
        Signal::Klaro(Klaro { services: names(&["a"]), ..Klaro::default() }),
        Signal::Shopify,
        Signal::Wp(WpConsent::default()),
        Signal::UsPrivacy(UsPrivacy::default()),
        Signal::Google,
    ]
}

const NAMES: [&str; 20] = [
    "_tl_consent",
    "euconsent-v2",
    "OptanonConsent",
    "OptanonAlertBoxClosed",
    "CookieConsent",
    "cookieyes-consent",
    "cmplz_marketing",
    "cmplz_banner-status",
    "borlabs-cookie",
    "_iub_cs-1",
    "didomi_token",
    "notice_gdpr_prefs",
    "cmapi_cookie_privacy",
    "axeptio_cookies",
    "axeptio_authorized_vendors",
    "tarteaucitron",
    "klaro",
    "_tracking_consent",
    "wp_consent_marketing",
    "usprivacy",
];

/// Pieces that take a reader further in than random bytes would.
const PIECES: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"\"",
    b"'",
    b":",
    b",",
    b"!",
    b"=",
    b"&",
    b"%",
    b"%2",
    b"%ff",
    b"\xff",
    b"\"con\":{",
    b"\"purposes\":",
    b"groups=C0004",
    b"1",
    b"true",
    b"marketing",
    b"C",
    b"permit 1,",
    b"{\"timestamp\":\"2026-01-02T03:04:05.000Z\"",
    b"eyJ2",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_cookie_makes_a_reader_panic_or_grant_by_accident(
        values in prop::collection::vec((0..NAMES.len(), prop::collection::vec(0..PIECES.len(), 0..12)), 1..6),
    ) {
        let mut line = Vec::new();
        for (name, pieces) in values {
            line.extend_from_slice(NAMES[name].as_bytes());
            line.push(b'=');
            pieces.iter().for_each(|piece| line.extend_from_slice(PIECES[*piece]));
            line.extend_from_slice(b"; ");
        }
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_bytes(&line).unwrap());
        for signal in all() {
            let name = format!("{signal:?}");
            let said = decide(&rules(vec![signal]), "", &headers);
            // The pieces spell no whole grant.
            prop_assert_ne!(said, Granted, "{}: {:?}", name, String::from_utf8_lossy(&line));
        }
    }
}

#[test]
fn a_cookie_that_is_too_long_or_nested_too_deep_is_a_denial() {
    let long = format!("klaro={{\"a\":true,\"b\":\"{}\"}}", "x".repeat(jar::MAX_VALUE));
    let deep = format!("klaro={{\"a\":true,\"b\":{}1{}}}", "[".repeat(2000), "]".repeat(2000));
    let klaro = Signal::Klaro(Klaro { services: names(&["a"]), ..Klaro::default() });
    check(&klaro, &[(&long, Denied), (&deep, Denied), ("klaro={\"a\":true,\"b\":[[1]]}", Granted)]);
}

#[test]
fn rules_are_shared_between_threads() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    is_shared(&Arc::new(rules(all())));
}
