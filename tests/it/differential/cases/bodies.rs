//! Bodies: how long, how framed, how encoded, in which language, and how they end.

use std::{fmt::Write as _, io::Write as _};

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};

use super::{Case, PAGE, Page};
use crate::support::twin::{Reply, reply::Framing};

pub(super) fn cases() -> Vec<Case> {
    [framings(), codings(), charsets(), types(), endings()].concat()
}

fn framings() -> Vec<Case> {
    let long = long_page();
    vec![
        Case::get("Content-Length: 0", Reply::html("")),
        Case::get("an empty chunked body", Reply::html("").chunked(16)).page(),
        Case::get("a body of white space", Reply::html(" \r\n\t")).page(),
        Case::get("chunks of 1 byte", Reply::html(PAGE).chunked(1)).page(),
        Case::get("chunks of 7 bytes", Reply::html(&long[..5000]).chunked(7)).page(),
        Case::get("chunks of 64 KiB", Reply::html(&long).chunked(64 * 1024)).page(),
        Case::get("chunks of 200 KiB", Reply::html(&long).chunked(200 * 1024)).page(),
        Case::get("chunks with extensions", Reply::html(PAGE).framing(Framing::Chunked(9, ";a=1;b=\"x;y\";c")))
            .page()
            .only_http1_origin(),
        Case::get("chunks with an odd size line", Reply::html(PAGE).framing(Framing::Chunked(9, " ")))
            .page()
            .only_http1_origin(),
        Case::get("ended by closing", Reply::html(PAGE).framing(Framing::UntilClose)).page(),
        Case::get("ended by closing, and empty", Reply::html("").framing(Framing::UntilClose)).page(),
        Case::get("ended by closing, and long", Reply::html(&long).framing(Framing::UntilClose)).page(),
        Case::get("a slow page", Reply::html(PAGE).pausing_every(30)).page(),
        Case::get("a slow page in chunks", Reply::html(PAGE).chunked(30).pausing_every(30)).page(),
        Case::get("a slow binary", Reply::typed("application/octet-stream", [0; 90]).pausing_every(30)),
        Case::get("trailers", Reply::typed("text/plain", "sum").chunked(2).trailer("X-Sum", "42")),
        Case::get(
            "trailers that are announced",
            Reply::html(PAGE)
                .header("Trailer", "X-Sum, Server-Timing")
                .chunked(20)
                .trailer("X-Sum", "42")
                .trailer("Server-Timing", "a;dur=1"),
        ),
        Case::get("10 MB", Reply::typed("application/zip", noise(10_000_000))),
        Case::get("10 MB in chunks", Reply::typed("application/zip", noise(10_000_000)).chunked(50_000)),
        Case::get("a page of 3 MB", Reply::html(long.repeat(12))).page(),
    ]
}

fn codings() -> Vec<Case> {
    let encoded = |coding: &str, body: Vec<u8>| {
        Reply::html(body).header("Content-Encoding", coding).header("Vary", "Accept-Encoding")
    };
    let plain = long_page();
    let plain = plain.as_bytes();
    vec![
        Case::get("a page in gzip", encoded("gzip", gzip(plain)).header("ETag", "\"g\"")).as_page(Page::Encoded),
        Case::get("a page in x-gzip", encoded("x-gzip", gzip(plain))).as_page(Page::Encoded),
        Case::get("a page in GZIP", encoded("GZIP", gzip(plain))).as_page(Page::Encoded),
        Case::get("a page in gzip and chunks", encoded("gzip", gzip(plain)).chunked(10)).as_page(Page::Encoded),
        Case::get("a page in gzip, twice", encoded("gzip, gzip", gzip(&gzip(plain)))),
        Case::get("a page in zlib", encoded("deflate", zlib(plain))),
        Case::get("a page in raw deflate", encoded("deflate", deflate(plain))),
        Case::get("a page in zstd", encoded("zstd", zstd::encode_all(plain, 3).unwrap())).as_page(Page::Encoded),
        Case::get("a page in br", encoded("br", PAGE_IN_BR.to_vec())).as_page(Page::Encoded),
        Case::get("a page in an unknown coding", encoded("x-secret", noise(999))),
        Case::get("no gzip at all, though it says so", encoded("gzip", b"</body>, but no gzip".to_vec()))
            .as_page(Page::Damaged),
        Case::get("gzip cut short", encoded("gzip", gzip(plain)[..200].to_vec())).as_page(Page::Damaged),
        Case::get("Content-Encoding: identity", encoded("identity", plain.to_vec())).page(),
        Case::get("a script in gzip", Reply::typed("text/javascript", gzip(plain)).header("Content-Encoding", "gzip")),
        Case::get("a tar.gz", Reply::typed("application/gzip", gzip(plain))),
    ]
}

