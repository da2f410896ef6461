//! What one visitor may cost, and what is refused before any site hears of it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    edge::{Wire, get, get_with},
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
};

/// One site for all hosts, with these limits.
fn limited(limits: &str, upstream: SocketAddr) -> Proxy {
    Proxy::with(&format!(
        "trusted_proxies: [127.0.0.9]\nlimits: {{ {limits} }}\nsites: [{{ upstream: \"http://{upstream}\" }}]\n"
    ))
    .start()
}

fn refused(proxy: &Proxy, reason: &str, count: u32) {
    proxy.await_metric("throughline_refused_total", &[("reason", reason)], count);
}

#[test]
fn a_head_that_drips_in_is_answered_with_408_when_its_time_is_over() {
    let origin = Origin::start();
    let proxy = limited("header_timeout: 1s", origin.address());
    let mut first = Wire::to(proxy.address());
    let mut second = Wire::to(proxy.address());
    // A keep-alive connection has the same time for its second request.
    assert_eq!(second.get("/").text(), PAGE);
    for (count, wire) in (1..).zip([&mut first, &mut second]) {
        let mut writer = wire.writer();
        let dripping = thread::spawn(move || {
            // Fails when the connection is closed, which ends it.
            while writer.write_all(b"G").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        let end = wire.end();
        assert!(end.said.starts_with("HTTP/1.1 408 "), "{end:?}");
        assert!((700..3500).contains(&end.after.as_millis()), "{end:?}");
        dripping.join().unwrap();
        refused(&proxy, "header_timeout", count);
    }
    proxy.await_metric("throughline_connections", &[], 0);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_head_that_is_too_large_is_answered_with_431_whether_it_ends_or_not() {
    let origin = Origin::start();
    let proxy = limited("max_header_bytes: 4KiB", origin.address());
    let large = get_with("/", &[("X-Large", &"x".repeat(5000))]);
    let mut wire = Wire::to(proxy.address());
    assert_eq!(wire.ask(large.as_bytes(), "GET").unwrap().status, 431);
    assert_eq!(wire.end().said, "", "and closed");
    refused(&proxy, "header_bytes", 1);
    let mut wire = Wire::to(proxy.address());
    // Fails when the proxy has had enough.
    wire.try_say(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(300_000))).ok();
    let end = wire.end();
    assert!(end.said.starts_with("HTTP/1.1 431 "), "{end:?}");
    refused(&proxy, "header_bytes", 2);
    let fits = get_with("/", &[("X-Large", &"x".repeat(3500))]);
    assert_eq!(Wire::to(proxy.address()).ask(fits.as_bytes(), "GET").unwrap().status, 200);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn connections_are_limited_in_all_and_places_come_back() {
    let origin = Origin::start();
    let proxy = limited("max_connections: 3", origin.address());
    let mut three: Vec<_> = (0..3).map(|_| Wire::to(proxy.address())).collect();
    three.iter_mut().for_each(|wire| assert_eq!(wire.get("/").status, 200));
    assert!(Wire::to(proxy.address()).try_get("/").is_err());
    refused(&proxy, "connections", 1);
    three.pop();
    proxy.await_metric("throughline_connections", &[], 2);
    assert_eq!(Wire::to(proxy.address()).get("/").status, 200);
    three[0].get("/again");
}

#[test]
fn one_address_has_so_many_connections_and_a_trusted_proxy_any_number() {
    let origin = Origin::start();
    let proxy = limited("max_connections_per_address: 2", origin.address());
    let from = |address: &str| Wire::from(address, proxy.address());
    let mut two: Vec<_> = (0..2).map(|_| from("127.0.0.2")).collect();
    two.iter_mut().for_each(|wire| assert_eq!(wire.get("/").status, 200));
    assert!(from("127.0.0.2").try_get("/").is_err());
    refused(&proxy, "connections_per_address", 1);
    assert_eq!(from("127.0.0.3").get("/").status, 200);
    let mut many: Vec<_> = (0..10).map(|_| from("127.0.0.9")).collect();
    many.iter_mut().for_each(|wire| assert_eq!(wire.get("/").status, 200));
    two.pop();
    proxy.await_metric("throughline_connections", &[], 11);
    assert_eq!(from("127.0.0.2").get("/").status, 200);
    refused(&proxy, "connections_per_address", 1);
}

#[test]
fn a_body_that_drips_is_cut_off_but_a_slow_site_and_silent_tunnels_are_not() {
    let origin = Origin::start()
        .route("/ws", Response::upgrade("websocket"))
        .route("/thinks", Response::html(PAGE).delayed(Duration::from_secs(13)));
    let slow = slow_reader(Duration::from_secs(13));
    let (proxy, behind_slow) = (limited("min_body_rate: 500B", origin.address()), limited("", slow));
    let post = |path: &str, kind: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")
    };
    thread::scope(|scope| {
        let dripping = scope.spawn(|| {
            let mut wire = Wire::to(proxy.address());
            wire.say(post("/form", "text/plain", 100_000));
            let start = Instant::now();
            // Ten bytes a second.
            while wire.try_say(b"x").is_ok() && start.elapsed() < Duration::from_secs(25) {
                thread::sleep(Duration::from_millis(100));
            }
            start.elapsed()
        });
        let grpc = scope.spawn(|| {
            let mut wire = Wire::to(proxy.address());
            wire.say(post("/stream", "application/grpc+proto", 4));
            thread::sleep(Duration::from_secs(13));
            wire.say(b"late");
            wire.hear("POST").status
        });
        let tunnel = scope.spawn(|| {
            let mut wire = Wire::to(proxy.address());
            let ask = get_with("/ws", &[("Connection", "Upgrade"), ("Upgrade", "websocket")]);
            wire.say(ask);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                wire.read_exact(&mut byte);
                head.extend(byte);
            }
            thread::sleep(Duration::from_secs(13));
            wire.say(b"ping");
            let mut echo = [0; 4];
            wire.read_exact(&mut echo);
            echo
        });
        let thinking = scope.spawn(|| {
            let request = post("/thinks", "text/plain", 4) + "body";
            Wire::to(proxy.address()).ask(request.as_bytes(), "POST").map(|answer| answer.status).unwrap()
        });
        let uploading = scope.spawn(|| {
            let request = post("/", "text/plain", 16 << 20) + &"x".repeat(16 << 20);
            Wire::to(behind_slow.address()).ask(request.as_bytes(), "POST").map(|answer| answer.status).unwrap()
        });
        let cut_off = dripping.join().unwrap();
        assert!((9..20).contains(&cut_off.as_secs()), "{cut_off:?}");
        assert_eq!(grpc.join().unwrap(), 200);
        assert_eq!(&tunnel.join().unwrap(), b"ping");
        assert_eq!(thinking.join().unwrap(), 200);
        assert_eq!(uploading.join().unwrap(), 200);
    });
    refused(&proxy, "body_rate", 1);
    refused(&behind_slow, "body_rate", 0);
}

/// A site that takes nothing of a request for a while.
fn slow_reader(pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        thread::sleep(pause);
        let (mut seen, mut buffer) = (0, vec![0; 1 << 16]);
        while seen < 16 << 20 {
            seen += tcp.read(&mut buffer).unwrap();
        }
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    });
    address
}

