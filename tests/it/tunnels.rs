//! Upgraded connections: what goes in at one end comes out at the other, and nothing else.

use std::{
    io::{self, Read, Write},
    iter,
    os::unix::net::UnixListener,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
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
    server::lock,
};

const ROUNDS: usize = 500;

const AT_A_TIME: usize = 4;

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Opens a tunnel, sending `early` together with the request.
fn open(proxy: &Proxy, early: &[u8]) -> io::Result<Connection> {
    let mut visitor = Connection::to(proxy.address());
    visitor.send([handshake("/socket").as_bytes(), early].concat())?;
    let head = visitor.head()?.unwrap_or_default();
    assert!(head.starts_with("HTTP/1.1 101 "), "no tunnel: {head:?}");
    Ok(visitor)
}

/// A site that greets in the packet of its 101 and then returns what it gets.
fn greeting_echo() -> RawOrigin {
    RawOrigin::start(|visitor| {
        visitor.head()?;
        visitor.send([SWITCHED.as_bytes(), b"hello"].concat())?;
        echo(visitor)
    })
}

fn echo(visitor: &mut Connection) -> io::Result<()> {
    loop {
        let some = visitor.some()?;
        if some.is_empty() {
            return Ok(());
        }
        visitor.send(some)?;
    }
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

/// How many of so many rounds fail, and how one of them did.
///
/// Several run at a time: a busy machine is what makes races visible.
fn failures(rounds: usize, round: impl Fn(usize) -> io::Result<()> + Sync) -> (usize, Option<io::Error>) {
    let next = AtomicUsize::new(0);
    let errors = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                for number in iter::from_fn(|| Some(next.fetch_add(1, Ordering::SeqCst)).filter(|it| *it < rounds)) {
                    if let Err(error) = round(number) {
                        lock(&errors).push(error);
                    }
                }
            });
        }
    });
    let mut errors = errors.into_inner().unwrap();
    (errors.len(), errors.pop())
}

#[test]
fn a_switch_at_once_with_the_first_frame_in_its_packet_opens_a_tunnel_500_times_out_of_500() {
    let origin = greeting_echo();
    let proxy = Proxy::with(&origin.site()).start();
    let (failed, error) = failures(ROUNDS, |round| {
        let mut visitor = open(&proxy, b"")?;
        assert_eq!(latin1(&visitor.exactly(5)?), "hello");
        let frame = noise(1 + round * 7, 1);
        visitor.send(&frame)?;
        assert!(visitor.exactly(frame.len())? == frame, "round {round}: other bytes came back");
        Ok(())
    });
    assert_eq!(failed, 0, "of {ROUNDS} tunnels were torn down; one of them: {error:?}");
}

/// The race of an early 101 in its worst form: it lies in the socket before the request is sent.
#[test]
fn a_switch_that_is_there_before_the_request_opens_a_tunnel_too() {
    let origin = RawOrigin::start(|visitor| {
        visitor.send([SWITCHED.as_bytes(), b"hello"].concat())?;
        visitor.head()?;
        echo(visitor)
    });
    let proxy = Proxy::with(&origin.site()).start();
    let (failed, error) = failures(ROUNDS, |_| {
        let mut visitor = open(&proxy, b"")?;
        assert_eq!(latin1(&visitor.exactly(5)?), "hello");
        visitor.send("ping")?;
        assert_eq!(latin1(&visitor.exactly(4)?), "ping");
        Ok(())
    });
    assert_eq!(failed, 0, "of {ROUNDS} tunnels were torn down; one of them: {error:?}");
}

/// What is special about the way to a server is special about the way to its tunnels.
#[test]
fn a_tunnel_to_a_server_that_wants_to_be_told_of_the_visitor_begins_with_that() {
    let origin = RawOrigin::start(|visitor| {
        let introduction = visitor.exactly(28)?;
        if introduction[..12] != *b"\r\n\r\n\0\r\nQUIT\n" {
            return visitor.send("HTTP/1.1 400 No PROXY Protocol\r\nContent-Length: 0\r\n\r\n");
        }
        visitor.head()?;
        visitor.send([SWITCHED.as_bytes(), b"hello"].concat())?;
        echo(visitor)
    });
    let site = format!("sites:\n  - upstream: {{ url: \"http://{}\", proxy_protocol: v2 }}\n", origin.address());
    let proxy = Proxy::with(&site).start();
    let (failed, error) = failures(100, |_| {
        let mut visitor = open(&proxy, b"")?;
        assert_eq!(latin1(&visitor.exactly(5)?), "hello");
        visitor.send("ping")?;
        assert_eq!(latin1(&visitor.exactly(4)?), "ping");
        Ok(())
    });
    assert_eq!(failed, 0, "of 100 tunnels were torn down; one of them: {error:?}");
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
fn a_first_frame_that_comes_with_the_request_waits_for_the_switch_and_then_arrives() {
    let origin = RawOrigin::start(|visitor| {
        let head = visitor.until(b"\r\n\r\n")?.unwrap_or_default();
        // A frame must not be there before the answer: it could pass for another request.
        visitor.stream().set_read_timeout(Some(Duration::from_millis(2)))?;
        let early = visitor.some().unwrap_or_default();
        visitor.stream().set_read_timeout(Some(Duration::from_secs(10)))?;
        let verdict = if early.is_empty() && !latin1(&head).contains("early") { "clean" } else { "early" };
        visitor.send([SWITCHED.as_bytes(), verdict.as_bytes()].concat())?;
        echo(visitor)
    });
    let proxy = Proxy::with(&origin.site()).start();
    let (failed, error) = failures(ROUNDS, |_| {
        let mut visitor = open(&proxy, b"early frame")?;
        assert_eq!(latin1(&visitor.exactly(5)?), "clean");
        assert_eq!(latin1(&visitor.exactly(11)?), "early frame");
        visitor.send("ping")?;
        assert_eq!(latin1(&visitor.exactly(4)?), "ping");
        Ok(())
    });
    assert_eq!(failed, 0, "of {ROUNDS} tunnels were torn down; one of them: {error:?}");
}

#[test]
fn large_binary_messages_pass_both_ways_at_once() {
    let origin = greeting_echo();
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
    visitor.send(handshake("/thank-you/1001?total=49.90")).unwrap();
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
