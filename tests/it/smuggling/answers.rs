//! The same in the other direction: answers that could be read in two ways.

use std::{io::BufReader, time::Duration};

use crate::support::{
    http::{Body, Framing, Head},
    proxy::Proxy,
    raw_origin::{Connection, RawOrigin},
};

const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// What a site answers, `|` for CR LF.
const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK|Content-Length: 3|Transfer-Encoding: chunked||3|abc|0||",
    "HTTP/1.1 200 OK|Transfer-Encoding: chunked|Content-Length: 3||3|abc|0||",
    "HTTP/1.1 200 OK|Content-Length: 3|Content-Length: 5||abcde",
    "HTTP/1.1 200 OK|Content-Length: 3|Content-Length: 3||abc",
    "HTTP/1.1 200 OK|Content-Length: 3, 3||abc",
    "HTTP/1.1 200 OK|Content-Length: +3||abc",
    "HTTP/1.1 200 OK|Content-Length: -3||abc",
    "HTTP/1.1 200 OK|Content-Length: three||abc",
    "HTTP/1.1 200 OK|Content-Length: 99999999999999999999999||abc",
    "HTTP/1.1 200 OK|Content-Length : 3||abc",
    "HTTP/1.1 200 OK|Content-Length:| 3||abc",
    "HTTP/1.1 200 OK|X: a| b|Content-Length: 3||abc",
    "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    "HTTP/1.1 200 OK|X: a\rContent-Length: 5|Content-Length: 3||abc",
    "HTTP/1.1 200 OK|X: a\0b|Content-Length: 3||abc",
    "HTTP/1.1 200 OK|Transfer-Encoding: identity|Content-Length: 3||abc",
    "HTTP/1.0 200 OK|Transfer-Encoding: chunked||3|abc|0||",
    "HTTP/1.1 200 OK|Transfer-Encoding: chunked||3|abcdef|0||",
    "HTTP/1.1 200 OK|Transfer-Encoding: chunked||xyz|abc|0||",
    "HTTP/1.1 200 OK|Transfer-Encoding: chunked||fffffffffffffffff|abc|0||",
    "HTTP/1.1 204 No Content|Content-Length: 3||abc",
    "HTTP/1.1 304 Not Modified|Content-Length: 3||abc",
    "HTTP/1.1 99 Odd|Content-Length: 3||abc",
    "HTTP/2.0 200 OK|Content-Length: 3||abc",
    "ICY 200 OK|Content-Length: 3||abc",
    "nonsense||",
];

#[test]
fn no_answer_is_taken_for_a_part_of_another_one() {
    let origin = RawOrigin::start(|visitor| {
        while let Some(head) = visitor.head()? {
            let number =
                head.strip_prefix("GET /answer").and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
            match number {
                // What follows belongs to nobody: a site that has lost step, or worse.
                Some(number) => visitor.send(ANSWERS[number].replace('|', "\r\n") + EVIL)?,
                None => visitor.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")?,
            }
        }
        Ok(())
    });
    let proxy = Proxy::with(&origin.site()).start();
    for (number, answer) in ANSWERS.iter().enumerate() {
        let mut visitor = Connection::to(proxy.address());
        visitor.send(format!("GET /answer{number} HTTP/1.1\r\nHost: shop.example\r\n\r\n")).unwrap();
        // A body that has no end must not keep the test waiting for it.
        visitor.stream().set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut stream = BufReader::new(visitor.stream().try_clone().unwrap());
        let head = Head::read(&mut stream).unwrap().unwrap_or_else(|| panic!("{answer}: no answer"));
        for (name, most) in [("content-length", 1), ("transfer-encoding", 1)] {
            assert!(head.headers.all(name).len() <= most, "{answer}: {:?}", head.headers);
        }
        let status: u16 = head.start.split(' ').nth(1).unwrap().parse().unwrap();
        let framing = head.answer_framing(status, "GET");
        let body = Body::read(&mut stream, framing);
        // A body that is said to end with the connection may hold whatever came on it.
        let is_whole = framing != Framing::UntilClose && head.headers.get("connection") != Some("close");
        if is_whole {
            assert!(!body.bytes.windows(4).any(|it| it == b"evil"), "{answer}: {body:?}");
            if visitor.send("GET /next HTTP/1.1\r\nHost: shop.example\r\n\r\n").is_ok()
                && let Ok(Some(head)) = Head::read(&mut stream)
            {
                let next = Body::read(&mut stream, head.answer_framing(200, "GET"));
                assert_eq!(next.bytes, b"next", "{answer}: the same visitor got another answer");
            }
        }
        let other = proxy.visitor().get("/next");
        assert_eq!(other.text(), "next", "{answer}: another visitor got another answer");
    }
}
