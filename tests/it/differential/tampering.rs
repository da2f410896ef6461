//! The comparison itself: a proxy that does any harm is caught, one that does none is not.

use std::{
    io::{self, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use super::{
    cases::{self, Case},
    expected::{Mode, insertion},
    road::{differences, exchange, start_site},
};
use crate::support::{
    SOCKET_TIMEOUT,
    http::{Body, Head, latin1},
    tls::{ANYWHERE, Issued},
    twin::{Client, Transport},
};

/// What a bad proxy does to the head and the body that pass.
type Harm = fn(&mut String, &mut Vec<u8>);

/// What the comparison finds when a proxy does this.
fn found(case: &str, mode: Mode, asking: Harm, answering: Harm) -> Vec<String> {
    let (identity, cases) = (Arc::new(Issued::to(&ANYWHERE)), cases::all());
    let case = cases.iter().find(|found| found.name == case).expect("a case of this name");
    let site = start_site(Transport::HTTP1, &identity, std::slice::from_ref(case));
    let go = |case: &Case, address: SocketAddr, fetch: &str| {
        exchange(case, mode, fetch, &site, &mut Client::new(Transport::HTTP1, address, &identity))
    };
    let direct = go(case, site.address(), "direct-0");
    let proxied = go(case, relay(site.address(), asking, answering), "proxied-0");
    let aspects = differences(case, mode, None, &direct, &proxied).into_iter().map(|difference| difference.aspect);
    aspects.collect()
}

/// A proxy for one connection.
fn relay(site: SocketAddr, asking: Harm, answering: Harm) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (visitor, _) = listener.accept()?;
        visitor.set_read_timeout(Some(SOCKET_TIMEOUT))?;
        let mut visitor = BufReader::new(visitor);
        let head = Head::read(&mut visitor)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let body = Body::read(&mut visitor, head.request_framing()).bytes;
        let mut site = BufReader::new(TcpStream::connect(site)?);
        send(site.get_mut(), &head, body, asking)?;
        let head = Head::read(&mut site)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.start.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let body = Body::read(&mut site, head.answer_framing(status, "GET")).bytes;
        send(visitor.get_mut(), &head, body, answering)
    });
    address
}

fn send(to: &mut TcpStream, head: &Head, mut body: Vec<u8>, harm: Harm) -> io::Result<()> {
    let mut head = latin1(&head.raw);
    harm(&mut head, &mut body);
    to.write_all(head.as_bytes())?;
    to.write_all(&body)
}

const NONE: Harm = |_, _| {};

fn replace(head: &mut String, old: &str, new: &str) {
    assert!(head.contains(old), "{old:?} in {head:?}");
    *head = head.replacen(old, new, 1);
}

/// Says the length that the body has now.
fn say_length(head: &mut String, body: &[u8]) {
    let mut lines: Vec<String> = head.split_inclusive("\r\n").map(str::to_owned).collect();
    let line = lines.iter_mut().find(|line| line.starts_with("Content-Length")).expect("a length");
    *line = format!("Content-Length: {}\r\n", body.len());
    *head = lines.concat();
}

#[test]
fn a_proxy_that_changes_nothing_differs_in_nothing() {
    for case in ["five cookies", "a form", "JSON", "every byte value in a page", "304 with validators"] {
        assert_eq!(found(case, Mode::Passing, NONE, NONE), [""; 0], "{case}");
    }
}

