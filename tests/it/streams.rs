//! Bodies on their way: when they arrive, how they end, and what stays of both connections.

mod endings;
mod interim;
mod timing;

use std::io;

use crate::support::{
    accounting::assert_accounts,
    config::{THANKS, shop},
    http::{Body, Ending, Head, latin1},
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    raw_origin::{Connection, RawOrigin},
    response::Response,
};

const GET: &str = "GET /page HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// The least configuration before an origin.
fn site(origin: &Origin) -> String {
    format!("sites:\n  - upstream: \"http://{}\"\n", origin.address())
}

/// A proxy before a site that is a script.
fn before(origin: &RawOrigin) -> Proxy {
    Proxy::with(&origin.site()).start()
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::start().page("/1", "one").page("/2", "two").page("/3", "three");
    let proxy = Proxy::with(&site(&origin)).start();
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
    let proxy = Proxy::with(&site(&origin)).start();
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
    let proxy = Proxy::with(&site(&origin)).start();
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
    let proxy = Proxy::with(&site(&origin)).start();
    let mut visitor = Connection::to(proxy.address());
    for _ in 0..20 {
        visitor.send(GET.replace("/page", "/chunks")).unwrap();
        let mut stream = io::BufReader::new(visitor.stream().try_clone().unwrap());
        let head = Head::read(&mut stream).unwrap().unwrap();
        let body = Body::read(&mut stream, head.answer_framing(200, "GET"));
        assert_eq!((body.bytes.len(), body.ending), (5000, Ending::Complete));
    }
}
