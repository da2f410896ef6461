//! A visitor lands with a click ID.

use crate::support::{
    accounting::assert_accounts,
    config::{shop, shop_of_three},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
};

fn start(origin: &Origin) -> Proxy {
    Proxy::with(&shop(origin, &AdNetwork::answering(["OK"]))).start()
}

#[test]
fn a_click_id_is_kept_whatever_the_site_answers() {
    let origin = Origin::start()
        .route("/moved", Response::new(301).header("Location", "/"))
        .route("/elsewhere", Response::redirect("/"))
        .route("/missing", Response::new(404).header("Content-Type", "text/html").body("gone"));
    let proxy = start(&origin);
    for (path, status) in [("/", 200), ("/moved", 301), ("/elsewhere", 302), ("/missing", 404)] {
        let mut visitor = proxy.visitor();
        let answer = visitor.lands(&format!("{path}?exotracker=abc123"));
        assert_eq!(answer.status, status);
        assert_eq!(visitor.cookie("_exoclick_cid").as_deref(), Some("abc123"), "{path}");
    }
    assert!(proxy.metric("throughline_clicks_total", &[("network", "exoclick"), ("result", "accepted")]) > 3.5);
}

#[test]
fn the_cookie_lives_as_the_network_says() {
    let origin = Origin::start();
    let proxy = start(&origin);
    let cookie = proxy.visitor().lands("/?exotracker=abc").set_cookie("_exoclick_cid").unwrap();
    assert_eq!(cookie.attribute("max-age"), Some("31536000"));
    assert_eq!(cookie.attribute("path"), Some("/"));
    assert_eq!(
        cookie.attribute("samesite").map(str::to_ascii_lowercase).as_deref(),
        Some("lax"),
        "none, over plain http"
    );
    assert_eq!(cookie.attribute("secure"), None);
    assert_eq!(cookie.attribute("httponly"), Some(""));
    assert_eq!(cookie.attribute("domain").map(|domain| domain.trim_start_matches('.')), Some("shop.example"));
}

#[test]
fn hosts_without_a_registrable_domain_get_a_host_only_cookie() {
    let origin = Origin::start();
    let proxy = start(&origin);
    for host in ["127.0.0.1", "localhost", "[::1]:8000"] {
        let cookie = proxy.visitor().host(host).lands("/?exotracker=abc").set_cookie("_exoclick_cid").unwrap();
        assert_eq!(cookie.attribute("domain"), None, "{host}");
    }
    let cookie = proxy.visitor().host("www.shop.co.uk").lands("/?exotracker=abc").set_cookie("_exoclick_cid").unwrap();
    assert_eq!(cookie.attribute("domain"), Some("shop.co.uk"));
}

#[test]
fn one_request_may_carry_clicks_of_several_networks() {
    let origin = Origin::start();
    let proxy = Proxy::with(&shop_of_three(&origin)).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exode=second&utm=x&exotracker=first&rtid=0123456789abcdef0123456789abcdef");
    assert_eq!(visitor.cookie("_exoclick_cid").as_deref(), Some("first"));
    assert_eq!(visitor.cookie("_exo_de").as_deref(), Some("second"));
    assert_eq!(visitor.cookie("_rokt_rtid").as_deref(), Some("0123456789abcdef0123456789abcdef"));
}

#[test]
fn a_request_without_the_parameter_never_clears_a_cookie() {
    let origin = Origin::start();
    let proxy = start(&origin);
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    for target in ["/", "/?other=1", "/?exotracker=", "/?exotracker", "/?EXOTRACKER=x"] {
        assert_eq!(visitor.get(target).set_cookie("_exoclick_cid"), None, "{target}");
    }
    assert_eq!(visitor.cookie("_exoclick_cid").as_deref(), Some("abc"));
}

#[test]
fn a_newer_click_replaces_the_older() {
    let origin = Origin::start();
    let proxy = start(&origin);
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=old");
    visitor.lands("/?exotracker=new");
    assert_eq!(visitor.cookie("_exoclick_cid").as_deref(), Some("new"));
}

#[test]
fn a_hostile_click_id_sets_nothing_and_the_page_is_untouched() {
    let origin = Origin::start();
    let proxy = start(&origin);
    let hostile = [
        "%0d%0aSet-Cookie:%20a=1",
        "%00",
        "a%00b",
        "%20",
        "%ff%fe",
        "%C3%A9",
        "%7Bconversions_tracking%7D",
        "$%7BSUBID%7D",
        "%23%23CLICK%23%23",
        "[click]",
        "one&exotracker=two",
    ];
    for id in hostile {
        let answer = proxy.visitor().lands(&format!("/?exotracker={id}"));
        assert_eq!((answer.status, answer.text().as_str()), (200, PAGE), "{id}");
        assert!(answer.set_cookies().is_empty(), "{id}: {:?}", answer.set_cookies());
    }
    let all = proxy.metric("throughline_clicks_total", &[]);
    let accepted = proxy.metric("throughline_clicks_total", &[("result", "accepted")]);
    assert!(all > 0.5 && accepted < 0.5, "{all} seen, {accepted} accepted");
    assert_accounts(&proxy);
}

