//! What the site is told about its visitor, and whom the proxy believes.

use std::net::TcpListener;

use crate::support::{
    config::shop,
    edge::{Wire, get, get_with},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
    server::Request,
    streams::Multiplexed,
};

const BALANCER: &str = "127.0.0.2";

fn told(request: &Request) -> [Option<&str>; 4] {
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"].map(|name| request.headers.get(name))
}

fn plain_site(origin: &Origin) -> String {
    format!("trusted_proxies: [{BALANCER}]\nsites: [{{ upstream: \"http://{}\" }}]\n", origin.address())
}

const CLAIMS: [(&str, &str); 6] = [
    ("X-Forwarded-For", "10.0.0.1, 10.0.0.2"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "4444"),
    ("X-Forwarded-Prefix", "/evil"),
    ("Forwarded", "for=10.0.0.1;host=evil.example;proto=https"),
];

#[test]
fn what_a_stranger_claims_is_replaced_counted_and_warned_about_once() {
    let origin = Origin::start();
    let proxy = Proxy::with(&plain_site(&origin)).start();
    let expected =
        [Some("127.0.0.1"), Some("http"), Some("shop.example"), Some("for=127.0.0.1;host=shop.example;proto=http")];
    assert_eq!(Wire::to(proxy.address()).get("/").status, 200);
    assert_eq!(told(&origin.last()), expected);
    proxy.await_metric("throughline_untrusted_forwarded_total", &[], 0);
    for count in 1..=3 {
        let request = get_with("/", &CLAIMS);
        assert_eq!(Wire::to(proxy.address()).ask(request.as_bytes(), "GET").unwrap().status, 200);
        assert_eq!(told(&origin.last()), expected);
        proxy.await_metric("throughline_untrusted_forwarded_total", &[], count);
    }
    let mut visitor = Multiplexed::plain(proxy.address());
    let asked = visitor.ask("/", &CLAIMS.map(|(name, value)| (name, value)));
    assert_eq!(visitor.hear(asked).status, 200);
    assert_eq!(told(&origin.last()), expected);
    proxy.await_metric("throughline_untrusted_forwarded_total", &[], 4);
    for name in ["x-forwarded-port", "x-forwarded-prefix"] {
        assert!(origin.requests().iter().all(|request| request.headers.get(name).is_none()), "{name}");
    }
    proxy.await_log("trusted_proxies");
    assert_eq!(proxy.stderr().matches("is not believed").count(), 1, "{}", proxy.stderr());
}

#[test]
fn what_a_trusted_proxy_says_is_kept_and_continued() {
    let origin = Origin::start();
    let proxy = Proxy::with(&plain_site(&origin)).start();
    let says = [
        ("X-Forwarded-For", "198.51.100.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "www.shop.example"),
        ("X-Forwarded-Port", "443"),
        ("Forwarded", "for=198.51.100.7;proto=https"),
    ];
    assert_eq!(Wire::from(BALANCER, proxy.address()).ask(get_with("/", &says).as_bytes(), "GET").unwrap().status, 200);
    let seen = origin.last();
    assert_eq!(
        told(&seen),
        [
            Some("198.51.100.7, 127.0.0.2"),
            Some("https"),
            Some("www.shop.example"),
            Some("for=198.51.100.7;proto=https, for=127.0.0.2;host=shop.example;proto=https"),
        ]
    );
    assert_eq!(seen.headers.get("x-forwarded-port"), Some("443"));
    // One that says nothing is continued from itself.
    assert_eq!(Wire::from(BALANCER, proxy.address()).get("/").status, 200);
    assert_eq!(told(&origin.last())[..2], [Some("127.0.0.2"), Some("http")]);
    proxy.await_metric("throughline_untrusted_forwarded_total", &[], 0);
}

#[test]
fn the_postback_and_the_cookie_follow_what_a_trusted_proxy_says() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let shop = shop(&origin, &network).replace("/tag.php\" }", "/tag.php\", query: { ip: \"{client_ip}\" } }");
    let proxy =
        Proxy::with(&format!("privacy: {{ client_ip: full }}\ntrusted_proxies: [{BALANCER}, 10.0.0.0/8]\n{shop}"))
            .start();
    let says = [("X-Forwarded-For", "203.0.113.9, 198.51.100.7, 10.1.1.1"), ("X-Forwarded-Proto", "https")];
    for (number, source, address, is_secure) in
        [(0, BALANCER, "198.51.100.7", true), (1, "127.0.0.3", "127.0.0.3", false)]
    {
        let mut wire = Wire::from(source, proxy.address());
        let landing = wire.ask(get_with(&format!("/?exotracker=click{number}"), &says).as_bytes(), "GET").unwrap();
        let cookie = landing.set_cookie("_exoclick_cid").unwrap();
        assert_eq!(cookie.attribute("secure").is_some(), is_secure, "{source}");
        let carried = format!("_exoclick_cid={}", cookie.value);
        let headers = [&says[..], &[("Cookie", carried.as_str())]].concat();
        let thanks = get_with(&format!("/thank-you/{number}?total=1"), &headers);
        assert_eq!(wire.ask(thanks.as_bytes(), "GET").unwrap().status, 200);
        let received = network.await_received(number + 1);
        assert_eq!(received[number].parameter("ip"), Some(address), "{source}");
    }
}

