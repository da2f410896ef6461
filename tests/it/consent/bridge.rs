//! The script that tells us the choice of a banner whose cookies say nothing.

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    browser::{Browser, Tab, Window},
    config::with_site_key,
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
    visitor::Answer,
};

use super::{CLICKS, CONSENT, ORIGIN, SECRET, Story, THANKS, cached, config};

const BRIDGED: &str = "require: ad_storage, bridge: true";
const CSP: &str = "Content-Security-Policy";
const CHOICE: &str = "/.throughline/consent";

/// The page with the one script taken out, if there is one.
fn without_script(page: &str) -> Option<String> {
    let (before, rest) = page.split_once("<script")?;
    let (_, after) = rest.split_once("</script>")?;
    Some(format!("{before}{after}"))
}

/// The nonce of the script.
fn nonce(page: &str) -> Option<&str> {
    Some(page.split_once("<script nonce=\"")?.1.split_once('"')?.0)
}

fn with_csp(mode: &str) -> (Origin, Proxy) {
    let origin = Origin::start();
    let config = with_site_key(&config(&origin, &AdNetwork::answering(["OK"]), BRIDGED), &format!("csp: {mode}"));
    let proxy = Proxy::with(&format!("secret: ${{SEAL}}\n{config}")).env("SEAL", SECRET).start();
    (origin, proxy)
}

#[test]
fn the_script_stands_at_the_end_of_every_page_and_of_nothing_else() {
    let story = Story::asking(BRIDGED);
    story.origin.change("/data", Response::new(200).header("Content-Type", "application/json").body("{}"));
    story.origin.change("/plain", Response::html("no markup at all"));
    story.origin.change("/cached", cached(PAGE));
    let mut visitor = story.proxy.visitor();
    for target in ["/", "/other?a=b", THANKS, "/cached"] {
        let page = visitor.get(target).text();
        assert_eq!(without_script(&page).as_deref(), Some(PAGE), "{target}");
        assert!(page.ends_with("</script></body></html>\n"), "{page}");
        assert!(page.contains("'/.throughline/consent'"));
    }
    assert!(visitor.request("GET", "/plain", &[("Sec-Purpose", "prefetch")], "").text().contains("<script"));
    for (method, target, headers) in [
        ("GET", "/data", vec![]),
        ("POST", "/", vec![]),
        ("GET", "/", vec![("Sec-Fetch-Dest", "empty")]),
        ("GET", "/", vec![("Accept", "image/*")]),
    ] {
        let answer = visitor.request(method, target, &headers, "");
        assert!(!answer.text().contains("<script"), "{method} {target} {headers:?}");
    }
    let kept = visitor.get("/cached");
    assert_eq!((kept.header("cache-control"), kept.header("etag")), (Some("public, max-age=60"), None));
    assert_eq!(visitor.head("/cached").header("content-length"), None, "HEAD says no other length");
    assert_accounts(&story.proxy);
}

