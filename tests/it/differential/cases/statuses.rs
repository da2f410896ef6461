//! Every status, with and without what belongs to it.

use super::{Case, PAGE};
use crate::support::twin::{Reply, reply::Framing};

pub(super) fn cases() -> Vec<Case> {
    let plain = [
        400, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 417, 418, 421, 422, 423, 424, 425, 426,
        428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511, 208, 226, 300, 305, 306, 299, 499,
        599, 600, 999,
    ];
    let mut cases: Vec<Case> =
        plain.iter().map(|&status| Case::get(&format!("status {status}"), Reply::html(PAGE).status(status))).collect();
    for status in [200, 201, 202, 203] {
        cases.push(Case::get(&format!("status {status}"), Reply::html(PAGE).status(status)).page());
    }
    for status in [301, 302, 303, 307, 308] {
        let reply = Reply::html(PAGE).status(status).header("Location", "/elsewhere?a=b#c");
        cases.push(Case::get(&format!("status {status}"), reply));
    }
    let dav = "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\"/>";
    cases.extend([
        Case::get("204 without anything", Reply::new(204)),
        Case::get("204 with headers", Reply::new(204).header("ETag", "\"1\"").header("X-A", "1")),
        Case::get("205 without a body", Reply::new(205)),
        Case::get("206 of a page", part("text/html").body("<body>")),
        Case::get(
            "206 of a video",
            part("video/mp4").body([0xff; 6]).header("Accept-Ranges", "bytes").header("ETag", "\"v\""),
        ),
        Case::get("206 of several parts", Reply::typed("multipart/byteranges; boundary=B", RANGES).status(206)),
        Case::get("207 of WebDAV", Reply::typed("application/xml", dav).status(207)),
        Case::get("304 without validators", Reply::new(304)),
        Case::get(
            "304 with validators",
            Reply::new(304)
                .header("ETag", "W/\"abc\"")
                .header("Last-Modified", DATE)
                .header("Cache-Control", "public, max-age=60")
                .header("Vary", "Accept-Encoding"),
        ),
        Case::get("304 that says the length of its page", Reply::new(304).header("Content-Length", "1234")),
        Case::get("401 that asks for a password", challenge(401, "WWW-Authenticate")),
        Case::get("407 that asks for a password", challenge(407, "Proxy-Authenticate")).only_http1_origin(),
        Case::get("405 with Allow", Reply::html(PAGE).status(405).header("Allow", "GET, HEAD")),
        Case::get("416", Reply::new(416).header("Content-Range", "bytes */47022")),
        Case::get("429 with Retry-After", Reply::html(PAGE).status(429).header("Retry-After", "120")),
        Case::get("503 with Retry-After", Reply::html(PAGE).status(503).header("Retry-After", DATE)),
        Case::get("no reason phrase", Reply::html(PAGE).reason(" ")).page().only_http1_origin(),
        Case::get("no reason phrase, nor its space", Reply::html(PAGE).reason("")).page().only_http1_origin(),
        Case::get("an odd reason phrase", Reply::html(PAGE).reason(" Tr\u{e8}s  bien; (ok) \"so\""))
            .page()
            .only_http1_origin(),
        Case::get("a long reason phrase", Reply::html(PAGE).reason(&format!(" {}", "x".repeat(900))))
            .page()
            .only_http1_origin(),
        Case::get("a page of HTTP/1.0", Reply::html(PAGE).http10()).page().only_http1_origin(),
        Case::get("a page of HTTP/1.0 with its length", with_length(Reply::html(PAGE).http10()))
            .page()
            .only_http1_origin(),
        Case::get("a 404 of HTTP/1.0", Reply::html(PAGE).status(404).http10()).only_http1_origin(),
        Case::get("early hints", Reply::html(PAGE).after(103, &[("Link", "</a.css>; rel=preload; as=style")])).page(),
        Case::get(
            "early hints twice",
            Reply::html(PAGE).after(103, &[("Link", "</a.css>; rel=preload")]).after(103, &[("Link", "</b.js>")]),
        )
        .page(),
        Case::get("102 first", Reply::html(PAGE).after(102, &[])).page(),
        Case::get("early hints of a 304", Reply::new(304).after(103, &[("Link", "</a.css>")])),
    ]);
    cases
}

fn part(content_type: &str) -> Reply {
    Reply::typed(content_type, "").status(206).header("Content-Range", "bytes 0-5/47022")
}

fn challenge(status: u16, name: &str) -> Reply {
    Reply::html(PAGE)
        .status(status)
        .header(name, "Basic realm=\"a, b\", charset=\"UTF-8\"")
        .header(name, "Digest realm=\"x\", nonce=\"1\", qop=\"auth,auth-int\"")
        .header(name, "Negotiate")
}

fn with_length(reply: Reply) -> Reply {
    reply.header("Content-Length", &PAGE.len().to_string()).framing(Framing::Unsaid).header("Connection", "close")
}

const DATE: &str = "Sat, 21 Nov 2026 08:49:37 GMT";
const RANGES: &str = "--B\r\nContent-Type: text/html\r\nContent-Range: bytes 0-2/9\r\n\r\n<p>\r\n--B\r\nContent-Type: text/html\r\nContent-Range: bytes 6-8/9\r\n\r\n</p\r\n--B--\r\n";
