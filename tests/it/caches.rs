//! A shared cache, a real one, stands before the proxy or behind it.

use crate::support::{
    accounting::assert_accounts,
    config::{THANKS, shop, with_site_key},
    http::latin1,
    network::AdNetwork,
    nginx::Cache,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
    visitor::Answer,
};

/// Every way to tell a cache that it may store an answer, the last one by not saying anything.
const PERMISSIONS: [&[(&str, &str)]; 10] = [
    &[("Cache-Control", "public, max-age=600")],
    &[("Cache-Control", "max-age=5, s-maxage=600")],
    &[("Cache-Control", "public"), ("Cache-Control", "max-age=600, stale-while-revalidate=600")],
    &[("Expires", "Thu, 31 Dec 2099 23:59:59 GMT")],
    &[("X-Accel-Expires", "600"), ("Cache-Control", "no-cache")],
    &[("Cache-Control", "public, max-age=600"), ("X-Accel-Expires", "600")],
    &[("X-Accel-Expires", "600"), ("Expires", "Thu, 31 Dec 2099 23:59:59 GMT")],
    &[("Surrogate-Control", "max-age=600")],
    &[("CDN-Cache-Control", "max-age=600"), ("ETag", "\"1\""), ("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT")],
    &[],
];

/// Caches as operators set them up: by the book; by path alone; and one that stores pages with cookies.
const CACHES: [&str; 3] = [
    "",
    "proxy_cache_key $host$uri;",
    "proxy_cache_key $host$uri; proxy_ignore_headers Set-Cookie; proxy_cache_lock on;",
];

fn permitted(mut response: Response, permission: &[(&str, &str)]) -> Response {
    for (name, value) in permission {
        response = response.header(name, value);
    }
    response
}

/// A site whose pages `/0`, `/1` … may be stored.
fn storable(response: &Response, folder: &str) -> Origin {
    PERMISSIONS.iter().enumerate().fold(Origin::start(), |origin, (index, permission)| {
        origin.route(&format!("{folder}/{index}"), permitted(response.clone(), permission))
    })
}

fn start(origin: &Origin) -> Proxy {
    Proxy::with(&shop(origin, &AdNetwork::answering(["OK"]))).start()
}

fn is_stored(answer: &Answer) -> bool {
    answer.header("x-cache") == Some("HIT")
}

/// Whether an answer shows what was meant for somebody else: it comes from the store, with a cookie or pixels.
fn is_somebody_elses(answer: &Answer) -> bool {
    is_stored(answer) && (!answer.set_cookies().is_empty() || answer.text().contains("<img"))
}

#[test]
fn a_landing_is_stored_for_nobody_else() {
    for response in [
        Response::html(PAGE),
        Response::new(301).header("Location", "/"),
        Response::redirect("/"),
        Response::new(404).header("Content-Type", "text/html").body("gone"),
    ] {
        let origin = storable(&response, "");
        let proxy = start(&origin);
        for directives in CACHES {
            let cache = Cache::before(proxy.address(), directives);
            for (index, permission) in PERMISSIONS.iter().enumerate() {
                let story = format!("{directives} {permission:?} {response:?}");
                let mut first = cache.visitor();
                first.lands(&format!("/{index}?exotracker=first"));
                assert_eq!(first.cookie("_exoclick_cid").as_deref(), Some("first"), "{story}");
                let mut second = cache.visitor();
                let answer = second.get(&format!("/{index}"));
                assert!(!is_stored(&answer) && !is_somebody_elses(&answer), "{story}: {answer:?}");
                assert_eq!(second.cookie("_exoclick_cid"), None, "{story}");
                let again = cache.visitor().lands(&format!("/{index}?exotracker=first"));
                assert!(!is_somebody_elses(&again), "{story}: {again:?}");
            }
        }
    }
}

#[test]
fn a_page_with_pixels_is_stored_for_nobody_else() {
    let origin = storable(&Response::html(PAGE), "/thank-you");
    for directives in CACHES {
        let proxy = start(&origin);
        let cache = Cache::before(proxy.address(), directives);
        for (index, permission) in PERMISSIONS.iter().enumerate() {
            let page = format!("/thank-you/{index}?total=49.90");
            let first = cache.visitor().get(&page);
            assert!(first.text().contains("<img"), "{directives} {permission:?}: {first:?}");
            let second = cache.visitor().get(&page);
            assert!(!is_stored(&second), "{directives} {permission:?}: {second:?}");
            assert_eq!(second.text(), PAGE, "{directives} {permission:?}");
        }
        assert_accounts(&proxy);
    }
}