#[test]
fn a_choice_is_taken_from_pages_of_the_same_host_alone() {
    let story = Story::asking(BRIDGED);
    let mut visitor = story.proxy.visitor();
    let post = |visitor: &mut crate::support::visitor::Visitor, headers: &[(&str, &str)], body: &str| -> Answer {
        visitor.request("POST", CHOICE, headers, body)
    };
    for (headers, body, status) in [
        (vec![], "granted", 403),
        (vec![("Origin", "http://other.example")], "granted", 403),
        (vec![("Origin", "null")], "granted", 403),
        (vec![("Sec-Fetch-Site", "cross-site"), ORIGIN], "granted", 403),
        (vec![("Sec-Fetch-Site", "same-site"), ORIGIN], "granted", 403),
        (vec![ORIGIN], "", 400),
        (vec![ORIGIN], "yes", 400),
        (vec![ORIGIN], "grantedgranted", 400),
        (vec![ORIGIN], "grantedgrantedgranted", 413),
    ] {
        let answer = post(&mut visitor, &headers, body);
        assert_eq!((answer.status, answer.set_cookies().len()), (status, 0), "{headers:?} {body}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let asked = visitor.get(CHOICE);
    assert_eq!((asked.status, asked.header("allow")), (405, Some("POST")));
    for (headers, word) in [(vec![ORIGIN], "granted"), (vec![("Sec-Fetch-Site", "same-origin")], "denied")] {
        let answer = post(&mut visitor, &headers, word);
        assert_eq!((answer.status, answer.body.len(), answer.header("content-length")), (204, 0, None));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let cookie = answer.set_cookie("_tl_consent").expect("the choice");
        assert_eq!((cookie.value.as_str(), cookie.attribute("max-age")), (word, Some("31536000")));
        assert_eq!((cookie.attribute("domain"), cookie.attribute("path")), (Some("shop.example"), Some("/")));
        assert_eq!((cookie.attribute("samesite"), cookie.attribute("httponly")), (Some("Lax"), None));
    }
    assert!(story.origin.requests().is_empty(), "the site hears nothing of it");
    assert_accounts(&story.proxy);
}

#[test]
fn the_choice_brings_the_click_of_its_page_and_takes_it_again() {
    let story = Story::with(BRIDGED, AdNetwork::answering([Response::reset()]));
    let mut visitor = story.proxy.visitor();
    visitor.lands("/?exotracker=abc");
    story.counted(CLICKS, ("result", "pending"), 1);
    let from = [ORIGIN, ("Referer", "http://shop.example/?exotracker=abc"), ("Sec-Fetch-Dest", "empty")];
    visitor.request("POST", CHOICE, &from, "granted");
    assert_eq!(visitor.cookie("_exoclick_cid").as_deref(), Some("abc"));
    story.counted(CLICKS, ("result", "accepted"), 1);
    visitor.get(THANKS);
    story.counted("throughline_outbox_pending", ("network", "exoclick"), 1);
    visitor.request("POST", CHOICE, &from, "denied");
    assert_eq!((visitor.cookie("_exoclick_cid"), visitor.cookie("_tl")), (None, None));
    assert_eq!(visitor.cookie("_tl_consent").as_deref(), Some("denied"));
    story.counted("throughline_postbacks_total", ("verdict", "withdrawn"), 1);
    assert!(story.proxy.metric(CONSENT, &[("decision", "denied")]) > 0.5);
    assert_accounts(&story.proxy);
}

#[test]
fn a_pages_policy_lets_the_script_run() {
    let (origin, proxy) = with_csp("amend");
    for (policy, expected, becomes) in [
        ("img-src 'self'", None, "img-src 'self'"),
        ("script-src 'self' 'unsafe-inline'", None, "script-src 'self' 'unsafe-inline'"),
        ("script-src 'nonce-abc='; connect-src *", Some("abc="), "script-src 'nonce-abc='; connect-src *"),
        (
            "default-src 'none'; script-src 'nonce-abc'",
            Some("abc"),
            "default-src 'none'; connect-src 'self'; script-src 'nonce-abc'",
        ),
        (
            "script-src 'nonce-abc', script-src 'nonce-def'",
            Some("abc"),
            "script-src 'nonce-abc', script-src 'nonce-def' 'nonce-abc'",
        ),
    ] {
        origin.change("/", Response::html(PAGE).header(CSP, policy));
        let answer = proxy.visitor().get("/");
        let page = answer.text();
        assert_eq!(without_script(&page).as_deref(), Some(PAGE), "{policy}");
        assert_eq!((nonce(&page), answer.header(CSP)), (expected, Some(becomes)), "{policy}");
    }
    let policy = "default-src 'self'";
    origin.change("/", cached(PAGE).header(CSP, policy).header("Content-Security-Policy-Report-Only", policy));
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let answer = proxy.visitor().get("/");
        let page = answer.text();
        let fresh = nonce(&page).expect("a nonce").to_owned();
        assert!(fresh.len() >= 32, "{fresh}");
        let becomes = format!("default-src 'self'; script-src 'self' 'nonce-{fresh}'");
        assert_eq!(answer.header(CSP), Some(&*becomes));
        assert_eq!(answer.header("content-security-policy-report-only"), Some(&*becomes));
        assert!(answer.header("cache-control").unwrap().contains("private"), "a nonce is for one answer");
        nonces.push(fresh);
    }
    assert_ne!(nonces[0], nonces[1]);
}

#[test]
fn a_respected_policy_keeps_its_bytes_and_the_script_out() {
    let (origin, proxy) = with_csp("respect");
    for (policy, runs) in [
        ("default-src 'self'", false),
        ("script-src 'nonce-abc'; connect-src 'none'", false),
        ("script-src 'nonce-abc', script-src 'nonce-def'", false),
        ("script-src 'nonce-abc'; connect-src 'self'", true),
    ] {
        origin.change("/", Response::html(PAGE).header(CSP, policy));
        let answer = proxy.visitor().get("/");
        assert_eq!(answer.header(CSP), Some(policy));
        assert_eq!(without_script(&answer.text()).is_some(), runs, "{policy}");
        assert!(runs || answer.text() == PAGE);
    }
}

#[test]
fn a_policy_in_the_page_itself_has_the_last_word() {
    let (origin, proxy) = with_csp("amend");
    let page = |policy: &str| {
        PAGE.replace("<title>", &format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\"><title>"))
    };
    for (policy, runs) in
        [("script-src 'self'", false), ("script-src 'nonce-xyz'", true), ("connect-src 'none'", false)]
    {
        let page = page(policy);
        origin.change("/", Response::html(&page));
        let answer = proxy.visitor().get("/").text();
        assert_eq!(without_script(&answer).unwrap_or(answer.clone()), page, "{policy}");
        assert_eq!(answer.contains("<script"), runs, "{policy}");
        assert_eq!(nonce(&answer), runs.then_some("xyz"));
    }
}