#[test]
fn an_idle_connection_is_closed_in_time_and_without_a_word() {
    let origin = Origin::start();
    let proxy = limited("keep_alive_timeout: 1s", origin.address());
    let mut used = Wire::to(proxy.address());
    assert_eq!(used.get("/").status, 200);
    for mut wire in [used, Wire::to(proxy.address())] {
        let end = wire.end();
        assert_eq!(end.said, "");
        assert!(end.after < Duration::from_millis(3500), "{end:?}");
    }
    proxy.await_metric("throughline_connections", &[], 0);
    assert_eq!(proxy.metric("throughline_refused_total", &[]).to_string(), "0", "that is no refusal");
}

#[test]
fn a_connection_that_is_used_again_just_in_time_stays() {
    let origin = Origin::start().route("/slow", Response::html(PAGE).delayed(Duration::from_millis(1500)));
    let proxy = limited("keep_alive_timeout: 1s", origin.address());
    let mut wire = Wire::to(proxy.address());
    for _ in 0..5 {
        assert_eq!(wire.get("/slow").text(), PAGE, "being served is not being idle");
        thread::sleep(Duration::from_millis(600));
    }
}

#[test]
fn whoever_comes_back_at_the_very_last_moment_is_served_or_told_nothing_but_never_half() {
    let origin = Origin::start();
    let proxy = limited("keep_alive_timeout: 1s", origin.address());
    let served = thread::scope(|scope| {
        let visitors: Vec<_> = (0..60)
            .map(|number| {
                let address = proxy.address();
                scope.spawn(move || {
                    let mut wire = Wire::to(address);
                    wire.get("/first");
                    thread::sleep(Duration::from_millis(950 + number * 6));
                    wire.try_get("/second").is_ok()
                })
            })
            .collect();
        visitors.into_iter().map(|visitor| visitor.join().unwrap()).filter(|served| *served).count()
    });
    let second = origin.requests().iter().filter(|request| request.target == "/second").count();
    assert_eq!(second, served, "a request that reached the site was answered");
}

