//! Bodies that end otherwise than announced, and the connections that they leave.

use super::{GET, before};
use crate::support::{
    await_fact,
    http::{Framing, latin1},
    raw_origin::{Connection, RawOrigin},
};

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
    await_fact(|| origin.text().contains("half").then_some(()), || origin.text());
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
    await_fact(|| origin.text().contains("half").then_some(()), || origin.text());
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