/// A page with a stand-in for Cookiebot and two buttons.
const COOKIEBOT: &str = r#"<!doctype html><html><head><title>Shop</title><script nonce="site">
window.Cookiebot = { hasResponse: false, consent: { marketing: false, method: 'explicit' } };
function choose(yes) {
  Cookiebot.hasResponse = true;
  Cookiebot.consent.marketing = yes;
  dispatchEvent(new Event(yes ? 'CookiebotOnAccept' : 'CookiebotOnDecline'));
}
addEventListener('DOMContentLoaded', function () {
  document.getElementById('yes').onclick = function () { choose(true); };
  document.getElementById('no').onclick = function () { choose(false); };
});
</script></head><body><button id="yes">Yes</button><button id="no">No</button></body></html>"#;

/// The same for a banner under the IAB's TCF.
const TCF: &str = r#"<!doctype html><html><head><title>Shop</title><script nonce="site">
var listeners = [];
window.__tcfapi = function (command, version, heard) {
  if (command === 'addEventListener') {
    listeners.push(heard);
    heard({ eventStatus: 'cmpuishown', gdprApplies: true, purpose: { consents: {} } }, true);
  }
};
function choose(yes) {
  listeners.forEach(function (heard) {
    heard({ eventStatus: 'useractioncomplete', gdprApplies: true, purpose: { consents: { 1: yes, 7: yes } } }, true);
  });
}
addEventListener('DOMContentLoaded', function () {
  document.getElementById('yes').onclick = function () { choose(true); };
  document.getElementById('no').onclick = function () { choose(false); };
});
</script></head><body><button id="yes">Yes</button><button id="no">No</button></body></html>"#;

/// The value of a cookie once it is this one.
fn await_cookie(browser: &mut Browser, window: &Window, name: &str, expected: Option<&str>) {
    let mut seen = None;
    await_fact(
        || {
            seen = browser.cookie(window, name).map(|cookie| cookie["value"].as_str().unwrap_or_default().to_owned());
            (seen.as_deref() == expected).then_some(())
        },
        || format!("{name} to be {expected:?}"),
    );
}

fn open(browser: &mut Browser, window: &Window, story: &Story, target: &str) -> Tab {
    browser.open(window, &format!("http://{}{target}", story.proxy.address()))
}

#[test]
fn a_choice_in_a_real_browser_is_known_from_then_on() {
    let mut browser = Browser::start();
    for (banner, policy) in
        [(COOKIEBOT, Some("default-src 'self'; script-src 'nonce-site'; connect-src 'none'")), (TCF, None)]
    {
        let story = Story::asking(BRIDGED);
        let page = Response::html(banner);
        story.origin.change("/", if let Some(policy) = policy { page.header(CSP, policy) } else { page });
        let window = browser.window();
        let tab = open(&mut browser, &window, &story, "/?exotracker=abc");
        assert_eq!(browser.cookie(&window, "_tl_consent"), None, "nobody was asked yet");
        assert_eq!(browser.cookie(&window, "_exoclick_cid"), None);
        browser.click(&tab, "#yes");
        await_cookie(&mut browser, &window, "_tl_consent", Some("granted"));
        await_cookie(&mut browser, &window, "_exoclick_cid", Some("abc"));
        let tab = open(&mut browser, &window, &story, "/?exotracker=def");
        await_cookie(&mut browser, &window, "_exoclick_cid", Some("def"));
        browser.click(&tab, "#no");
        await_cookie(&mut browser, &window, "_tl_consent", Some("denied"));
        await_cookie(&mut browser, &window, "_exoclick_cid", None);
        open(&mut browser, &window, &story, "/?exotracker=ghi");
        story.counted(CLICKS, ("result", "no_consent"), 1);
        assert_eq!(browser.cookie(&window, "_exoclick_cid"), None);
        assert_accounts(&story.proxy);
    }
}
