//! The PROXY protocol: visitors behind a load balancer that speaks no HTTP.

use std::{io::Write, thread, time::Duration};

use crate::support::{
    config::shop,
    edge::{Wire, connect_from, get, get_with},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    tls::Issued,
    tls_client::TlsClient,
};

const BALANCER: &str = "127.0.0.2";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn behind_a_balancer(origin: &Origin, network: &AdNetwork) -> Proxy {
    let keys = format!(
        "privacy: {{ client_ip: full }}
trusted_proxies: [{BALANCER}]
listen: {{ address: 127.0.0.1:0, proxy_protocol: true, probe: /healthz }}
limits: {{ header_timeout: 500ms, max_connections_per_address: 2 }}\n"
    );
    let with_address = ", query: { ip: \"{client_ip}\" } }";
    Proxy::with(&format!(
        "{keys}{}",
        shop(origin, network).replace("/tag.php\" }", &format!("/tag.php\"{with_address}"))
    ))
    .start()
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [V2, &[0x20 | command, family], &length, rest].concat()
}

/// Version 2 for 192.0.2.1, with a field behind the addresses as load balancers of clouds add them.
fn v2_four() -> Vec<u8> {
    v2(1, 0x11, &[192, 0, 2, 1, 203, 0, 113, 7, 0x30, 0x39, 0, 80, 0xea, 0, 2, b'i', b'd'])
}

fn v2_six() -> Vec<u8> {
    let visitor = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    v2(1, 0x21, &[&visitor[..], &visitor, &[0x30, 0x39, 0, 80]].concat())
}

