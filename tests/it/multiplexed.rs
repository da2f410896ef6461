//! HTTP/2 with visitors: over TLS and in the clear.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use http::Request;

use crate::support::{
    config::shop,
    edge::Wire,
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
    streams::Multiplexed,
    tls::Issued,
};

/// The shop on a plain and on a TLS listener, with more keys at the top.
fn on_both(keys: &str, origin: &Origin, network: &AdNetwork) -> Proxy {
    let listen = "listen: [127.0.0.1:0, { address: 127.0.0.1:0, tls: { cert: shop.pem, key: shop.key } }]";
    let setup = Proxy::with(&format!("{keys}\n{listen}\n{}", shop(origin, network)));
    Issued::to(&["shop.example"]).write(setup.folder(), "shop");
    setup.start()
}

fn both(proxy: &Proxy) -> [Multiplexed; 2] {
    let addresses = proxy.addresses();
    [Multiplexed::plain(addresses[0]), Multiplexed::secure(addresses[1])]
}

#[test]
fn many_streams_are_served_at_once() {
    let origin = (0..20).fold(Origin::start(), |origin, number| {
        let page = format!("page {number} {}", "x".repeat(number * 5000));
        origin.route(&format!("/{number}"), Response::html(page).delayed(Duration::from_millis(300)))
    });
    let proxy = on_both("", &origin, &AdNetwork::answering(["OK"]));
    for mut visitor in both(&proxy) {
        let start = Instant::now();
        let asked: Vec<_> = (0..20).map(|number| visitor.ask(&format!("/{number}"), &[])).collect();
        for (number, asked) in asked.into_iter().enumerate() {
            let answer = visitor.hear(asked);
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body.len(), format!("page {number} ").len() + number * 5000);
            assert!(answer.text().starts_with(&format!("page {number} ")));
        }
        assert!(start.elapsed() < Duration::from_secs(4), "20 times 300 ms, one after the other, are 6 s");
    }
    let protos: Vec<_> =
        origin.requests().iter().map(|it| it.headers.get("x-forwarded-proto").unwrap().to_owned()).collect();
    assert_eq!((protos.iter().filter(|it| *it == "http").count(), protos.len()), (20, 40));
    assert!(origin.last().headers.get("via").unwrap().starts_with("2 "), "{:?}", origin.last().headers);
}

#[test]
fn clicks_and_conversions_are_the_same_over_http_2() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let proxy = on_both("", &origin, &network);
    for (number, mut visitor) in both(&proxy).into_iter().enumerate() {
        let landing = visitor.get(&format!("/?exotracker=click{number}"));
        assert_eq!((landing.status, landing.text().as_str()), (200, PAGE));
        let cookies = landing.cookies();
        assert!(cookies.contains(&format!("_exoclick_cid=click{number}")), "{cookies}");
        let thanks = visitor.ask(&format!("/thank-you/{number}?total=1"), &[("cookie", &cookies)]);
        assert_eq!(visitor.hear(thanks).status, 200);
        let received = network.await_received(number + 1);
        assert_eq!(received[number].parameter("tag"), Some(&*format!("click{number}")));
    }
}

#[test]
fn a_terminated_proxy_says_goodbye_and_finishes_its_streams() {
    let page = "slow and large ".repeat(20_000);
    let origin = Origin::start()
        .route("/drips", Response::html("dripping ".repeat(20)).dripping(Duration::from_millis(5)))
        .route("/large", Response::html(&page).delayed(Duration::from_millis(300)));
    let mut proxy = on_both("limits: { shutdown_grace: 20s }", &origin, &AdNetwork::answering(["OK"]));
    let visitors = both(&proxy).map(|mut visitor| {
        let asked = [visitor.ask("/drips", &[]), visitor.ask("/large", &[])];
        (visitor, asked)
    });
    origin.await_requests(4);
    thread::scope(|scope| {
        let status = scope.spawn(|| proxy.terminate());
        for (mut visitor, [drips, large]) in visitors {
            visitor.is_told_to_go();
            assert_eq!(visitor.hear(drips).text(), "dripping ".repeat(20));
            assert_eq!(visitor.hear(large).text(), page);
            visitor.ends().expect("a closed connection");
        }
        assert_eq!(status.join().unwrap().code(), Some(0));
    });
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let origin = Origin::start().route("/slow", Response::html(PAGE).delayed(Duration::from_millis(2500)));
    let proxy = on_both("limits: { keep_alive_timeout: 1s }", &origin, &AdNetwork::answering(["OK"]));
    let addresses = proxy.addresses();
    for open in [|it: &[SocketAddr]| Multiplexed::plain(it[0]), |it: &[SocketAddr]| Multiplexed::secure(it[1])] {
        let mut visitor = open(&addresses);
        assert_eq!(visitor.get("/slow").text(), PAGE, "two and a half idle times");
        let answered = Instant::now();
        // How a connection ends that was closed without more words is the client's affair.
        visitor.ends().ok();
        assert!((700..5000).contains(&answered.elapsed().as_millis()), "{:?}", answered.elapsed());
    }
    proxy.await_metric("throughline_connections", &[], 0);
}

#[test]
fn what_is_too_large_or_ambiguous_is_refused_and_the_others_go_on() {
    let origin = Origin::start();
    let proxy = on_both("limits: { max_header_bytes: 8KiB }", &origin, &AdNetwork::answering(["OK"]));
    for mut visitor in both(&proxy) {
        let large = visitor.ask("/", &[("x-large", &"x".repeat(9000))]);
        assert_eq!(visitor.hear(large).status, 431);
        let requests = [
            Request::get("http://user@shop.example/").body(()),
            Request::get("http://shop.example/").header("host", "other.example").body(()),
            Request::get("http://shop.example/").header("content-length", "1").header("content-length", "2").body(()),
        ];
        for request in requests {
            let request = request.unwrap();
            let told = format!("{request:?}");
            let asked = visitor.send(request);
            // Answered or reset, as the library below sees fit.
            if let Ok(answer) = visitor.try_hear(asked) {
                assert_eq!(answer.status, 400, "{told}");
            }
        }
        assert!(origin.requests().is_empty());
        assert_eq!(visitor.get("/").text(), PAGE, "on the same connection");
        assert_eq!(origin.requests().len(), 1);
        origin.forget();
    }
}

#[test]
fn a_preface_that_comes_in_pieces_is_http_2_and_what_only_begins_like_it_is_not() {
    let origin = Origin::start();
    let proxy = on_both("limits: { header_timeout: 3s }", &origin, &AdNetwork::answering(["OK"]));
    let mut wire = Wire::to(proxy.address());
    for piece in [&b"PRI"[..], b" * HTTP/2.0\r\n\r\nSM", b"\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        wire.say(piece);
        thread::sleep(Duration::from_millis(30));
    }
    let mut settings = [0; 9];
    wire.read_exact(&mut settings);
    assert_eq!(settings[3], 4, "SETTINGS come back (RFC 9113, section 6.5): {settings:?}");
    let mut wire = Wire::to(proxy.address());
    wire.say(b"P");
    thread::sleep(Duration::from_millis(30));
    let posted = wire.ask(b"OST /x HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n\r\n", "POST").unwrap();
    assert_eq!((posted.status, origin.last().method.as_str()), (200, "POST"));
    let mut wire = Wire::to(proxy.address());
    wire.say(b"PRI * HT");
    assert_eq!(wire.end().said, "");
    proxy.await_metric("throughline_refused_total", &[("reason", "header_timeout")], 1);
}
