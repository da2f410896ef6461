//! An operator's own visit, with every decision shown, and with conversions held if they say so.

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    config::{THANKS, shop, with_site_key},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
    visitor::{Answer, Visitor},
};

const CONVERSIONS: &str = "throughline_conversions_total";
const SHOWN: &str = "x-throughline-preview";

/// Runs `throughline preview`; yields the path of the link, and what else was said.
fn link(proxy: &Proxy, arguments: &[&str]) -> (String, String) {
    let output = proxy.command(&[&["preview"], arguments].concat());
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{arguments:?}: {err}");
    let at = out.find("/.throughline/preview/").unwrap_or_else(|| panic!("no link in {out}"));
    (out[at..].trim().to_owned(), err)
}

/// A browser that has followed the link.
fn previewing(proxy: &Proxy, arguments: &[&str]) -> Visitor {
    let mut visitor = proxy.visitor();
    let answer = visitor.get(&link(proxy, arguments).0);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    visitor
}

fn shown(answer: &Answer) -> &str {
    answer.header(SHOWN).unwrap_or_else(|| panic!("nothing is shown: {:?}", answer.headers))
}

fn start(origin: &Origin, network: &AdNetwork) -> Proxy {
    Proxy::with(&shop(origin, network)).start()
}

#[test]
fn a_visitor_who_previews_is_shown_what_is_decided_and_others_are_not() {
    let origin = Origin::start().route("/cached", Response::html(PAGE).header("Cache-Control", "public, max-age=60"));
    let network = AdNetwork::answering(["OK"]);
    let proxy = start(&origin, &network);
    let mut visitor = proxy.visitor();
    let (path, told) = link(&proxy, &[]);
    assert!(told.contains("conversions are sent as ever"), "{told}");
    let opened = visitor.get(&path);
    let cookie = opened.set_cookie("_tl_preview").expect("the cookie");
    let line = opened.header("set-cookie").unwrap();
    assert!(line.ends_with("; HttpOnly; SameSite=Lax; Path=/; Max-Age=3600") || line.contains("Max-Age=359"), "{line}");
    assert!(!line.contains("Domain") && !cookie.value.is_empty());
    assert_eq!((opened.status, opened.header("cache-control")), (303, Some("no-store")));

    assert_eq!(shown(&visitor.lands("/?exotracker=abc")), "click exoclick=accepted");
    let page = visitor.get("/cached");
    assert_eq!((shown(&page), page.header("cache-control")), ("nothing", Some("private, no-store")));
    let thanks = visitor.get(THANKS);
    assert_eq!(shown(&thanks), "purchase/exoclick=queued");
    assert_eq!(shown(&visitor.get(THANKS)), "purchase/exoclick=duplicate");
    assert_eq!(network.await_received(1)[0].parameter("tag"), Some("abc"), "it counts like any other");

    let mut other = proxy.visitor();
    for target in ["/?exotracker=def", "/cached", "/thank-you/1002?total=1"] {
        assert_eq!(other.get(target).header(SHOWN), None, "{target}");
    }
    assert_eq!(proxy.visitor().get("/cached").header("cache-control"), Some("public, max-age=60"));
    proxy.await_settled();
    assert_accounts(&proxy);
}

#[test]
fn conversions_that_are_held_leave_nothing_behind() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let proxy = start(&origin, &network);
    let mut visitor = previewing(&proxy, &["default", "--hold", "--for", "2h"]);
    assert_eq!(visitor.get(THANKS).text(), PAGE, "no pixels in the place of a click");
    proxy.await_metric(CONVERSIONS, &[("outcome", "no_click")], 1);
    visitor.lands("/?exotracker=abc");
    let thanks = visitor.get(THANKS);
    assert_eq!((shown(&thanks), thanks.text().as_str()), ("purchase/exoclick=held", PAGE));
    assert_eq!(shown(&visitor.get(THANKS)), "purchase/exoclick=held", "no key was taken");
    proxy.await_metric(CONVERSIONS, &[("outcome", "held")], 2);
    assert!(!proxy.outbox_list().contains("purchase"), "{}", proxy.outbox_list());

    let ended = visitor.get("/.throughline/preview/off");
    assert_eq!((ended.status, ended.header("location")), (303, Some("/")));
    assert_eq!(visitor.cookie("_tl_preview"), None);
    assert_eq!(visitor.get(THANKS).header(SHOWN), None);
    let received = network.await_received(1);
    assert_eq!((received.len(), received[0].parameter("tag")), (1, Some("abc")), "the first that is sent");
    proxy.await_settled();
    assert_accounts(&proxy);
}

