//! How a tunnel opens, hundreds of times: no byte that comes early is lost, and no tunnel is torn down.

use std::{
    io, iter,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{noise, open};
use crate::support::{
    http::latin1,
    proxy::Proxy,
    raw_origin::RawOrigin,
    server::lock,
    tunnel::{SWITCHED, echo, greeting_echo},
};

const ROUNDS: usize = 500;

const AT_A_TIME: usize = 4;

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
    let origin = greeting_echo("hello");
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