fn charsets() -> Vec<Case> {
    let utf16: Vec<u8> = PAGE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let with_mark = |mark: &[u8], body: &[u8]| [mark, body].concat();
    let body = |text: &[u8]| [b"<html><body><p>", text, b"</p></body></html>"].concat();
    vec![
        Case::get("a page with a UTF-8 mark", Reply::html(with_mark(b"\xef\xbb\xbf", PAGE.as_bytes()))).page(),
        Case::get("UTF-16LE", Reply::typed("text/html; charset=utf-16le", &utf16)),
        Case::get("UTF-16 with its mark", Reply::typed("text/html; charset=UTF-16", with_mark(b"\xff\xfe", &utf16))),
        Case::get("UTF-16 that only its mark gives away", Reply::typed("text/html", with_mark(b"\xff\xfe", &utf16)))
            .as_page(Page::Inert),
        Case::get("Shift_JIS", Reply::typed("text/html; charset=Shift_JIS", body(b"\x82\xa0\x83\x5c\x81\x7c"))).page(),
        Case::get("ISO-2022-JP", Reply::typed("text/html; charset=iso-2022-jp", body(b"\x1b$B$\"\x1b(B"))),
        Case::get("EUC-KR", Reply::typed("text/html; charset=euc-kr", body(b"\xb0\xa1\xb3\xaa"))).page(),
        Case::get("GB18030", Reply::typed("text/html; charset=\"gb18030\"", body(b"\x81\x30\x81\x30\xc4\xe3"))).page(),
        Case::get("windows-1252", Reply::typed("text/html;charset=windows-1252", body(b"\x80 49,90 \x96 caf\xe9")))
            .page(),
        Case::get("a charset that nobody knows", Reply::typed("text/html; charset=x-user-defined", body(b"\xff")))
            .page(),
        Case::get("text/html in capitals", Reply::typed("TEXT/HTML", PAGE)).page(),
        Case::get("NUL bytes in a page", Reply::html(body(b"a\0b\0"))).page(),
        Case::get("every byte value in a page", Reply::html(body(&(0..=255).collect::<Vec<u8>>()))).page(),
    ]
}

