//! Pages as they are found in the wild: in odd types and charsets, framed, fetched by scripts.

use std::{
    io::{BufReader, Write},
    net::TcpStream,
};

use flate2::{Compression, Decompress, FlushDecompress, Status, write::GzEncoder};

use crate::support::{
    accounting::assert_accounts,
    config::{THANKS, shop},
    http::{Framing, Head},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
    visitor::Answer,
};

mod compressed;
mod damaged;
mod streamed;

/// A page of 24 KB, and the same as Node.js 20 compresses it with brotli.
const ORDER: &str = include_str!("../data/pages/order.html");
const ORDER_BR: &[u8] = include_bytes!("../data/pages/order.html.br");

const PATH: &str = "/thank-you/1001";
const INJECTIONS: &str = "throughline_injections_total";

fn start(response: Response) -> (Origin, Proxy) {
    let origin = Origin::start().route(PATH, response);
    let proxy = Proxy::with(&shop(&origin, &AdNetwork::answering(["OK"]))).start();
    (origin, proxy)
}

fn gzip(page: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(page).unwrap();
    encoder.finish().unwrap()
}

fn zstd(page: &[u8]) -> Vec<u8> {
    zstd::encode_all(page, 3).unwrap()
}

/// [`ORDER`] in every coding that is undone.
fn orders() -> [(&'static str, Vec<u8>); 4] {
    let page = ORDER.as_bytes();
    [("gzip", gzip(page)), ("X-Gzip", gzip(page)), ("br", ORDER_BR.into()), ("zstd", zstd(page))]
}

fn encoded(coding: &str, body: impl AsRef<[u8]>) -> Response {
    Response::html(body).header("Content-Encoding", coding)
}

/// What a gzip stream holds, and whether it is whole.
fn gunzipped(mut stream: &[u8]) -> (String, bool) {
    let (mut page, mut room) = (Vec::new(), [0; 1024]);
    let mut decoder = Decompress::new_gzip(15);
    loop {
        let (taken, given) = (decoder.total_in(), decoder.total_out());
        let status = decoder.decompress(stream, &mut room, FlushDecompress::None);
        stream = &stream[usize::try_from(decoder.total_in() - taken).unwrap()..];
        let given = usize::try_from(decoder.total_out() - given).unwrap();
        page.extend_from_slice(&room[..given]);
        let is_whole = matches!(status, Ok(Status::StreamEnd));
        if is_whole || status.is_err() || (stream.is_empty() && given < room.len()) {
            return (String::from_utf8(page).unwrap(), is_whole && stream.is_empty());
        }
    }
}

/// The page without its one insertion, which must be there.
fn without_pixels(answer: &Answer) -> String {
    let page = if answer.header("content-encoding") == Some("gzip") {
        let (page, is_whole) = gunzipped(&answer.body);
        assert!(is_whole, "not all of {page}");
        page
    } else {
        answer.text()
    };
    let first = page.find("<img").unwrap_or_else(|| panic!("no pixel in {page}"));
    let last = page.rfind("<img").unwrap();
    let end = last + page[last..].find('>').unwrap() + 1;
    assert_eq!(page[first..end].matches("<img").count(), 11);
    format!("{}{}", &page[..first], &page[end..])
}

fn await_result(proxy: &Proxy, result: &str) {
    proxy.await_metric(INJECTIONS, &[("result", result)], 1);
    proxy.await_metric(INJECTIONS, &[], 1);
}

#[test]
fn a_site_that_speaks_http_1_0_does_not_speak_for_the_proxy() {
    // Browsers decode no chunks behind `HTTP/1.0`, they show them.
    for page in [Response::html(PAGE).http10(), encoded("gzip", gzip(PAGE.as_bytes())).http10()] {
        let (origin, proxy) = start(page);
        origin.change("/", Response::html(PAGE).http10());
        for target in ["/", THANKS] {
            let mut stream = TcpStream::connect(proxy.address()).unwrap();
            write!(stream, "GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
            let head = Head::read(&mut BufReader::new(stream)).unwrap().unwrap();
            assert!(head.start.starts_with("HTTP/1.1 200 "), "{target}: {}", head.start);
        }
        let answer = proxy.visitor().get("/thank-you/1001");
        assert_eq!((answer.status, proxy.visitor().get("/").text()), (200, PAGE.to_owned()));
    }
}

#[test]
fn pages_that_can_hold_no_image_pass_byte_for_byte_and_are_counted() {
    let utf16: Vec<u8> = "\u{feff}<html><body>x</body></html>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let html = "text/html";
    let xhtml = "application/xhtml+xml";
    let cases: [(&str, &[u8], &str); 12] = [
        (html, &utf16, "charset"),
        ("text/html; charset=utf-16", &utf16, "charset"),
        ("text/html; charset=iso-2022-jp", b"<body>x</body>", "charset"),
        (html, b"<meta charset=ISO-2022-JP><body>x</body>", "charset"),
        (html, b"<meta http-equiv=content-type content='text/html; charset=utf-7'><body>x</body>", "charset"),
        (html, b"<html><frameset cols='*'><frame src=/a></frameset></html>", "frameset"),
        (html, "<!doctype html><html \u{26a1}><body>x</body></html>".as_bytes(), "amp"),
        (html, b"<!doctype html><html amp><body>x</body></html>", "amp"),
        (xhtml, b"<html xmlns='http://www.w3.org/1999/xhtml'><body/></html>", "no_body_end"),
        (xhtml, b"<?xml version='1.0' encoding='iso-2022-jp'?><html><body></body></html>", "charset"),
        ("application/json", b"{\"a\": \"</body>\"}", "not_html"),
        ("text/vnd.turbo-stream.html", b"<turbo-stream></turbo-stream>", "not_html"),
    ];
    for (content_type, page, reason) in cases {
        for response in [Response::new(200).body(page), Response::new(200).body(page).chunked(3)] {
            let (_origin, proxy) = start(response.header("Content-Type", content_type));
            let answer = proxy.visitor().get(THANKS);
            assert!(answer.is_complete());
            assert_eq!((answer.status, &answer.body[..]), (200, page), "{reason}");
            await_result(&proxy, reason);
            assert_accounts(&proxy);
        }
    }
}

#[test]
fn a_download_stays_as_it_is() {
    for headers in [("Content-Disposition", "attachment; filename=invoice.html"), ("Content-Encoding", "gzip")] {
        let body = gzip(ORDER.as_bytes());
        let response = Response::html(&body).header("Content-Disposition", "Attachment").header(headers.0, headers.1);
        let (_origin, proxy) = start(response);
        let answer = proxy.visitor().get(THANKS);
        assert_eq!((&answer.body, answer.framing), (&body, Framing::Length(body.len())));
        await_result(&proxy, "attachment");
    }
}

#[test]
fn xhtml_stays_well_formed() {
    let page = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<html xmlns=\"http://www.w3.org/1999/xhtml\">\
                <head><title>x</title></head><body><p>x</p></body></html>\n";
    let response = || Response::new(200).header("Content-Type", "application/xhtml+xml").body(page);
    let (_origin, proxy) = start(response());
    let answer = proxy.visitor().get(THANKS);
    assert_eq!(without_pixels(&answer), page);
    let text = answer.text();
    let (_, pixels) = text.split_once("<p>x</p>").unwrap();
    let (pixels, _) = pixels.split_once("</body>").unwrap();
    for tag in pixels.split_inclusive('>') {
        assert!(tag.starts_with("<img src=\"https://") && tag.ends_with("\" />"), "{tag}");
        // What is left between the quotes is names with `=`: no attribute without a value.
        let names: String = tag.split('"').step_by(2).collect();
        assert_eq!(names, "<img src= width= height= alt= hidden= referrerpolicy= />");
    }
}

#[test]
fn scripts_fetch_fragments_and_whole_pages() {
    let (_origin, proxy) = start(Response::html(PAGE));
    let empty = ("Sec-Fetch-Dest", "empty");
    let fragments: [&[(&str, &str)]; 5] = [
        &[empty],
        &[empty, ("HX-Request", "true")],
        &[("X-Requested-With", "XMLHttpRequest")],
        &[empty, ("Turbo-Frame", "cart"), ("X-Turbo-Request-Id", "1")],
        &[("Sec-Fetch-Dest", "script")],
    ];
    for headers in fragments {
        assert_eq!(proxy.visitor().request("GET", THANKS, headers, "").text(), PAGE, "{headers:?}");
    }
    proxy.await_metric("throughline_conversions_total", &[("outcome", "not_document")], 5);
    let boosted = [empty, ("HX-Request", "true"), ("HX-Boosted", "true")];
    let answer = proxy.visitor().request("GET", THANKS, &boosted, "");
    assert_eq!(without_pixels(&answer), PAGE);
    let (_origin, proxy) = start(Response::html(PAGE));
    let answer = proxy.visitor().request("GET", THANKS, &[empty, ("X-Turbo-Request-Id", "1")], "");
    assert_eq!(without_pixels(&answer), PAGE);
}

#[test]
fn a_head_request_is_told_what_get_would_be() {
    let gzipped = gzip(ORDER.as_bytes());
    for (coding, body, accepted) in
        [("identity", ORDER.as_bytes(), "gzip"), ("gzip", &gzipped[..], "identity"), ("gzip", &gzipped[..], "gzip")]
    {
        let response =
            encoded(coding, body).header("ETag", "\"1\"").header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
        let response = response.header("Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ==").header("Digest", "sha-256=X=");
        let (_origin, proxy) = start(response.header("Cache-Control", "public, max-age=60").header("Vary", "Cookie"));
        let names = |answer: &Answer| -> Vec<(String, Option<String>)> {
            let all = [
                "content-type",
                "content-length",
                "content-encoding",
                "etag",
                "last-modified",
                "content-md5",
                "digest",
                "accept-ranges",
                "cache-control",
                "vary",
                "surrogate-control",
                "cdn-cache-control",
            ];
            all.iter().map(|name| ((*name).to_owned(), answer.header(name).map(ToOwned::to_owned))).collect()
        };
        let mut visitor = proxy.visitor().sending("Accept-Encoding", accepted).on_one_connection();
        let (head, get) = (visitor.head(THANKS), visitor.get(THANKS));
        assert_eq!(without_pixels(&get), ORDER);
        assert_eq!(names(&head), names(&get));
        for gone in ["content-length", "etag", "last-modified", "content-md5", "digest"] {
            assert_eq!(get.header(gone), None, "{gone}");
        }
        assert_eq!(get.header("cache-control"), Some("private, no-cache"));
        assert_eq!((head.header("transfer-encoding"), head.header("set-cookie")), (None, None));
    }
}