#[test]
fn a_visitor_s_number_is_stored_for_nobody_else() {
    let origin = storable(&Response::html(PAGE), "/thank-you");
    // Without an order id it is the visitor who tells one purchase from another.
    let config = shop(&origin, &AdNetwork::answering(["OK"])).replace("/thank-you/{order_id}", "/thank-you/*");
    let proxy = Proxy::with(&config).start();
    let cache = Cache::before(proxy.address(), CACHES[2]);
    for (index, permission) in PERMISSIONS.iter().enumerate() {
        let page = format!("/thank-you/{index}?total=49.90");
        let [first, second] = [cache.visitor().get(&page), cache.visitor().get(&page)];
        let numbers = [&first, &second].map(|answer| answer.set_cookies().pop().map(|cookie| cookie.value));
        assert!(numbers[0].is_some() && numbers[1].is_some(), "{permission:?}: {first:?} {second:?}");
        assert_ne!(numbers[0], numbers[1], "{permission:?}");
    }
}

#[test]
fn what_is_nobodys_is_stored_as_the_site_says() {
    let origin = storable(&Response::html(PAGE), "");
    let proxy = start(&origin);
    let cache = Cache::before(proxy.address(), "");
    for (index, permission) in PERMISSIONS.iter().enumerate() {
        let page = format!("/{index}");
        let [first, second] = [cache.visitor().get(&page), cache.visitor().get(&page)];
        assert!(!is_stored(&first) && is_stored(&second), "{permission:?}: {second:?}");
    }
    assert_eq!(origin.requests().len(), PERMISSIONS.len());
}

#[test]
fn the_harness_sees_a_cache_that_shares_what_it_should_not() {
    let cookie = permitted(Response::html(PAGE), PERMISSIONS[0]).header("Set-Cookie", "id=first");
    let pixels = Response::html("<body><img src=x></body>").header("Cache-Control", "private");
    let origin = Origin::start().route("/cookie", cookie).route("/pixels", pixels);
    let careless = Cache::before(origin.address(), "proxy_ignore_headers Set-Cookie Cache-Control;");
    for page in ["/cookie", "/pixels"] {
        assert!(!is_somebody_elses(&careless.visitor().get(page)), "{page}: nobody was there before");
        assert!(is_somebody_elses(&careless.visitor().get(page)), "{page}");
    }
    let careful = Cache::before(origin.address(), "");
    for page in ["/cookie", "/pixels"] {
        let answers = [careful.visitor().get(page), careful.visitor().get(page)];
        assert!(!answers.iter().any(is_somebody_elses), "{page}");
    }
}

#[test]
fn caches_of_one_product_are_told_in_their_own_words() {
    let names = ["X-Accel-Expires", "Edge-Control", "X-LiteSpeed-Cache-Control", "Cloudflare-CDN-Cache-Control"];
    let response = names.iter().fold(Response::html(PAGE), |response, name| response.header(name, "600"));
    let origin = Origin::start().route("/", response);
    let proxy = start(&origin);
    let (landed, plain) = (proxy.visitor().lands("/?exotracker=abc"), proxy.visitor().get("/"));
    for name in names {
        let never = if name == "X-Accel-Expires" { "0" } else { "no-store" };
        assert_eq!((landed.header(name), plain.header(name)), (Some(never), Some("600")), "{name}");
    }
}

#[test]
fn a_browser_asks_again_for_a_page_with_pixels() {
    let page = Response::html(PAGE)
        .header("Cache-Control", "max-age=600, immutable, must-revalidate, s-maxage=60")
        .header("Cache-Control", "private=\"x-a, x-b\", no-transform");
    let origin = Origin::start().route("/thank-you/1001", page.clone().header("ETag", "\"1\"")).route("/", page);
    let proxy = start(&origin);
    let bought = proxy.visitor().get(THANKS);
    assert!(bought.text().contains("<img"));
    assert_eq!(bought.header("cache-control"), Some("must-revalidate, no-transform, private, no-cache"));
    assert_eq!(bought.header("etag"), None);
    let landed = proxy.visitor().lands("/?exotracker=abc");
    let expected = "max-age=600, immutable, must-revalidate, no-transform, private";
    assert_eq!(landed.header("cache-control"), Some(expected), "a cookie alone harms no browser's own copy");
}

#[test]
fn a_head_request_sets_no_cookie_and_a_cache_learns_none_from_it() {
    let origin = storable(&Response::html(PAGE), "");
    let proxy = start(&origin);
    let head = proxy.visitor().head("/0?exotracker=abc");
    assert_eq!((head.status, head.set_cookies().len()), (200, 0));
    let cache = Cache::before(proxy.address(), CACHES[2]);
    // nginx turns it into GET, so that it can store the page.
    assert_eq!(cache.visitor().head("/0?exotracker=abc").status, 200);
    let answer = cache.visitor().get("/0");
    assert!(!is_stored(&answer) && answer.set_cookies().is_empty(), "{answer:?}");
}

fn sparing(origin: &Origin) -> String {
    with_site_key(&shop(origin, &AdNetwork::answering(["OK"])), "strip_click_params: true")
}