fn types() -> Vec<Case> {
    let frames = "<html><head></head><frameset cols=\"50%,50%\"><frame src=\"a\"></frameset></html>";
    let amp = "<!doctype html><html \u{26a1}><head><script async src=\"https://cdn.ampproject.org/v0.js\"></script></head><body></body></html>";
    let xhtml = "<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"><body/></html>";
    let all: Vec<u8> = (0..=255).collect();
    let pages: [(&str, &str); 4] = [
        ("a page without a body tag", "<p>Thanks"),
        ("a page whose body never ends", "<html><body><p>Thanks<div>"),
        ("the end of a body in a script", "<body><script>'</body></html>'</script><p>x"),
        ("a page that breaks off within a tag", "<body><p>x</p></bo"),
    ];
    let others: [(&str, &str, &[u8]); 18] = [
        ("XML", "text/xml", xhtml.as_bytes()),
        ("events", "text/event-stream", b"data: <body></body>\n\nid: 2\ndata: x\n\n"),
        ("JSON", "application/json", b"{\"html\":\"<html><body></body></html>\"}"),
        ("NDJSON", "application/x-ndjson", b"{}\n{}\n"),
        ("WebAssembly", "application/wasm", b"\0asm\x01\0\0\0"),
        ("a picture", "image/png", &all),
        ("a vector picture", "image/svg+xml", b"<svg xmlns=\"http://www.w3.org/2000/svg\"></svg></body>"),
        ("a font", "font/woff2", b"wOF2\0\x01"),
        ("a script", "application/javascript", b"document.write('</body>')"),
        ("a style sheet", "text/css", b"body::after{content:'</body>'}"),
        ("plain text", "text/plain", PAGE.as_bytes()),
        ("bytes", "application/octet-stream", PAGE.as_bytes()),
        ("a PDF", "application/pdf", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"),
        ("parts of a form", "multipart/form-data; boundary=x", b"--x\r\n\r\n</body>\r\n--x--\r\n"),
        ("gRPC", "application/grpc", b"\0\0\0\0\x02ab"),
        ("a type almost HTML", "text/html5", PAGE.as_bytes()),
        ("an empty type", "", PAGE.as_bytes()),
        ("a broken type", "; charset=utf-8", PAGE.as_bytes()),
    ];
    let mut cases: Vec<Case> = pages.iter().map(|(name, body)| Case::get(name, Reply::html(body)).page()).collect();
    cases.extend(others.iter().map(|(name, kind, body)| Case::get(name, Reply::typed(kind, body))));
    cases.extend([
        Case::get("a frameset", Reply::html(frames)).as_page(Page::Inert),
        Case::get("AMP", Reply::html(amp)).as_page(Page::Inert),
        Case::get("XHTML", Reply::typed("application/xhtml+xml", PAGE)).page(),
        Case::get("XHTML without the end of a body", Reply::typed("application/xhtml+xml", xhtml)).as_page(Page::Inert),
        Case::get("no type at all", Reply::new(200).body(PAGE)),
        Case::get("a download", Reply::html(PAGE).header("Content-Disposition", "attachment; filename=\"a.html\"")),
        Case::get(
            "a download with a name in every language",
            Reply::html(PAGE).header("Content-Disposition", "ATTACHMENT; filename*=UTF-8''%e2%82%ac.html"),
        ),
        Case::get("a page to be shown", Reply::html(PAGE).header("Content-Disposition", "inline; filename=a.html"))
            .page(),
        Case::get(
            "events that come slowly",
            Reply::typed("text/event-stream", "data: 1\n\ndata: 2\n\n").chunked(9).pausing_every(9),
        ),
    ]);
    cases
}

fn endings() -> Vec<Case> {
    let page = long_page();
    let pages = [
        ("a page cut off", Reply::html(&page).cut_after(100_000)),
        ("a page in chunks cut off", Reply::html(&page).chunked(3000).cut_after(90_000)),
        (
            "a page cut off where only closing would end it",
            Reply::html(&page).framing(Framing::UntilClose).cut_after(50_000),
        ),
        ("a short page cut off", Reply::html(PAGE).cut_after(50)),
        ("a page cut off before its last byte", Reply::html(PAGE).cut_after(PAGE.len() - 1)),
    ];
    let others = [
        ("a binary cut off", Reply::typed("image/png", noise(200_000)).cut_after(150_000)),
        ("a binary cut off at once", Reply::typed("image/png", noise(2000)).cut_after(0)),
    ];
    let pages = pages.into_iter().map(|(name, reply)| Case::get(name, reply).page());
    pages.chain(others.into_iter().map(|(name, reply)| Case::get(name, reply))).collect()
}

fn long_page() -> String {
    let mut page = String::from("<!doctype html><html><body>\n");
    for row in 0..5000 {
        writeln!(page, "<p id=row{row}>A line of a page, &euro; {row}</p>").unwrap();
    }
    page + "</body>\n</html>\n"
}

/// Bytes of every value that no coder can shorten (xorshift); they repeat after a prime number of bytes, so that
/// none can be lost or doubled unseen.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    let block: Vec<u8> = (0..65_537).map(|_| next()).collect();
    let mut bytes = block.repeat(length.div_ceil(block.len()));
    bytes.truncate(length);
    bytes
}

pub(in crate::differential) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A page in one meta-block that is not compressed (RFC 7932 section 9.2): a window of
/// 16 bits, its length less one, the bytes, and an empty last meta-block.
const PAGE_IN_BR: &[u8] = b"\xd0\x02\x10<html><body><p>A page in br</p></body></html>\n\x03";
