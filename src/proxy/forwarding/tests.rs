use std::{net::SocketAddr, path::Path, sync::Arc};

use super::*;
use crate::{
    config::{Config, Environment, Limits},
    proxy::listener::Facts,
};

fn table() -> SiteTable {
    let text = "
trusted_proxies: [10.0.0.0/8, 'fd00::/8']
sites: [{ upstream: 'http://127.0.0.1:1' }]
";
    let config = Config::parse(Path::new("test.yaml"), text, Environment::Process).expect("a configuration");
    SiteTable::new(&config).expect("upstreams")
}

fn connection(from: &str, over_tls: bool) -> Connection {
    let from: IpAddr = from.parse().expect("an address");
    let socket = SocketAddr::new(from, 40_000);
    let ends = (socket, SocketAddr::from(([127, 0, 0, 1], 80)));
    let facts = Arc::new(Facts::default());
    Connection::new(ends, (over_tls, false), facts, Arc::default(), Limits::default())
}

fn request(lines: &[(&'static str, &str)]) -> RequestHeader {
    let mut request = RequestHeader::build("GET", b"/", None).expect("a request");
    for (name, value) in lines {
        request.append_header(*name, *value).expect("a header");
    }
    request
}

fn told(from: &str, lines: &[(&'static str, &str)]) -> Vec<String> {
    let connection = connection(from, true);
    let mut request = request(lines);
    let is_trusted = table().trusts(connection.visitor.ip());
    let client = client(&connection, is_trusted, &request.headers, &table());
    let told = Told { client, claims: claims(&request.headers), is_trusted, via: true };
    Forwarding::new(Uuid::nil()).tell(&mut request, Version::HTTP_11, &connection, told);
    request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect()
}

fn said(from: &str, lines: &[(&'static str, &str)]) -> (String, bool) {
    let connection = connection(from, false);
    let is_trusted = table().trusts(connection.visitor.ip());
    let client = client(&connection, is_trusted, &request(lines).headers, &table());
    (client.address.to_string(), client.over_tls)
}

const VIA: &str = "via: 1.1 throughline-00000000000000000000000000000000";

#[test]
fn the_site_hears_of_a_visitor_what_the_connection_says() {
    let told = told("192.0.2.7", &[("host", "shop.example")]);
    let expected = [
        "host: shop.example",
        "x-forwarded-for: 192.0.2.7",
        "x-forwarded-proto: https",
        "forwarded: for=192.0.2.7;host=shop.example;proto=https",
        "x-forwarded-host: shop.example",
        VIA,
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_a_visitor_claims_does_not_reach_the_site() {
    let claims = [
        ("host", "shop.example:8443"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-port", "1"),
        ("forwarded", "for=127.0.0.1"),
        ("x-forward", "kept"),
    ];
    let told = told("2001:db8::7", &claims);
    let expected = [
        "host: shop.example:8443",
        "x-forwarded-for: 2001:db8::7",
        "x-forwarded-proto: https",
        "x-forwarded-host: shop.example:8443",
        "forwarded: for=\"[2001:db8::7]\";host=\"shop.example:8443\";proto=https",
        "x-forward: kept",
        VIA,
    ];
    let (mut told, mut expected) = (told, expected.map(str::to_owned).to_vec());
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn a_trusted_proxy_is_added_to_what_it_says() {
    let said = [
        ("host", "inner.example"),
        ("x-forwarded-for", "198.51.100.1, 192.0.2.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-port", "80"),
        ("via", "1.1 cdn"),
    ];
    let mut told = told("10.0.0.1", &said);
    told.sort();
    let mut expected = [
        "host: inner.example",
        "x-forwarded-for: 198.51.100.1, 192.0.2.7, 10.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: shop.example",
        "x-forwarded-port: 80",
        "forwarded: for=10.0.0.1;host=inner.example;proto=http",
        "via: 1.1 cdn",
        VIA,
    ];
    expected.sort_unstable();
    assert_eq!(told, expected);
}

#[test]
fn the_visitor_is_the_nearest_who_is_not_trusted() {
    for (from, lines, expected) in [
        ("192.0.2.7", &[("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")][..], ("192.0.2.7", false)),
        ("10.0.0.1", &[], ("10.0.0.1", false)),
        ("10.0.0.1", &[("x-forwarded-for", "198.51.100.1")], ("198.51.100.1", false)),
        ("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, 198.51.100.1, 10.0.0.2")], ("198.51.100.1", false)),
        ("10.0.0.1", &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "198.51.100.1")], ("198.51.100.1", false)),
        ("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], ("10.0.0.3", false)),
        ("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, unknown, 10.0.0.2")], ("10.0.0.2", false)),
        ("10.0.0.1", &[("x-forwarded-for", "198.51.100.1:4711")], ("198.51.100.1", false)),
        ("10.0.0.1", &[("x-forwarded-for", "[2001:db8::1]:4711")], ("2001:db8::1", false)),
        ("10.0.0.1", &[("x-forwarded-proto", "HTTPS")], ("10.0.0.1", true)),
        ("fd00::1", &[("forwarded", "for=\"[2001:db8::1]:80\";proto=https")], ("2001:db8::1", true)),
        ("10.0.0.1", &[("forwarded", "for=6.6.6.6, For=198.51.100.1;By=\"a,b\"")], ("198.51.100.1", false)),
        ("10.0.0.1", &[("forwarded", "for=_hidden, for=10.0.0.2")], ("10.0.0.2", false)),
    ] {
        let (address, over_tls) = said(from, lines);
        assert_eq!((address.as_str(), over_tls), expected, "{from} {lines:?}");
    }
}

#[test]
fn a_request_that_was_here_before_is_known() {
    let forwarding = Forwarding::new(Uuid::nil());
    let seen = |via: &str| forwarding.has_seen(&request(&[("via", via)]).headers);
    assert!(seen("1.1 throughline-00000000000000000000000000000000, 1.1 cdn"));
    assert!(!seen("1.1 throughline-00000000000000000000000000000001"));
    assert!(!forwarding.has_seen(&HeaderMap::new()));
}
