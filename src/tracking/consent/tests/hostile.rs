//! Cookies that were written to confuse a reader.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

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
