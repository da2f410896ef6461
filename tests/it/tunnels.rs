//! Upgraded connections: what goes in at one end comes out at the other, and nothing else.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixListener,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    accounting::assert_accounts,
    http::latin1,
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    raw_origin::{Connection, RawOrigin},
    response::Response,
    tunnel::{self, SWITCHED, echo, greeting_echo, handshake},
};

mod openings;

/// Opens a tunnel, sending `early` together with the request.
fn open(proxy: &Proxy, early: &[u8]) -> io::Result<Connection> {
    tunnel::open(proxy.address(), "shop.example", early)
}

/// Bytes without a pattern that could be lost unnoticed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn a_tunnel_to_a_server_on_a_unix_socket_opens_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        stream.write_all(&[SWITCHED.as_bytes(), b"hello"].concat())?;
        io::copy(&mut stream.try_clone()?, &mut stream)
    });
    let proxy = Proxy::with(&format!("sites:\n  - upstream: \"unix:{}\"\n", path.display())).start();
    let mut visitor = open(&proxy, b"").unwrap();
    visitor.send("ping").unwrap();
    assert_eq!(latin1(&visitor.exactly(9).unwrap()), "helloping");
    drop(visitor);
    assert_eq!(server.join().unwrap().unwrap(), 4);
}

#[test]
fn large_binary_messages_pass_both_ways_at_once() {
    let origin = greeting_echo("hello");
    let proxy = Proxy::with(&origin.site()).start();
    // Several at a time: an echo that is slow to read is what gets a proxy stuck between two full buffers.
    thread::scope(|scope| {
        for seed in 0..4 {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut visitor = open(proxy, b"").unwrap();
                assert_eq!(latin1(&visitor.exactly(5).unwrap()), "hello");
                let message = noise(16 << 20, seed);
                let mut writer = visitor.stream().try_clone().unwrap();
                let sent = message.clone();
                let writing = thread::spawn(move || io::Write::write_all(&mut writer, &sent));
                let echoed = visitor.exactly(message.len()).unwrap();
                writing.join().unwrap().unwrap();
                assert!(echoed == message, "16 MiB came back changed");
            });
        }
    });
}

#[test]
fn a_tunnel_closed_at_one_end_closes_at_the_other() {
    let origin = RawOrigin::start(|visitor| {
        visitor.head()?;
        visitor.send(SWITCHED)?;
        if visitor.exactly(4)? == b"quit" {
            return visitor.send("bye");
        }
        visitor.await_end()
    });
    let proxy = Proxy::with(&origin.site()).start();

    let mut left_by_site = open(&proxy, b"").unwrap();
    left_by_site.send("quit").unwrap();
    assert_eq!(latin1(&left_by_site.exactly(3).unwrap()), "bye", "what came before the end arrives");
    assert_eq!(left_by_site.some().unwrap(), b"", "and then the end");

    let mut left_by_visitor = open(&proxy, b"").unwrap();
    left_by_visitor.send("stay").unwrap();
    drop(left_by_visitor);
    origin.await_all_ended();
}

/// TCP allows it, WebSocket does not need it (RFC 6455 section 7.1.1): a visitor who says that
/// nothing more comes from him has left, but what he said before arrives.
#[test]
fn half_a_close_by_the_visitor_ends_the_tunnel_after_his_last_bytes() {
    let origin = RawOrigin::start(|visitor| {
        visitor.head()?;
        visitor.send(SWITCHED)?;
        visitor.await_end()
    });
    let proxy = Proxy::with(&origin.site()).start();
    let mut visitor = open(&proxy, b"").unwrap();
    visitor.send("last words").unwrap();
    visitor.finish().unwrap();
    visitor.await_end().unwrap();
    origin.await_all_ended();
    assert!(origin.text().ends_with("last words"), "{}", origin.text());
}