#[test]
fn what_two_parsers_could_read_in_two_ways_reaches_no_site() {
    let origin = Origin::start();
    let proxy = limited("", origin.address());
    let many = "X-Again: 1\r\n".repeat(257);
    let mut expected = std::collections::BTreeMap::new();
    for (status, reason, request) in [
        (
            400,
            "te_and_cl",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        ),
        (
            400,
            "te_and_cl",
            "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (400, "no_host", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n"),
        (400, "malformed", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        (400, "bare_lf", "GET / HTTP/1.1\nHost: a\n\n"),
        (400, "bare_lf", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\nY: 2\r\n\r\n"),
        (400, "malformed", "GET / HTTP/1.1\r\nHost: a\r\nX y: 1\r\n\r\n"),
        (400, "malformed", "GET /\r\n\r\n"),
        (400, "malformed", "\u{1}\u{2}\u{3} / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, "malformed", "GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
        (400, "malformed", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        (400, "malformed", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
        (400, "malformed", &format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")),
        (405, "malformed", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    ] {
        let mut wire = Wire::to(proxy.address());
        let answer = wire.ask(request.as_bytes(), "GET").unwrap_or_else(|error| panic!("{request:.200?}: {error}"));
        assert_eq!(answer.status, status, "{request:.200?}");
        assert_eq!(answer.header("server"), None, "{request:.200?}");
        assert_eq!(wire.end().said, "", "closed: {request:.200?}");
        *expected.entry(reason).or_insert(0) += 1;
        refused(&proxy, reason, expected[reason]);
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
    assert_eq!(
        Wire::to(proxy.address()).ask(b"GET / HTTP/1.0\r\n\r\n", "GET").unwrap().text(),
        PAGE,
        "1.0 needs no host"
    );
    proxy.await_metric("throughline_connections", &[], 0);
}

#[test]
fn requests_that_come_before_they_are_due_are_served_in_their_order() {
    let origin = Origin::start()
        .route("/1", Response::html("one").delayed(Duration::from_millis(300)))
        .page("/2", "two")
        .page("/3", "three");
    let proxy = limited("", origin.address());
    let mut wire = Wire::to(proxy.address());
    wire.say(get("/1"));
    thread::sleep(Duration::from_millis(100));
    wire.say(get("/2") + &get("/3"));
    let pages: Vec<_> = (0..3).map(|_| wire.hear("GET").text()).collect();
    assert_eq!(pages, ["one", "two", "three"]);
}

#[test]
fn a_refusal_arrives_although_the_body_was_not_wanted() {
    let origin = Origin::start();
    let known = format!("sites: [{{ hosts: [shop.example], upstream: \"http://{}\" }}]\n", origin.address());
    let proxy = Proxy::with(&known).start();
    let body = "x".repeat(4 << 20);
    let post = format!("POST / HTTP/1.1\r\nHost: stranger.example\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for _ in 0..5 {
        let answer = Wire::to(proxy.address()).ask(post.as_bytes(), "POST").unwrap();
        assert_eq!((answer.status, answer.is_complete()), (421, true));
    }
    assert!(origin.requests().is_empty());
}