#[test]
fn what_was_not_made_for_a_site_opens_no_preview_there() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let one = shop(&origin, &network);
    let site = |name: &str| {
        one.replace("sites:\n", "").replacen("  - ", &format!("  - name: {name}\n    hosts: [{name}.example]\n    "), 1)
    };
    let proxy = Proxy::with(&format!("sites:\n{}{}", site("shop"), site("blog"))).start();
    let (token, _) = link(&proxy, &["shop"]);
    let mut foreign = proxy.visitor().host("blog.example");
    let mut forged = token.clone();
    forged.replace_range(forged.len() - 3.., "AAA");
    for path in
        [token.as_str(), &forged, "/.throughline/preview/", "/.throughline/preview/x/y", "/.throughline/preview/x"]
    {
        let answer = foreign.get(path);
        assert_eq!((answer.status, answer.set_cookies().len()), (404, 0), "{path}");
    }
    assert_eq!(foreign.request("POST", &token, &[], "").status, 405);

    let mut visitor = proxy.visitor();
    visitor.get(&token);
    let cookie = visitor.cookie("_tl_preview").expect("the cookie");
    assert_eq!(shown(&visitor.get("/")), "nothing");
    for cookie in [cookie.as_str(), "forged", "", token.rsplit('/').next().unwrap()] {
        let cookie = format!("_tl_preview={cookie}");
        let answer = foreign.request("GET", "/", &[("Cookie", &cookie)], "");
        assert_eq!((answer.status, answer.header(SHOWN)), (200, None), "{cookie}");
    }
    for (arguments, code, expected) in [
        (vec!["other"], 1, "no site is called `other`; there is shop, blog"),
        (vec![], 1, "say which site: shop, blog"),
        (vec!["shop", "--for", "25h"], 1, "a preview lasts a day at most"),
        (vec!["shop", "--address", "shop.example"], 2, "write it whole"),
    ] {
        let output = proxy.command(&[&["preview"], arguments.as_slice()].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && said.contains(expected), "{arguments:?}: {said}");
    }
    let output = proxy.command(&["preview", "shop", "--address", "https://www.shop.example/x"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("https://www.shop.example/.throughline/preview/"), "{said}");
}

#[test]
fn a_preview_ends_by_itself() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let proxy = start(&origin, &network);
    let (path, _) = link(&proxy, &["--for", "3s"]);
    let mut visitor = proxy.visitor();
    visitor.get(&path);
    // A browser would let go of the cookie by itself; this one sends it for ever.
    let cookie = visitor.cookie("_tl_preview").map(|value| format!("_tl_preview={value}")).unwrap_or_default();
    let mut visitor = proxy.visitor().sending("Cookie", &cookie);
    await_fact(|| visitor.get("/").header(SHOWN).is_none().then_some(()), || "the end of the preview".to_owned());
    assert_eq!(proxy.visitor().get(&path).status, 404);
}

#[test]
fn a_visitor_who_previews_is_asked_for_consent_like_everybody() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let consent = "consent: { require: ad_storage, from: [{ cookie: choice, granted: \"^yes\", denied: \"^no\" }] }";
    let proxy = Proxy::with(&with_site_key(&shop(&origin, &network), consent)).start();
    let mut visitor = previewing(&proxy, &[]);
    let landed = visitor.lands("/?exotracker=abc");
    assert_eq!(shown(&landed), "click exoclick=pending; consent=pending");
    assert!(visitor.cookie("_exoclick_cid").is_none());
    assert_eq!(shown(&visitor.get(THANKS)), "purchase/exoclick=no_consent; consent=pending");
    proxy.await_metric(CONVERSIONS, &[("outcome", "no_consent")], 1);
    assert!(network.received().is_empty());
}
