//! Answers before the answer, and those who know none: `Expect`, 1xx and HTTP/1.0.

use super::{before, site};
use crate::support::{
    http::{Framing, latin1},
    origin::Origin,
    proxy::Proxy,
    raw_origin::{Connection, RawOrigin},
    response::Response,
};

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
    let proxy = Proxy::with(&site(&origin)).start();
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
    let proxy = Proxy::with(&site(&origin)).start();
    let mut visitor = proxy.visitor().on_one_connection();
    for _ in 0..3 {
        let answer = visitor.get("/old");
        assert_eq!((answer.framing, answer.text().as_str()), (Framing::Chunked, "page"));
    }
}
