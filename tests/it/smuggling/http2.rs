//! HTTP/2 as bytes, so that a visitor can say what no library would let him say.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::corpus::Expected::{self, Either, Passed, Refused};
use crate::support::SOCKET_TIMEOUT;

/// A request in HTTP/2: its fields as they stand, and perhaps a body.
pub(super) struct Http2Case {
    pub(super) name: &'static str,
    /// `name=value` each, `§` for the path of the case; what is not said is `GET §`, `http`, `shop.example`.
    pub(super) fields: &'static [&'static str],
    pub(super) body: Option<&'static str>,
    pub(super) trailers: &'static [&'static str],
    pub(super) expected: Expected,
    /// Method and target that the site may see.
    pub(super) seen: &'static str,
}

const fn get(name: &'static str, expected: Expected, fields: &'static [&'static str]) -> Http2Case {
    Http2Case { name, fields, body: None, trailers: &[], expected, seen: "GET §" }
}

const fn post(
    name: &'static str,
    expected: Expected,
    fields: &'static [&'static str],
    body: &'static str,
) -> Http2Case {
    Http2Case { name, fields, body: Some(body), trailers: &[], expected, seen: "POST §" }
}

const POST: &str = ":method=POST";
const SMUGGLED: &str = "GET §smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n";

#[rustfmt::skip]
pub(super) const CORPUS: &[Http2Case] = &[
    get("no body", Passed, &[]),
    post("a body", Passed, &[POST], SMUGGLED),
    post("a body of known length", Passed, &[POST, "content-length=3"], "abc"),
    post("Transfer-Encoding", Refused, &[POST, "transfer-encoding=chunked"], "0\r\n\r\nGET §smuggled HTTP/1.1\r\nX: "),
    post("Transfer-Encoding and Content-Length", Refused, &[POST, "content-length=60", "transfer-encoding=chunked"], "0\r\n\r\nGET §smuggled HTTP/1.1\r\nX: "),
    post("Content-Length 0 and a body", Either, &[POST, "content-length=0"], SMUGGLED),
    post("Content-Length too small", Refused, &[POST, "content-length=4"], "abcdGET §smuggled HTTP/1.1\r\n\r\n"),
    post("Content-Length too large", Refused, &[POST, "content-length=1000"], "abc"),
    post("Content-Length twice, differing", Refused, &[POST, "content-length=3", "content-length=30"], "abc"),
    post("Content-Length twice, the same", Either, &[POST, "content-length=3", "content-length=3"], "abc"),
    post("Content-Length +3", Refused, &[POST, "content-length=+3"], "abc"),
    post("Content-Length 3, 3", Either, &[POST, "content-length=3, 3"], "abc"),
    get("Connection", Refused, &["connection=keep-alive"]),
    get("Connection names Host", Refused, &["connection=host"]),
    get("Proxy-Connection", Refused, &["proxy-connection=keep-alive"]),
    get("Keep-Alive", Refused, &["keep-alive=timeout=5"]),
    get("Upgrade", Refused, &["upgrade=websocket"]),
    get("TE gzip", Refused, &["te=gzip"]),
    get("CR LF in a value", Refused, &["x=a\r\nTransfer-Encoding: chunked"]),
    get("two CR LF in a value", Refused, &["x=a\r\n\r\nGET §smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n"]),
    get("LF in a value", Refused, &["x=a\nb: c"]),
    get("CR in a value", Refused, &["x=a\rb: c"]),
    get("NUL in a value", Refused, &["x=a\0b"]),
    get("CR LF in a name", Refused, &["x: a\r\ny=b"]),
    get("a colon in a name", Refused, &["x:y=b"]),
    get("a space in a name", Refused, &["x y=b"]),
    get("a capital in a name", Refused, &["X-Y=b"]),
    get("an empty name", Refused, &["=b"]),
    get("a request in the path", Refused, &[":path=§ HTTP/1.1\r\nHost: shop.example\r\n\r\nGET §smuggled"]),
    get("CR LF in the path", Refused, &[":path=§\r\nX: y"]),
    get("a version in the path", Refused, &[":path=§ HTTP/1.1"]),
    get("a space in the path", Refused, &[":path=§ x"]),
    get("a tab in the path", Refused, &[":path=§\tx"]),
    get("NUL in the path", Refused, &[":path=§\0x"]),
    get("no path", Refused, &[":path"]),
    get("an empty path", Refused, &[":path="]),
    get("a path without a slash", Refused, &[":path=x§"]),
    get("another site as the path", Refused, &[":path=http://other.example§"]),
    get("the path twice", Refused, &[":path=§", ":path=§smuggled"]),
    get("CR LF in the method", Refused, &[":method=GET / HTTP/1.1\r\nX: y\r\n\r\nGET"]),
    get("a space in the method", Refused, &[":method=GET §smuggled HTTP/1.1"]),
    get("an empty method", Refused, &[":method="]),
    get("the method twice", Refused, &[":method=GET", ":method=POST"]),
    get("CR LF in the authority", Refused, &[":authority=shop.example\r\nX: y"]),
    get("a space in the authority", Refused, &[":authority=shop.example x"]),
    get("a path in the authority", Refused, &[":authority=shop.example/x"]),
    get("a user in the authority", Refused, &[":authority=a@shop.example"]),
    get("the authority twice", Refused, &[":authority=shop.example", ":authority=other.example"]),
    get("an authority and another Host", Refused, &[":authority=shop.example", "host=other.example"]),
    get("an authority and the same Host", Either, &[":authority=shop.example", "host=shop.example"]),
    get("Host twice", Refused, &[":authority", "host=shop.example", "host=other.example"]),
    get("neither authority nor Host", Refused, &[":authority"]),
    get("a foreign scheme", Either, &[":scheme=gopher"]),
    get("CR LF in the scheme", Refused, &[":scheme=http\r\nX: y"]),
    get("a pseudo-field of its own", Refused, &[":smuggled=x"]),
    get("an answer's pseudo-field", Refused, &[":status=200"]),
    get("CONNECT", Refused, &[":method=CONNECT", ":path", ":scheme"]),
    Http2Case { trailers: &["content-length=100"], ..post("a length as trailer", Either, &[POST], "abc") },
    Http2Case { trailers: &["transfer-encoding=chunked"], ..post("chunks as trailer", Either, &[POST], "abc") },
    Http2Case { trailers: &[":path=§smuggled"], ..post("a path as trailer", Either, &[POST], "abc") },
];