#[test]
fn an_id_of_odd_characters_is_kept_encoded() {
    let origin = Origin::start();
    let proxy = start(&origin);
    for (sent, kept) in [("a%3Bb", "a%3Bb"), ("a%5Cb", "a%5Cb"), ("a+b", "a+b"), ("a%2Cb", "a%2Cb"), ("a/b=", "a/b=")] {
        let cookie = proxy.visitor().lands(&format!("/?exotracker={sent}")).set_cookie("_exoclick_cid").unwrap();
        assert_eq!(cookie.value.to_ascii_uppercase(), kept.to_ascii_uppercase(), "{sent}");
    }
}

#[test]
fn an_id_longer_than_1024_bytes_is_refused_and_one_of_a_megabyte_harms_nobody() {
    let origin = Origin::start();
    let proxy = start(&origin);
    let land = |length| proxy.visitor().try_request("GET", &format!("/?exotracker={}", "x".repeat(length)), &[], "");
    assert!(land(1024).unwrap().set_cookie("_exoclick_cid").is_some());
    assert!(land(1025).unwrap().set_cookies().is_empty());
    // The server may refuse such a head in its own way; it just may not keep the ID or fall over.
    if let Ok(answer) = land(1 << 20) {
        assert!(answer.set_cookies().is_empty());
    }
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
}

#[test]
fn raw_bytes_beyond_ascii_in_the_target_harm_nobody() {
    let origin = Origin::start();
    let proxy = start(&origin);
    if let Ok(answer) = proxy.visitor().sends_raw(b"GET /?exotracker=\xff\xfe HTTP/1.1\r\nHost: shop.example\r\n\r\n") {
        assert!(answer.set_cookies().is_empty());
    }
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
}

#[test]
fn a_response_with_our_cookie_is_private() {
    let cached = Response::html(PAGE)
        .header("Cache-Control", "public, max-age=60, s-maxage=600, must-revalidate")
        .header("Surrogate-Control", "max-age=600")
        .header("CDN-Cache-Control", "max-age=600");
    let origin = Origin::start().route("/", cached);
    let proxy = start(&origin);
    let landed = proxy.visitor().lands("/?exotracker=abc");
    let control = landed.header("cache-control").unwrap();
    let words: Vec<&str> = control.split(',').map(str::trim).collect();
    for (word, stands) in
        [("private", true), ("max-age=60", true), ("must-revalidate", true), ("public", false), ("s-maxage=600", false)]
    {
        assert_eq!(words.contains(&word), stands, "{word} in {control}");
    }
    assert_eq!(landed.header("surrogate-control"), Some("no-store"));
    assert_eq!(landed.header("cdn-cache-control"), Some("no-store"));
    let plain = proxy.visitor().get("/");
    assert_eq!(plain.header("cache-control"), Some("public, max-age=60, s-maxage=600, must-revalidate"));
    assert_eq!(plain.header("surrogate-control"), Some("max-age=600"));
}

#[test]
fn the_site_is_asked_for_the_whole_page_only_when_a_click_id_comes() {
    let origin = Origin::start();
    let proxy = start(&origin);
    let conditions = [("If-None-Match", "\"1\""), ("If-Modified-Since", "Sat, 21 Nov 2026 00:00:00 GMT")];
    for (target, kept) in [("/?exotracker=abc", false), ("/", true), ("/?other=1", true)] {
        proxy.visitor().request("GET", target, &conditions, "");
        let seen = origin.last().headers;
        assert_eq!(seen.get("if-none-match").is_some(), kept, "{target}");
        assert_eq!(seen.get("if-modified-since").is_some(), kept, "{target}");
    }
}

#[test]
fn a_304_and_our_own_error_pages_get_no_cookie() {
    let origin = Origin::start().route("/", Response::new(304).header("ETag", "\"1\"")).route("/x", Response::reset());
    let proxy = start(&origin);
    let unchanged = proxy.visitor().lands("/?exotracker=abc");
    assert_eq!((unchanged.status, unchanged.set_cookies().len()), (304, 0));
    let broken = proxy.visitor().lands("/x?exotracker=abc");
    assert_eq!((broken.status, broken.set_cookies().len()), (502, 0));
}
