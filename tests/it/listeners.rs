//! Listeners beside the usual one: those that redirect, and those that a load balancer asks how we are.

use crate::support::{
    config::shop,
    edge::{Wire, get, get_with},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
};

/// The shop, for `shop.example` alone, on a plain listener and on one that redirects; both have a probe.
fn redirecting(origin: &Origin) -> Proxy {
    let keys = "trusted_proxies: [127.0.0.2]
listen:
  - { address: 127.0.0.1:0, probe: /healthz }
  - { address: 127.0.0.1:0, redirect: https, probe: /healthz }
  - 127.0.0.1:0
";
    let shop = shop(origin, &AdNetwork::answering(["OK"]));
    Proxy::with(&format!("{keys}{}", shop.replace("  - upstream:", "  - hosts: [shop.example]\n    upstream:"))).start()
}

#[test]
fn a_redirect_keeps_every_byte_of_the_address_but_the_port() {
    let origin = Origin::start();
    let proxy = redirecting(&origin);
    let address = proxy.addresses()[1];
    for (target, host) in [
        ("/", "shop.example"),
        ("/?", "shop.example:80"),
        ("/caf%C3%A9/../a%2fb//c;x=1/?q=%zz&r=a+b&exotracker=abc&&=", "Shop.Example.:8080"),
        ("//evil.example/", "shop.example"),
        ("/thank-you/1?exotracker=abc", "shop.example"),
    ] {
        let answer =
            Wire::to(address).ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), "GET").unwrap();
        assert_eq!((answer.status, answer.header("location")), (301, Some(&*format!("https://shop.example{target}"))));
        assert!(answer.set_cookies().is_empty() && answer.body.is_empty() && answer.is_complete(), "{answer:?}");
    }
    let absolute = b"GET http://shop.example:8080/a?b HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n";
    let answer = Wire::to(address).ask(absolute, "GET").unwrap();
    assert_eq!(answer.header("location"), Some("https://shop.example/a?b"));
    let head = Wire::to(address).ask(b"HEAD /a HTTP/1.1\r\nHost: shop.example\r\n\r\n", "HEAD").unwrap();
    assert_eq!((head.status, head.header("location")), (301, Some("https://shop.example/a")));
    assert!(origin.requests().is_empty());
    assert_eq!(proxy.metric("throughline_clicks_total", &[]).to_string(), "0");
    assert_eq!(proxy.metric("throughline_conversion_hits_total", &[]).to_string(), "0");
    proxy.await_metric("throughline_requests_total", &[("code", "301")], 7);
}

#[test]
fn a_redirected_form_stays_a_form_and_its_answer_arrives() {
    let origin = Origin::start();
    let proxy = redirecting(&origin);
    let mut wire = Wire::to(proxy.addresses()[1]);
    let body = "x".repeat(1 << 20);
    let request = format!("POST /pay?a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answer = wire.ask(request.as_bytes(), "POST").unwrap();
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://shop.example/pay?a")));
    assert!(answer.is_complete());
}

#[test]
fn only_known_hosts_are_redirected() {
    let origin = Origin::start();
    let proxy = redirecting(&origin);
    for (host, status) in [("stranger.example", 421), ("", 421)] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = Wire::to(proxy.addresses()[1]).ask(request.as_bytes(), "GET").unwrap();
        assert_eq!((answer.status, answer.header("location")), (status, None), "{host:?}");
    }
    let catch_all = format!(
        "listen: {{ address: 127.0.0.1:0, redirect: https }}\nsites: [{{ upstream: \"http://{}\" }}]\n",
        origin.address()
    );
    let proxy = Proxy::with(&catch_all).start();
    // Without a host there is no place to send anybody to, and none may be made up from the path.
    for request in ["GET //evil.example/ HTTP/1.0\r\n\r\n", "GET //evil.example/ HTTP/1.1\r\nHost: \r\n\r\n"] {
        let answer = Wire::to(proxy.address()).ask(request.as_bytes(), "GET").unwrap();
        assert_eq!((answer.status, answer.header("location")), (400, None), "{request:?}");
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn what_came_over_tls_to_a_trusted_proxy_is_served_and_not_sent_round_in_circles() {
    let origin = Origin::start();
    let proxy = redirecting(&origin);
    let said_https = get_with("/?exotracker=abc", &[("X-Forwarded-Proto", "https")]);
    let answer = Wire::from("127.0.0.2", proxy.addresses()[1]).ask(said_https.as_bytes(), "GET").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, PAGE));
    let cookie = answer.set_cookie("_exoclick_cid").expect("it is tracked like any other page");
    assert!(cookie.attribute("secure").is_some());
    let answer = Wire::from("127.0.0.3", proxy.addresses()[1]).ask(said_https.as_bytes(), "GET").unwrap();
    assert_eq!(answer.status, 301, "others may say what they like");
    let said_http = get_with("/", &[("X-Forwarded-Proto", "http")]);
    assert_eq!(Wire::from("127.0.0.2", proxy.addresses()[1]).ask(said_http.as_bytes(), "GET").unwrap().status, 301);
}

#[test]
fn a_probe_is_answered_whoever_asks_and_is_nobodys_page() {
    let origin = Origin::start();
    let proxy = redirecting(&origin);
    let [plain, redirecting, without] = proxy.addresses()[..] else { panic!("three listeners") };
    for address in [plain, redirecting] {
        for request in [
            "GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:8080\r\n\r\n",
            "GET /healthz HTTP/1.0\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nHost: shop.example\r\n\r\n",
            "GET /healthz?exotracker=abc HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        ] {
            let answer = Wire::to(address).ask(request.as_bytes(), "GET").unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"), "{request:?}");
            assert!(answer.set_cookies().is_empty());
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        let head = Wire::to(address).ask(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD").unwrap();
        assert_eq!((head.status, head.header("content-length")), (200, Some("3")));
    }
    assert!(origin.requests().is_empty());
    assert_eq!(proxy.metric("throughline_requests_total", &[]).to_string(), "0", "they are no requests of a site");
    assert_eq!(Wire::to(plain).get("/healthz/").text(), PAGE, "only this very path");
    assert_eq!(Wire::to(without).ask(get("/healthz").as_bytes(), "GET").unwrap().text(), PAGE);
    assert_eq!(origin.requests().len(), 2);
}
