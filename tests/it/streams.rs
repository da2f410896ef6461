//! Bodies on their way: when they arrive, how they end, and what stays of both connections.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::support::{
    accounting::assert_accounts,
    config::{THANKS, shop},
    http::{Body, Ending, Framing, Head, latin1},
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    raw_origin::{Connection, RawOrigin},
    response::Response,
};

const EVENTS: usize = 200;

const GET: &str = "GET /page HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// A proxy before a site that is a script.
fn before(origin: &RawOrigin) -> Proxy {
    Proxy::with(&origin.site()).start()
}

/// Median and worst of many.
fn figures(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

/// A site that sends event n+1 only when the visitor has confirmed event n on another connection.
///
/// Nothing can hide in a buffer: an event that is not handed on is never confirmed.
fn confirmed_events(head: &'static str, frame: fn(usize) -> String) -> RawOrigin {
    let (confirm, confirmed) = std::sync::mpsc::channel();
    let confirmed = std::sync::Mutex::new(confirmed);
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
fn event_times(at: std::net::SocketAddr, site: &RawOrigin, length: usize) -> io::Result<Vec<Duration>> {
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
    println!(
        "{what}: direct median {median:?}, worst {worst:?}; proxied median {proxied_median:?}, worst {proxied_worst:?}"
    );
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
    println!("events until the end of the connection: proxied median {median:?}, worst {worst:?}");
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

#[test]
fn the_site_decides_about_an_expectation() {
    let origin = RawOrigin::start(|visitor| {
        while let Some(head) = visitor.head()? {
            if head.starts_with("POST /refused ") {
                visitor.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")?;
                return visitor.await_end();
            }
            if head.starts_with("POST /asked ") {
                visitor.send("HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let body = latin1(&visitor.exactly(5)?);
            visitor.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}"))?;
        }
        Ok(())
    });
    let proxy = before(&origin);
    let ask = |path: &str, at_once: &str| {
        let mut visitor = Connection::to(proxy.address());
        visitor
            .send(format!(
                "POST {path} HTTP/1.1\r\nHost: shop.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n{at_once}"
            ))
            .unwrap();
        visitor
    };
    let mut patient = ask("/asked", "");
    assert_eq!(patient.head().unwrap().unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    patient.send("hello").unwrap();
    assert!(patient.head().unwrap().unwrap().starts_with("HTTP/1.1 200 "));
    assert_eq!(latin1(&patient.exactly(5).unwrap()), "hello");

    let mut refused = ask("/refused", "");
    let head = refused.head().unwrap().unwrap();
    assert!(head.starts_with("HTTP/1.1 417 ") && head.to_lowercase().contains("connection: close"), "{head}");
    assert_eq!(latin1(&refused.exactly(2).unwrap()), "no");

    let mut impatient = ask("/unasked", "hello");
    assert!(impatient.head().unwrap().unwrap().starts_with("HTTP/1.1 200 "));
    assert_eq!(latin1(&impatient.exactly(5).unwrap()), "hello");
    let mut impatient = ask("/asked", "hello");
    assert!(impatient.head().unwrap().unwrap().starts_with("HTTP/1.1 100 "));
    assert!(impatient.head().unwrap().unwrap().starts_with("HTTP/1.1 200 "));
}

#[test]
fn interim_answers_reach_http_1_1_visitors_in_order() {
    let origin = RawOrigin::start(|visitor| {
        while visitor.head()?.is_some() {
            visitor.send(
                "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
                 HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n\
                 HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            )?;
        }
        Ok(())
    });
    let proxy = before(&origin);
    let mut visitor = proxy.visitor().on_one_connection();
    for _ in 0..3 {
        let answer = visitor.get("/");
        let interim: Vec<_> = answer.informational.iter().map(|head| head.start.as_str()).collect();
        assert_eq!(interim, ["HTTP/1.1 102 Processing", "HTTP/1.1 103 Early Hints", "HTTP/1.1 103 Early Hints"]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
}

/// RFC 9110 section 15.2: a server must not send a 1xx to an HTTP/1.0 client.
#[test]
fn http_1_0_visitors_get_neither_interim_answers_nor_chunks() {
    let origin = Origin::start()
        .route("/hints", Response::html("page").after_early_hints("</a.css>"))
        .route("/chunks", Response::html("page").chunked(2))
        .route("/old", Response::html("page").http10());
    let proxy = Proxy::with(&format!("sites:\n  - upstream: \"http://{}\"\n", origin.address())).start();
    for path in ["/hints", "/chunks", "/old", "/plain"] {
        let answer = proxy.visitor().http10().get(path);
        assert!(answer.informational.is_empty(), "{path}: {:?}", answer.informational);
        assert!(answer.framing != Framing::Chunked && answer.is_complete(), "{path}");
        if path != "/plain" {
            assert_eq!(answer.text(), "page", "{path}");
        }
        let kept = proxy.visitor().http10().sending("Connection", "keep-alive").get(path);
        assert_eq!(kept.header("connection"), Some("close"), "{path}: its body may end with the connection");
    }
}

#[test]
fn an_http_1_0_site_becomes_an_http_1_1_one_and_its_connection_is_not_used_again() {
    let origin = Origin::start().route("/old", Response::html("page").http10());
    let proxy = Proxy::with(&format!("sites:\n  - upstream: \"http://{}\"\n", origin.address())).start();
    let mut visitor = proxy.visitor().on_one_connection();
    for _ in 0..3 {
        let answer = visitor.get("/old");
        assert_eq!((answer.framing, answer.text().as_str()), (Framing::Chunked, "page"));
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::start().page("/1", "one").page("/2", "two").page("/3", "three");
    let proxy = Proxy::with(&format!("sites:\n  - upstream: \"http://{}\"\n", origin.address())).start();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    for pieces in
        [vec![[request("/1"), request("/2"), request("/3")].concat()], ["/1", "/2", "/3"].map(request).to_vec()]
    {
        let mut visitor = Connection::to(proxy.address());
        for piece in pieces {
            visitor.send(piece).unwrap();
        }
        for expected in ["one", "two", "three"] {
            assert!(visitor.head().unwrap().unwrap().starts_with("HTTP/1.1 200 "));
            assert_eq!(latin1(&visitor.exactly(expected.len()).unwrap()), expected);
        }
    }
}

/// Behind a body the next request is not served: the connection ends, and the visitor may repeat it
/// (RFC 9112 section 9.3.2).
#[test]
fn what_is_pipelined_behind_a_body_is_never_answered_with_something_else() {
    let origin = Origin::start().page("/1", "one").page("/2", "two");
    let proxy = Proxy::with(&format!("sites:\n  - upstream: \"http://{}\"\n", origin.address())).start();
    for _ in 0..50 {
        let mut visitor = Connection::to(proxy.address());
        visitor
            .send(
                "POST /1 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 3\r\n\r\nabc\
                 GET /2 HTTP/1.1\r\nHost: shop.example\r\n\r\n",
            )
            .unwrap();
        if let Ok(Some(_)) = visitor.head() {
            assert_eq!(latin1(&visitor.exactly(3).unwrap()), "one");
            assert_eq!(visitor.some().unwrap_or_default(), b"", "the connection ends");
        }
    }
    assert!(origin.requests().iter().all(|request| request.path() == "/1" && request.body == b"abc"));
}

/// HTTP/1 trailers end at Pingora, which drops those of both directions; the body is whole.
#[test]
fn trailers_are_dropped_and_bodies_stay_whole() {
    let origin = Origin::start().route("/t", Response::html("page with a trailer").trailer("X-Sum", "42"));
    let proxy = Proxy::with(&format!("sites:\n  - upstream: \"http://{}\"\n", origin.address())).start();
    let mut visitor = proxy.visitor().on_one_connection();
    for _ in 0..3 {
        let answer = visitor.get("/t");
        assert_eq!((answer.text().as_str(), answer.trailers.get("x-sum")), ("page with a trailer", None));
        assert!(answer.is_complete());
    }
    let mut visitor = Connection::to(proxy.address());
    visitor
        .send(
            "POST /p HTTP/1.1\r\nHost: shop.example\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             3;ext=1\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n",
        )
        .unwrap();
    assert!(visitor.head().unwrap().unwrap().starts_with("HTTP/1.1 200 "));
    let seen = origin.last();
    assert_eq!((seen.body.as_slice(), seen.headers.get("x-sum")), (b"abc".as_slice(), None));
}

#[test]
fn chunk_extensions_are_dropped_in_both_directions() {
    let origin = RawOrigin::start(|visitor| {
        visitor.until(b"0\r\n\r\n")?;
        visitor.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n3;c=\"d;e\"\r\ndef\r\n0;f\r\n\r\n",
        )?;
        visitor.await_end()
    });
    let proxy = before(&origin);
    let request =
        b"POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nwiki\r\n0\r\n\r\n";
    let answer = proxy.visitor().sends_raw(request).unwrap();
    assert_eq!((answer.text().as_str(), answer.ending), ("abcdef", Ending::Complete));
    assert!(!origin.text().contains("x=y") && origin.text().contains("\r\nwiki\r\n"), "{}", origin.text());
}

#[test]
fn an_answer_that_comes_before_the_upload_has_ended_reaches_the_visitor() {
    for framing in ["Transfer-Encoding: chunked", "Content-Length: 100000000"] {
        let origin = RawOrigin::start(|visitor| {
            visitor.head()?;
            visitor.exactly(1000)?;
            visitor.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")?;
            visitor.await_end()
        });
        let proxy = before(&origin);
        let mut visitor = Connection::to(proxy.address());
        visitor.send(format!("POST / HTTP/1.1\r\nHost: shop.example\r\n{framing}\r\n\r\n")).unwrap();
        visitor.send([b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat()).unwrap();
        let head = visitor.head().unwrap().unwrap();
        assert!(head.starts_with("HTTP/1.1 413 ") && head.contains("close"), "{framing}: {head}");
        assert_eq!(latin1(&visitor.exactly(5).unwrap()), "large");
        drop(visitor);
        origin.await_all_ended();
        assert_eq!(origin.connections(), 1);
    }
}

#[test]
fn a_visitor_who_leaves_takes_the_connection_to_the_site_with_him() {
    let origin = RawOrigin::start(|visitor| {
        while let Some(head) = visitor.head()? {
            if head.starts_with("GET /endless ") {
                visitor.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                loop {
                    visitor.chunk([b'x'; 4096])?;
                }
            } else if head.starts_with("POST ") {
                return visitor.await_end();
            }
            visitor.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    let proxy = before(&origin);
    let mut downloading = Connection::to(proxy.address());
    downloading.send(GET.replace("/page", "/endless")).unwrap();
    downloading.exactly(100_000).unwrap();
    drop(downloading);
    origin.await_all_ended();
    let mut uploading = Connection::to(proxy.address());
    uploading.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1000\r\n\r\nhalf").unwrap();
    crate::support::await_fact(|| origin.text().contains("half").then_some(()), || origin.text());
    drop(uploading);
    origin.await_all_ended();
    assert_eq!(proxy.visitor().get("/").text(), "ok");
    assert_eq!(origin.connections(), 3, "no connection was used again");
}

#[test]
fn an_upload_that_breaks_off_never_looks_whole_to_the_site() {
    let origin = RawOrigin::start(Connection::await_end);
    let proxy = before(&origin);
    let mut visitor = Connection::to(proxy.address());
    visitor
        .send("POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n8\r\nbrok")
        .unwrap();
    crate::support::await_fact(|| origin.text().contains("half").then_some(()), || origin.text());
    drop(visitor);
    origin.await_all_ended();
    assert!(!origin.text().contains("\r\n0\r\n"), "the site saw the end of a body: {}", origin.text());
}

#[test]
fn a_body_that_the_site_breaks_off_never_looks_whole_to_the_visitor() {
    for (answer, framing) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Framing::Length(10)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", Framing::Chunked),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", Framing::Chunked),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n", Framing::Chunked),
    ] {
        let origin = RawOrigin::start(move |visitor| {
            visitor.head()?;
            visitor.send(answer)
        });
        let proxy = before(&origin);
        // A failure before the first byte of the body has reached the visitor may be told instead.
        let Ok(seen) = proxy.visitor().try_request("GET", "/", &[], "") else { continue };
        assert!(seen.status >= 500 || !seen.is_complete(), "{answer:?} became {seen:?}");
        if seen.status == 200 {
            assert_eq!(seen.framing, framing);
        }
    }
}

#[test]
fn answers_without_bodies_leave_the_connections_in_step() {
    let origin = RawOrigin::start(|visitor| {
        while let Some(head) = visitor.head()? {
            let status = head.split(['/', ' ']).nth(2).unwrap_or_default().to_owned();
            match status.as_str() {
                "204" => visitor.send("HTTP/1.1 204 No Content\r\n\r\n")?,
                "304" => visitor.send("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 100\r\n\r\n")?,
                "length" => visitor.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")?,
                "chunked" => visitor.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?,
                _ => visitor.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?,
            }
        }
        Ok(())
    });
    let proxy = before(&origin);
    let mut visitor = proxy.visitor().on_one_connection();
    for _ in 0..5 {
        assert_eq!(visitor.get("/204").status, 204);
        assert_eq!(visitor.get("/304").status, 304);
        assert_eq!(visitor.head("/length").header("content-length"), Some("100"));
        assert_eq!(visitor.head("/chunked").status, 200);
        assert_eq!(visitor.get("/page").text(), "ok", "the next answer was swallowed");
    }
    assert_eq!(origin.connections(), 1, "all over one connection to the site");
}

#[test]
fn connections_are_reused_until_one_side_says_close() {
    let origin = RawOrigin::start(|visitor| {
        while let Some(head) = visitor.head()? {
            let closes = head.starts_with("GET /close ");
            visitor.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{}\r\nok",
                if closes { "Connection: close\r\n" } else { "" }
            ))?;
            if closes {
                return Ok(());
            }
        }
        Ok(())
    });
    let proxy = before(&origin);
    let mut visitor = proxy.visitor().on_one_connection();
    for _ in 0..100 {
        assert_eq!(visitor.get("/").header("connection"), Some("keep-alive"));
    }
    assert_eq!(origin.connections(), 1, "100 requests of one visitor");
    for _ in 0..20 {
        let answer = proxy.visitor().sending("Connection", "close").get("/");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_eq!(origin.connections(), 1, "what a visitor says about his connection is not the site's");
    for count in 1..=5 {
        let answer = visitor.get("/close");
        assert_eq!(answer.header("connection"), Some("keep-alive"), "and the other way round");
        assert_eq!(origin.connections(), count);
    }
}

#[test]
fn a_conversion_is_accounted_for_however_its_page_streams() {
    let (site, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let origin = RawOrigin::start(|visitor| {
        while let Some(head) = visitor.head()? {
            if head.starts_with("GET /thank-you/cut") {
                // Its end never comes.
                return visitor.send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\n<body>");
            }
            visitor.send(
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\
                 Transfer-Encoding: chunked\r\n\r\n6\r\n<body>\r\n7\r\n</body>\r\n0\r\nX-Sum: 1\r\n\r\n",
            )?;
        }
        Ok(())
    });
    let configuration = shop(&site, &network).replace(&site.address().to_string(), &origin.address().to_string());
    let proxy = Proxy::with(&configuration).start();
    for (number, order) in ["whole1", "cut1", "whole2", "cut2"].into_iter().enumerate() {
        let mut visitor = proxy.visitor();
        visitor.lands(&format!("/?exotracker=click{number}"));
        let page = visitor.try_request("GET", &THANKS.replace("1001", order), &[], "");
        assert_eq!(page.is_ok_and(|page| page.is_complete()), order.starts_with("whole"), "{order}");
    }
    // A page that breaks off after its head has still been answered with success.
    proxy.await_metric("throughline_conversions_total", &[("outcome", "queued")], 4);
    assert_accounts(&proxy);
}

#[test]
fn a_page_ends_where_it_ends_for_the_next_request_of_the_same_visitor() {
    let origin = Origin::start().route("/chunks", Response::html("a".repeat(5000)).chunked(7));
    let proxy = Proxy::with(&format!("sites:\n  - upstream: \"http://{}\"\n", origin.address())).start();
    let mut visitor = Connection::to(proxy.address());
    for _ in 0..20 {
        visitor.send(GET.replace("/page", "/chunks")).unwrap();
        let mut stream = io::BufReader::new(visitor.stream().try_clone().unwrap());
        let head = Head::read(&mut stream).unwrap().unwrap();
        let body = Body::read(&mut stream, head.answer_framing(200, "GET"));
        assert_eq!((body.bytes.len(), body.ending), (5000, Ending::Complete));
    }
}