#[test]
fn every_harm_to_an_answer_is_found() {
    let harms: [(&str, Harm, &[&str]); 15] = [
        ("one bit", |_, body| body[20] ^= 1, &["body"]),
        ("the last byte", |_, body| *body.last_mut().unwrap() = b' ', &["body"]),
        ("cut short", |_, body| body.truncate(40), &["ended", "body"]),
        (
            "cut short, and says so",
            |head, body| {
                body.truncate(40);
                say_length(head, body);
            },
            &["body", "header content-length"],
        ),
        (
            "a byte more",
            |head, body| {
                body.push(b'\n');
                say_length(head, body);
            },
            &["body", "header content-length"],
        ),
        ("a header lost", |head, _| replace(head, "Set-Cookie: PHPSESSID=abc; path=/\r\n", ""), &["header set-cookie"]),
        (
            "cookies in another order",
            |head, _| {
                replace(head, "PHPSESSID=abc; path=/\r\n", "swap\r\n");
                replace(head, "c=; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0\r\n", "PHPSESSID=abc; path=/\r\n");
                replace(head, "swap\r\n", "c=; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0\r\n");
            },
            &["header set-cookie"],
        ),
        (
            "cookies in one line",
            |head, _| replace(head, "; path=/\r\nSet-Cookie: b=2", "; path=/, b=2"),
            &["header set-cookie"],
        ),
        (
            "an attribute in another case",
            |head, _| replace(head, "SameSite=None", "samesite=none"),
            &["header set-cookie"],
        ),
        ("a quote lost", |head, _| replace(head, "\"a b, c\"", "a b, c"), &["header set-cookie"]),
        ("a header more", |head, _| replace(head, "\r\n", "\r\nVia: 1.1 proxy\r\n"), &["header via"]),
        ("another type", |head, _| replace(head, "charset=utf-8", "charset=UTF-8"), &["header content-type"]),
        ("another status", |head, _| replace(head, " 200 ", " 203 "), &["status"]),
        ("another reason", |head, _| replace(head, "Scripted", "OK"), &["reason"]),
        (
            "chunked without an end",
            |head, body| {
                replace(head, "Content-Length: 91", "Transfer-Encoding: chunked");
                *body = [b"5b\r\n", body.as_slice(), b"\r\n"].concat();
            },
            &["ended", "header content-length"],
        ),
    ];
    for (name, harm, aspects) in harms {
        assert_eq!(found("five cookies", Mode::Passing, NONE, harm), aspects, "{name}");
    }
}

#[test]
fn every_harm_to_a_request_is_found() {
    let harms: [(&str, Harm, &[&str]); 6] = [
        ("another method", |head, _| replace(head, "POST", "PUT"), &["asked: method"]),
        ("another target", |head, _| replace(head, "/form", "/form/"), &["asked: target"]),
        ("a header lost", |head, _| replace(head, "Accept-Language: en\r\n", ""), &["asked: header accept-language"]),
        (
            "a header more",
            |head, _| replace(head, "\r\n", "\r\nX-Real-IP: 127.0.0.1\r\n"),
            &["asked: header x-real-ip"],
        ),
        ("another value", |head, _| replace(head, "gzip, deflate", "gzip"), &["asked: header accept-encoding"]),
        ("another body", |_, body| body[0] ^= 1, &["body", "asked: body"]),
    ];
    for (name, harm, aspects) in harms {
        assert_eq!(found("a form", Mode::Passing, harm, NONE), aspects, "{name}");
    }
}

#[test]
fn a_proxy_that_does_less_or_more_than_it_may_is_found() {
    let edit: Harm = |head, body| {
        replace(
            head,
            "Content-Length: 91\r\n",
            "Cache-Control: private, no-cache\r\nSurrogate-Control: no-store\r\nCDN-Cache-Control: no-store\r\nConnection: close\r\n",
        );
        let at = body.len() - "</body></html>\n".len();
        body.splice(at..at, insertion());
    };
    let twice: Harm = |head, body| {
        replace(
            head,
            "Content-Length: 91\r\n",
            "Cache-Control: private, no-cache\r\nSurrogate-Control: no-store\r\nCDN-Cache-Control: no-store\r\nConnection: close\r\n",
        );
        body.splice(10..10, insertion());
        body.extend(insertion());
    };
    let elsewhere: Harm = |head, body| {
        replace(
            head,
            "Content-Length: 91\r\n",
            "Cache-Control: private, no-cache\r\nSurrogate-Control: no-store\r\nCDN-Cache-Control: no-store\r\nConnection: close\r\n",
        );
        body.extend(insertion());
        body[3] = b'x';
    };
    let convert = |harm| found("status 200", Mode::Converting, NONE, harm);
    // The relay sends what browsers accept; the site would have been asked for a plain page.
    assert_eq!(convert(edit), ["asked: header accept-encoding"]);
    assert_eq!(convert(twice), ["body", "asked: header accept-encoding"]);
    assert_eq!(convert(elsewhere), ["body", "asked: header accept-encoding"]);
    assert!(convert(NONE).contains(&"body".to_owned()), "no pixels");
    let land = |harm| found("status 200", Mode::Landing, NONE, harm);
    assert!(land(NONE).contains(&"header set-cookie".to_owned()), "no cookie");
    let theirs: Harm = |head, _| replace(head, "\r\n", "\r\nSet-Cookie: _exoclick_cid=abc123; Path=/\r\n");
    assert!(land(theirs).contains(&"header set-cookie".to_owned()), "a cookie with other attributes");
    let json = |harm| found("JSON", Mode::Converting, NONE, harm);
    let into_json: Harm = |head, body| {
        body.extend(insertion());
        say_length(head, body);
    };
    assert_eq!(json(into_json), ["body", "header content-length", "asked: header accept-encoding"]);
}