#[test]
fn a_visitor_over_ipv6_is_named_as_each_header_writes_it() {
    let origin = Origin::start();
    let proxy = Proxy::with(&format!("listen: \"[::1]:0\"\n{}", plain_site(&origin))).start();
    assert_eq!(Wire::to(proxy.address()).get("/").text(), PAGE);
    assert_eq!(
        told(&origin.last()),
        [Some("::1"), Some("http"), Some("shop.example"), Some("for=\"[::1]\";host=shop.example;proto=http")]
    );
}

#[test]
fn the_sites_own_addresses_and_domains_are_left_alone() {
    let origin = Origin::start().route(
        "/login",
        Response::redirect("http://shop.example:8080/next?a=b")
            .header("Set-Cookie", "sid=1; Domain=shop.example; Path=/")
            .header("Set-Cookie", "old=2; Domain=.other.example; Path=/x; Secure")
            .header("Content-Location", "http://127.0.0.1/inner")
            .header("Server", "Apache/2.2"),
    );
    let proxy = Proxy::with(&plain_site(&origin)).start();
    let answer = proxy.visitor().host("Shop.Example:8080").get("/login");
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), Some("http://shop.example:8080/next?a=b"));
    assert_eq!(answer.header("content-location"), Some("http://127.0.0.1/inner"));
    assert_eq!(answer.header("server"), Some("Apache/2.2"));
    assert_eq!(
        answer.headers.all("set-cookie"),
        ["sid=1; Domain=shop.example; Path=/", "old=2; Domain=.other.example; Path=/x; Secure"]
    );
    assert_eq!(origin.last().headers.get("host"), Some("Shop.Example:8080"), "as the visitor wrote it");
}

#[test]
fn a_request_that_goes_round_in_circles_is_stopped() {
    // The first proxy's port must be known before it starts.
    let reserved = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let second = Proxy::with(&format!("sites: [{{ upstream: \"http://{reserved}\" }}]\n")).start();
    let keys = format!("listen: {reserved}\nsites: [{{ upstream: \"http://{}\" }}]\n", second.address());
    let first = Proxy::with(&keys).start();
    for mut wire in [Wire::to(first.address()), Wire::to(second.address())] {
        let answer = wire.get("/");
        assert_eq!(answer.status, 508);
        assert_eq!(wire.get("/").status, 508, "on a connection that can be used again");
    }
    for proxy in [&first, &second] {
        proxy.await_metric("throughline_refused_total", &[("reason", "loop")], 2);
    }
    assert_eq!(Multiplexed::plain(first.address()).get("/").status, 508);
}

#[test]
fn two_proxies_in_a_row_are_no_circle() {
    let origin = Origin::start();
    let inner = Proxy::with(&format!(
        "trusted_proxies: [127.0.0.1]\nsites: [{{ upstream: \"http://{}\" }}]\n",
        origin.address()
    ))
    .start();
    let outer = Proxy::with(&format!("sites: [{{ upstream: \"http://{}\" }}]\n", inner.address())).start();
    let mut wire = Wire::from("127.0.0.5", outer.address());
    assert_eq!(wire.ask(get("/").as_bytes(), "GET").unwrap().text(), PAGE);
    let seen = origin.last();
    assert_eq!(told(&seen)[0], Some("127.0.0.5, 127.0.0.1"));
    let via = seen.headers.all("via").join(", ");
    assert_eq!(via.split(", ").filter(|hop| hop.starts_with("1.1 ")).count(), 2, "{via}");
}

#[test]
fn a_site_that_stops_compressing_for_proxies_need_not_hear_of_one() {
    let origin = Origin::start();
    let upstream = |more: &str| format!("sites: [{{ upstream: {{ url: \"http://{}\"{more} }} }}]\n", origin.address());
    for (more, says_via) in [("", true), (", via: false", false)] {
        let proxy = Proxy::with(&upstream(more)).start();
        assert_eq!(proxy.visitor().get("/").text(), PAGE);
        assert_eq!(origin.last().headers.get("via").is_some(), says_via, "{more}");
        assert_eq!(told(&origin.last())[0], Some("127.0.0.1"));
    }
}
