//! Where the choice stands, and what each place says.

use crate::support::{
    accounting::assert_accounts,
    config::{shop_of, with_site_key},
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
};

use super::{CLICKS, CONSENT, Story};

type Header = Option<(&'static str, &'static str)>;

/// Purposes 1, 2, 3, 4, 7, 9 and 10, and no vendor.
const TCF: &str = "euconsent-v2=CQTFM8AQTFM8AAKADBENAwFgAPLAAAAAAAYgAAAAAAAA.IAAA";
const CLOSED: &str = "OptanonAlertBoxClosed=2026-01-02T03:04:05.000Z";

#[test]
fn a_click_is_kept_refused_or_left_pending_as_the_banners_say() {
    let story = Story::asking(
        r#"require: ad_storage, from: [tcf, onetrust, cookiebot, { cookie: my_consent, granted: "^yes", denied: "^no" }, { header: x-consent, granted: "^1$" }]"#,
    );
    let onetrust = |state: &str, awaiting: &str| {
        format!("OptanonConsent=interactionCount=1&groups=C0001%3A1%2CC0004%3A{state}&AwaitingReconsent={awaiting}")
    };
    let cookiebot = |marketing: &str, method: &str| {
        format!(
            "CookieConsent={{stamp:%27QUJD==%27%2Cnecessary:true%2Cmarketing:{marketing}%2Cmethod:%27{method}%27%2Cver:1}}"
        )
    };
    let cases: [(String, Header, &str); 19] = [
        (String::new(), None, "pending"),
        (TCF.into(), None, "accepted"),
        ("euconsent-v2=C".into(), None, "no_consent"),
        (format!("{}; {CLOSED}", onetrust("1", "false")), None, "accepted"),
        (format!("{}; {CLOSED}", onetrust("0", "false")), None, "no_consent"),
        (onetrust("1", "false"), None, "pending"),
        (format!("{}; {CLOSED}", onetrust("1", "true")), None, "pending"),
        (cookiebot("true", "explicit"), None, "accepted"),
        (cookiebot("false", "explicit"), None, "no_consent"),
        (cookiebot("true", "implied"), None, "pending"),
        ("my_consent=yes%20please".into(), None, "accepted"),
        ("my_consent=no".into(), None, "no_consent"),
        ("my_consent=perhaps".into(), None, "no_consent"),
        ("my_consent=%ff%fe".into(), None, "no_consent"),
        ("my_consent=yes; my_consent=no".into(), None, "no_consent"),
        (String::new(), Some(("X-Consent", "1")), "accepted"),
        (String::new(), Some(("X-Consent", "0")), "no_consent"),
        ("my_consent=yes".into(), Some(("Sec-GPC", "1")), "no_consent"),
        ("my_consent=yes".into(), Some(("Sec-GPC", "0")), "accepted"),
    ];
    for (cookies, header, expected) in &cases {
        let before = story.proxy.metric(CLICKS, &[("result", expected)]);
        let mut visitor = story.proxy.visitor();
        if !cookies.is_empty() {
            visitor = visitor.sending("Cookie", cookies);
        }
        if let Some((name, value)) = header {
            visitor = visitor.sending(name, value);
        }
        let landed = visitor.lands("/?exotracker=abc");
        let after = story.proxy.metric(CLICKS, &[("result", expected)]);
        assert!(after - before > 0.5, "{cookies} {header:?} is not {expected}");
        assert_eq!(landed.set_cookie("_exoclick_cid").is_some(), *expected == "accepted", "{cookies} {header:?}");
    }
    for (decision, result) in [("granted", "accepted"), ("denied", "no_consent"), ("pending", "pending")] {
        let count = cases.iter().filter(|(_, _, expected)| *expected == result).count();
        story.counted(CONSENT, ("decision", decision), u32::try_from(count).unwrap());
    }
    assert_accounts(&story.proxy);
}

#[test]
fn a_network_that_asks_for_its_own_vendor_gets_nothing_without_it() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let url = network.address();
    let networks = format!(
        r#"      one: {{ click: {{ param: one }}, consent: {{ purposes: [1, 7] }}, postback: {{ url: "http://{url}/one", query: {{ click: "{{click_id}}" }} }} }}
      other: {{ click: {{ param: other }}, consent: {{ purposes: [1, 7], vendor: 755 }}, postback: {{ url: "http://{url}/other", query: {{ click: "{{click_id}}" }} }} }}
      free: {{ click: {{ param: free }}, consent: none, postback: {{ url: "http://{url}/free", query: {{ click: "{{click_id}}" }} }} }}"#
    );
    let send = "          one: {}\n          other: {}\n          free: {}";
    let config = with_site_key(&shop_of(&origin, &networks, send), "consent: { require: ad_storage, from: [tcf] }");
    let proxy = Proxy::with(&config).start();
    let mut visitor = proxy.visitor().sending("Cookie", TCF);
    let landed = visitor.lands("/?one=1&other=2&free=3");
    let mut set: Vec<String> = landed.set_cookies().into_iter().map(|cookie| cookie.name).collect();
    set.retain(|name| name.ends_with("_cid"));
    assert_eq!(set, ["_one_cid", "_free_cid"]);
    visitor.get("/thank-you/1");
    let mut received: Vec<String> = network.await_received(2).into_iter().map(|request| request.target).collect();
    received.sort();
    assert_eq!(received, ["/free?click=3", "/one?click=1"]);
    let outcome = |network, outcome| {
        proxy.await_metric("throughline_conversions_total", &[("network", network), ("outcome", outcome)], 1);
    };
    outcome("one", "queued");
    outcome("other", "no_consent");
    outcome("free", "queued");
    assert_accounts(&proxy);
}