#[test]
fn the_site_sees_the_visitor_whom_the_balancer_names() {
    let origin = Origin::start();
    let proxy = behind_a_balancer(&origin, &AdNetwork::answering(["OK"]));
    for (header, visitor) in [
        (b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 80\r\n".to_vec(), "198.51.100.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n".to_vec(), "2001:db8::7"),
        (v2_four(), "192.0.2.1"),
        (v2_six(), "2001:db8::9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), BALANCER),
        (v2(0, 0, &[]), BALANCER),
    ] {
        let mut wire = Wire::from(BALANCER, proxy.address());
        // Whom the visitor claims to speak for is believed as little as on any other listener.
        let request = if visitor == BALANCER { get("/") } else { get_with("/", &[("X-Forwarded-For", "10.9.8.7")]) };
        let answer = wire.ask(&[&header, request.as_bytes()].concat(), "GET").unwrap();
        assert_eq!(answer.text(), PAGE, "{visitor}");
        assert_eq!(origin.last().headers.get("x-forwarded-for"), Some(visitor));
        assert_eq!(wire.get("/again").text(), PAGE, "the header stands once per connection");
        assert_eq!(origin.last().headers.get("x-forwarded-for"), Some(visitor));
    }
}

#[test]
fn a_header_that_comes_byte_by_byte_is_read_as_well() {
    let origin = Origin::start();
    let proxy = behind_a_balancer(&origin, &AdNetwork::answering(["OK"]));
    for header in [b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 80\r\n".to_vec(), v2_four()] {
        let mut wire = Wire::from(BALANCER, proxy.address());
        for byte in &header {
            wire.say([*byte]);
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(wire.get("/").text(), PAGE);
    }
    let visitors: Vec<_> =
        origin.requests().iter().map(|request| request.headers.get("x-forwarded-for").unwrap().to_owned()).collect();
    assert_eq!(visitors, ["198.51.100.7", "192.0.2.1"]);
}

#[test]
fn whoever_is_not_trusted_or_sends_something_else_is_closed_and_counted() {
    let origin = Origin::start();
    let proxy = behind_a_balancer(&origin, &AdNetwork::answering(["OK"]));
    let refused = |count| proxy.await_metric("throughline_refused_total", &[("reason", "proxy_protocol")], count);
    let mut stranger = Wire::from("127.0.0.3", proxy.address());
    // Fails when it has been closed already.
    stranger.try_say(b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 80\r\nGET / HTTP/1.0\r\n\r\n").ok();
    assert_eq!(stranger.end().said, "");
    refused(1);
    let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
    let huge = [V2, &[0x21, 0x11, 0xff, 0xff]].concat();
    for (count, bytes) in (2..).zip([
        get("/").as_bytes(),
        b"PROXY TCP4 one two 3 4\r\n",
        b"PROXY\r\n",
        &long,
        &huge,
        &v2(1, 0x11, &[192, 0, 2, 1]),
    ]) {
        let mut wire = Wire::from(BALANCER, proxy.address());
        wire.say(bytes);
        let end = wire.end();
        assert_eq!(end.said, "", "{bytes:?}");
        assert!(end.after < Duration::from_millis(400), "at once, not when time is over: {bytes:?}");
        refused(count);
    }
    let mut slow = Wire::from(BALANCER, proxy.address());
    slow.say(b"PROXY TCP4 198.51");
    assert_eq!(slow.end().said, "");
    refused(8);
    assert!(origin.requests().is_empty());
    proxy.await_metric("throughline_connections", &[], 0);
}

#[test]
fn the_limit_per_address_is_the_visitors_and_not_the_balancers() {
    let origin = Origin::start();
    let proxy = behind_a_balancer(&origin, &AdNetwork::answering(["OK"]));
    let visitor = |address: &str| {
        let mut wire = Wire::from(BALANCER, proxy.address());
        wire.say(format!("PROXY TCP4 {address} 203.0.113.1 4711 80\r\n"));
        wire
    };
    let mut ones: Vec<_> = (0..2).map(|_| visitor("198.51.100.1")).collect();
    ones.iter_mut().for_each(|wire| assert_eq!(wire.get("/").status, 200));
    assert!(visitor("198.51.100.1").try_get("/").is_err());
    proxy.await_metric("throughline_refused_total", &[("reason", "connections_per_address")], 1);
    assert_eq!(visitor("198.51.100.2").get("/").status, 200);
    for _ in 0..5 {
        assert_eq!(visitor("198.51.100.3").get("/").status, 200);
        proxy.await_metric("throughline_connections", &[], 2);
    }
}

#[test]
fn a_postback_names_the_visitor_behind_the_balancer() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let proxy = behind_a_balancer(&origin, &network);
    let mut wire = Wire::from(BALANCER, proxy.address());
    wire.say(v2_four());
    let cookie = wire.get("/?exotracker=abc").set_cookie("_exoclick_cid").unwrap();
    let thanks = get_with("/thank-you/1?total=5", &[("Cookie", &format!("_exoclick_cid={}", cookie.value))]);
    assert_eq!(wire.ask(thanks.as_bytes(), "GET").unwrap().status, 200);
    let postback = &network.await_received(1)[0];
    assert_eq!((postback.parameter("tag"), postback.parameter("ip")), (Some("abc"), Some("192.0.2.1")));
}

#[test]
fn tls_begins_behind_the_header() {
    let origin = Origin::start();
    let issued = Issued::to(&["shop.example"]);
    let setup = Proxy::with(&format!(
        "trusted_proxies: [{BALANCER}]
listen: {{ address: 127.0.0.1:0, proxy_protocol: true, tls: {{ cert: shop.pem, key: shop.key }} }}
sites: [{{ upstream: \"http://{}\" }}]\n",
        origin.address()
    ));
    issued.write(setup.folder(), "shop");
    let proxy = setup.start();
    let mut tcp = connect_from(BALANCER.parse().unwrap(), proxy.address()).unwrap();
    tcp.write_all(&v2_six()).unwrap();
    let mut agreed = TlsClient::new().shake_hands(tcp, "shop.example").unwrap();
    assert_eq!(agreed.wire.get("/").text(), PAGE);
    let seen = origin.last().headers;
    assert_eq!((seen.get("x-forwarded-for"), seen.get("x-forwarded-proto")), (Some("2001:db8::9"), Some("https")));
}