/// Sends a request and yields whether it was answered with success.
pub(super) fn send(to: SocketAddr, case: &Http2Case, path: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SOCKET_TIMEOUT))?;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    let has_trailers = !case.trailers.is_empty();
    let ends = if case.body.is_none() { END_STREAM } else { 0 };
    bytes.extend(frame(HEADERS, END_HEADERS | ends, 1, &block(&complete(case), path)));
    if let Some(body) = case.body {
        let ends = if has_trailers { 0 } else { END_STREAM };
        bytes.extend(frame(DATA, ends, 1, body.replace('§', path).as_bytes()));
    }
    if has_trailers {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(case.trailers, path)));
    }
    stream.write_all(&bytes)?;
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).is_err() {
            return Ok(false);
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        match head[3] {
            HEADERS => return Ok(payload.first() == Some(&STATUS_200)),
            RST_STREAM | GOAWAY => return Ok(false),
            SETTINGS if head[4] & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            _ => {}
        }
    }
}

/// The pseudo-fields that a case does not name itself, and then its own; `:name` alone leaves one out.
fn complete(case: &Http2Case) -> Vec<&'static str> {
    let usual = [":method=GET", ":scheme=http", ":authority=shop.example", ":path=§"];
    let is_named = |field: &str| {
        let name = field.split('=').next();
        case.fields.iter().any(|own| own.split('=').next() == name)
    };
    let own = case.fields.iter().copied().filter(|field| field.contains('='));
    let (pseudo, plain): (Vec<_>, Vec<_>) = own.partition(|field| field.starts_with(':'));
    usual.into_iter().filter(|field| !is_named(field)).chain(pseudo).chain(plain).collect()
}

/// Fields as literals without indexing (RFC 7541 section 6.2.2).
fn block(fields: &[&str], path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for field in fields {
        let (name, value) = field.split_once('=').unwrap();
        block.push(0);
        for text in [name.to_owned(), value.replace('§', path)] {
            push_length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of 7 bits (RFC 7541 section 5.1).
fn push_length(block: &mut Vec<u8>, length: usize) {
    match length.checked_sub(127) {
        None => block.push(u8::try_from(length).unwrap()),
        Some(rest) => block.extend([127, u8::try_from(rest).expect("short texts")]),
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

// RFC 9113 section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` of the static table (RFC 7541 appendix A).
const STATUS_200: u8 = 0x88;
