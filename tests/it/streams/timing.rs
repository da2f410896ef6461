//! When bodies arrive: as soon as the site has sent a piece of them.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use super::{GET, before};
use crate::support::{
    http::latin1,
    raw_origin::{Connection, RawOrigin},
    tell,
};

const EVENTS: usize = 200;

/// Median and worst of many.
fn figures(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

/// A site that sends event n+1 only when the visitor has confirmed event n on another connection.
///
/// Nothing can hide in a buffer: an event that is not handed on is never confirmed.
fn confirmed_events(head: &'static str, frame: fn(usize) -> String) -> RawOrigin {
    let (confirm, confirmed) = mpsc::channel();
    let confirmed = Mutex::new(confirmed);
    RawOrigin::start(move |visitor| {
        while let Some(request) = visitor.head()? {
            if request.starts_with("GET /confirm ") {
                confirm.send(()).ok();
                visitor.send("HTTP/1.1 204 No Content\r\n\r\n")?;
                continue;
            }
            visitor.send(head)?;
            for number in 0..EVENTS {
                visitor.send(frame(number))?;
                let waited = confirmed.lock().unwrap().recv_timeout(Duration::from_secs(10));
                waited.map_err(|_| io::ErrorKind::TimedOut)?;
            }
            return Ok(());
        }
        Ok(())
    })
}

/// From the confirmation of one event to the arrival of the next.
fn event_times(at: SocketAddr, site: &RawOrigin, length: usize) -> io::Result<Vec<Duration>> {
    let mut visitor = Connection::to(at);
    let mut direct = Connection::to(site.address());
    visitor.send(GET)?;
    visitor.head()?;
    let mut times = Vec::new();
    let mut start = Instant::now();
    for _ in 0..EVENTS {
        visitor.exactly(length)?;
        times.push(start.elapsed());
        start = Instant::now();
        // Straight to the site, so that only the way of the event is compared.
        direct.send("GET /confirm HTTP/1.1\r\nHost: shop.example\r\n\r\n")?;
        direct.head()?;
    }
    Ok(times)
}

/// The same stream directly and through the proxy; each event must be there before the next is sent.
fn compare(what: &str, head: &'static str, frame: fn(usize) -> String) {
    let length = frame(0).len();
    let site = confirmed_events(head, frame);
    let (median, worst) = figures(event_times(site.address(), &site, length).unwrap());
    let proxied_site = confirmed_events(head, frame);
    let proxy = before(&proxied_site);
    let times = event_times(proxy.address(), &proxied_site, length);
    let (proxied_median, proxied_worst) = figures(times.unwrap_or_else(|error| panic!("{what}: held back: {error}")));
    tell(&format!(
        "{what}: direct median {median:?}, worst {worst:?}; proxied median {proxied_median:?}, worst {proxied_worst:?}"
    ));
    assert!(proxied_median < median + Duration::from_millis(20), "{what}: {proxied_median:?} instead of {median:?}");
    assert!(proxied_worst < Duration::from_secs(2), "{what}: {proxied_worst:?}");
}

#[test]
fn server_sent_events_arrive_one_by_one() {
    compare(
        "events",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        |number| format!("f\r\ndata: event {number:>3}\r\n"),
    );
}

#[test]
fn events_without_chunks_arrive_one_by_one() {
    // The site ends them with the connection; the visitor gets chunks.
    let frame = |number: usize| format!("data: event {number:>3}\n\n");
    let site =
        confirmed_events("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n", frame);
    let proxy = before(&site);
    let chunk = format!("{:X}\r\n{}\r\n", frame(0).len(), frame(0));
    let (median, worst) = figures(event_times(proxy.address(), &site, chunk.len()).unwrap());
    tell(&format!("events until the end of the connection: proxied median {median:?}, worst {worst:?}"));
    assert!(median < Duration::from_millis(50) && worst < Duration::from_secs(2));
}

#[test]
fn a_page_that_is_rendered_slowly_arrives_piece_by_piece() {
    compare(
        "slow page",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n",
        |number| format!("f\r\n<p>piece {number:>4}</\r\n"),
    );
}

#[test]
fn a_page_of_known_length_that_is_rendered_slowly_arrives_piece_by_piece() {
    compare(
        "slow page of known length",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3000\r\n\r\n",
        |number| format!("<p>piece {number:>4}</"),
    );
}

#[test]
fn an_upload_arrives_piece_by_piece() {
    for framing in ["Transfer-Encoding: chunked", "Content-Length: 1000"] {
        // The site confirms each piece with an early hint; the visitor sends the next one only then.
        let origin = RawOrigin::start(|visitor| {
            let head = visitor.head()?.unwrap_or_default();
            for _ in 0..100 {
                if head.contains("chunked") {
                    visitor.until(b"piece more\r\n")?;
                } else {
                    visitor.exactly(10)?;
                }
                visitor.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")?;
            }
            visitor.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")?;
            visitor.await_end()
        });
        let proxy = before(&origin);
        let mut visitor = Connection::to(proxy.address());
        visitor.send(format!("POST /up HTTP/1.1\r\nHost: shop.example\r\n{framing}\r\n\r\n")).unwrap();
        for number in 0..100 {
            let piece = if framing.contains("chunked") { "a\r\npiece more\r\n" } else { "piece more" };
            visitor.send(piece).unwrap();
            let hint =
                visitor.head().unwrap_or_else(|error| panic!("{framing}: piece {number} was held back: {error}"));
            assert!(hint.unwrap().starts_with("HTTP/1.1 103 "));
        }
        if framing.contains("chunked") {
            visitor.send("0\r\n\r\n").unwrap();
        }
        assert!(visitor.head().unwrap().unwrap().starts_with("HTTP/1.1 200 "));
        assert_eq!(latin1(&visitor.exactly(4).unwrap()), "done");
    }
}