#[test]
fn the_site_sees_no_click_parameter_and_the_rest_byte_for_byte() {
    let origin = Origin::start();
    let proxy = Proxy::with(&sparing(&origin)).start();
    for (target, seen) in [
        ("/?a=1&exotracker=x&b=2", "/?a=1&b=2"),
        ("/?exotracker=x", "/"),
        ("/p/q.php?exotracker=x", "/p/q.php"),
        ("/?%65xotracker=x&b", "/?b"),
        ("/?exotracker=x&exotracker=y&a", "/?a"),
        ("/?exotracker=&b==%zz&&c;d=%C3%A4+'", "/?b==%zz&&c;d=%C3%A4+'"),
        ("/?b=exotracker&a=1;exotracker=x", "/?b=exotracker&a=1;exotracker=x"),
        ("/%2f/?EXOTRACKER=x", "/%2f/?EXOTRACKER=x"),
        ("/?", "/?"),
        ("/", "/"),
    ] {
        let mut visitor = proxy.visitor();
        visitor.request("GET", target, &[("Referer", "http://shop.example/?exotracker=x")], "");
        let request = origin.last();
        assert_eq!(request.target, seen, "{target}");
        assert_eq!(request.headers.get("referer"), Some("http://shop.example/?exotracker=x"), "{target}");
        for (method, body) in [("POST", "exotracker=x"), ("DELETE", "")] {
            visitor.request(method, target, &[], body);
            let request = origin.last();
            assert_eq!(
                (request.target.as_str(), request.body.as_slice()),
                (seen, body.as_bytes()),
                "{method} {target}"
            );
        }
        proxy.visitor().http10().get(target);
        assert_eq!(origin.last().target, seen, "HTTP/1.0 {target}");
    }
}

#[test]
fn an_unusual_address_keeps_its_bytes() {
    let origin = Origin::start();
    let proxy = Proxy::with(&sparing(&origin)).start();
    let unusual = "GET /\u{e4}?a=\u{e4}&exotracker=x&\u{fc} HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let answer = proxy.visitor().sends_raw(unusual.as_bytes()).unwrap();
    assert_eq!((answer.status, origin.last().target), (200, latin1("/\u{e4}?a=\u{e4}&\u{fc}".as_bytes())));
    let refused = proxy.visitor().sends_raw(b"GET /?a=\xff&exotracker=x HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!((refused.unwrap().status, origin.requests().len()), (400, 1), "Pingora takes UTF-8 only");
    let absolute = b"GET http://shop.example/p?exotracker=x&b HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let answer = proxy.visitor().sends_raw(absolute).unwrap();
    assert!(answer.set_cookie("_exoclick_cid").is_some());
    let request = origin.last();
    assert!(request.target.ends_with("/p?b"), "{}", request.target);
    assert_eq!(request.headers.get("host"), Some("shop.example"));
}

#[test]
fn what_the_site_is_spared_is_known_to_tracking() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let proxy = Proxy::with(&with_site_key(&shop(&origin, &network), "strip_click_params: true")).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    assert_eq!(visitor.cookie("_exoclick_cid").as_deref(), Some("abc"));
    proxy.visitor().get("/thank-you/1001?exotracker=def&total=49.90");
    assert_eq!(origin.last().target, "/thank-you/1001?total=49.90");
    let postback = network.await_received(1).remove(0);
    assert_eq!((postback.parameter("tag"), postback.parameter("value")), (Some("def"), Some("49.90")));
    assert_accounts(&proxy);
}

#[test]
fn whoever_only_observes_changes_no_address() {
    let origin = Origin::start();
    for mode in ["observe", "off"] {
        let proxy = Proxy::with(&with_site_key(&sparing(&origin), &format!("tracking: {mode}"))).start();
        proxy.visitor().lands("/?exotracker=x&b");
        assert_eq!(origin.last().target, "/?exotracker=x&b", "{mode}");
    }
    let proxy = start(&origin);
    proxy.visitor().lands("/?exotracker=x&b");
    assert_eq!(origin.last().target, "/?exotracker=x&b", "not told to");
}

#[test]
fn two_clicks_share_what_the_site_s_own_cache_stores() {
    let origin = Origin::start().route("/", permitted(Response::html(PAGE), PERMISSIONS[0]));
    let cache = Cache::before(origin.address(), "");
    let upstream = |config: String| config.replace(&origin.address().to_string(), &cache.address().to_string());
    for (config, requests) in [(shop(&origin, &AdNetwork::answering(["OK"])), 2), (sparing(&origin), 3)] {
        let proxy = Proxy::with(&upstream(config)).start();
        for click in ["first", "second"] {
            let mut visitor = proxy.visitor();
            visitor.lands(&format!("/?utm=x&exotracker={click}"));
            assert_eq!(visitor.cookie("_exoclick_cid").as_deref(), Some(click));
        }
        assert_eq!(origin.requests().len(), requests, "each click by itself, and once for both");
    }
}
