//! What each banner writes before a choice, after either, and damaged.

use base64::{Engine, engine::general_purpose};

use super::*;

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