#[test]
fn nothing_is_injected_into_a_tunnel_on_a_conversion_path() {
    let text = "<html><body>not a page</body></html>";
    let network = AdNetwork::answering(["OK"]);
    let site = Origin::start();
    let origin = RawOrigin::start(move |visitor| {
        visitor.head()?;
        visitor.send([SWITCHED.as_bytes(), b"Content-Type: text/html"].concat())?;
        visitor.send(text)?;
        visitor.finish()?;
        visitor.await_end()
    });
    let configuration = crate::support::config::shop(&site, &network)
        .replace(&site.address().to_string(), &origin.address().to_string());
    let proxy = Proxy::with(&configuration).start();
    let mut visitor = Connection::to(proxy.address());
    visitor.send(handshake("shop.example", "/thank-you/1001?total=49.90")).unwrap();
    assert!(visitor.head().unwrap().unwrap().starts_with("HTTP/1.1 101 "));
    let mut all = Vec::new();
    loop {
        match visitor.some().unwrap() {
            some if some.is_empty() => break,
            some => all.extend(some),
        }
    }
    assert_eq!(latin1(&all), format!("Content-Type: text/html{text}"));
    assert_accounts(&proxy);
}

#[test]
fn only_websockets_are_upgraded_and_other_protocols_are_not_offered_to_the_site() {
    for protocol in ["h2c", "foo/2", "websocket, foo", "TLS/1.0"] {
        let origin = Origin::start();
        let proxy = Proxy::with(&format!("sites:\n  - upstream: \"http://{}\"\n", origin.address())).start();
        let headers =
            [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", protocol), ("HTTP2-Settings", "AAMAAABk")];
        let answer = proxy.visitor().request("GET", "/", &headers, "");
        assert_eq!(answer.status, 200, "{protocol}: a server may ignore Upgrade (RFC 9110 section 7.8)");
        let seen = origin.last();
        for header in ["upgrade", "http2-settings"] {
            assert_eq!(seen.headers.get(header), None, "{protocol}");
        }
    }
}

#[test]
fn a_switch_that_nobody_asked_for_is_an_error_of_the_site() {
    let origin = RawOrigin::start(|visitor| {
        visitor.head()?;
        visitor.send([SWITCHED.as_bytes(), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"].concat())?;
        visitor.await_end()
    });
    let proxy = Proxy::with(&origin.site()).start();
    let answer = proxy.visitor().get("/");
    assert_eq!(answer.status, 502);
    assert!(!answer.text().contains("no"), "bytes of a tunnel became an answer: {}", answer.text());
}

#[test]
fn a_refused_switch_is_an_answer_like_any_other_and_leaves_both_connections_usable() {
    let origin = Origin::start().route("/socket", Response::new(403).body("no tunnel"));
    let proxy = Proxy::with(&format!("sites:\n  - upstream: \"http://{}\"\n", origin.address())).start();
    let mut visitor = proxy.visitor().on_one_connection();
    for _ in 0..3 {
        let headers = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
        let answer = visitor.request("GET", "/socket", &headers, "");
        assert_eq!((answer.status, answer.text().as_str()), (403, "no tunnel"));
        assert_eq!(visitor.get("/page").status, 200);
    }
}

/// Longer than the minute after which Pingora takes a silent client for a dead one.
#[test]
#[ignore = "takes 70 s"]
fn a_tunnel_in_which_nothing_is_said_for_70_seconds_stays_open() {
    let origin = RawOrigin::start(|visitor| {
        visitor.head()?;
        visitor.send([SWITCHED.as_bytes(), b"hello"].concat())?;
        visitor.stream().set_read_timeout(None)?;
        echo(visitor)
    });
    let proxy = Proxy::with(&origin.site()).start();
    let mut visitor = open(&proxy, b"").unwrap();
    assert_eq!(latin1(&visitor.exactly(5).unwrap()), "hello");
    let silent = Instant::now();
    visitor.stream().set_read_timeout(Some(Duration::from_secs(70))).unwrap();
    let ended = visitor.some();
    assert!(ended.is_err(), "after {:?} the tunnel was closed", silent.elapsed());
    visitor.send("ping").unwrap();
    assert_eq!(latin1(&visitor.exactly(4).unwrap()), "ping");
}
