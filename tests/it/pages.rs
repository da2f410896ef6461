//! Pages as they are found in the wild: compressed, damaged, streamed, framed, fetched by scripts.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use flate2::{
    Compression, Decompress, FlushDecompress, Status,
    write::{DeflateEncoder, GzEncoder},
};

use crate::support::{
    SOCKET_TIMEOUT,
    accounting::assert_accounts,
    browser::Browser,
    config::{THANKS, shop},
    http::{Ending, Framing, Head},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
    visitor::Answer,
};

/// A page of 24 KB, and the same as Node.js 20 compresses it with brotli.
const ORDER: &str = include_str!("../data/pages/order.html");
const ORDER_BR: &[u8] = include_bytes!("../data/pages/order.html.br");
/// 100 MiB of zeros.
const BOMB_BR: &[u8] = include_bytes!("../data/pages/bomb.br");

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

/// Brotli without compression, one meta-block for each piece (RFC 7932, section 9.2), and the last one.
fn brotli(pieces: &[&str]) -> Vec<Vec<u8>> {
    let first = |at| u32::from(at == 0);
    let block = |(at, piece): (usize, &&str)| {
        let header = ((u32::try_from(piece.len()).unwrap() - 1) << 3 | 1 << 19) << first(at);
        [&header.to_le_bytes()[..3], piece.as_bytes()].concat()
    };
    pieces.iter().enumerate().map(block).chain([vec![3]]).collect()
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
fn a_page_that_comes_compressed_nevertheless_is_edited() {
    for (coding, body) in orders() {
        for (response, accepted) in [
            (encoded(coding, &body), "gzip, deflate, br, zstd"),
            (encoded(coding, &body), "identity"),
            (encoded(coding, &body).chunked(100), "gzip;q=0.5"),
            (encoded(coding, &body).chunked(1), "gzip;q=0, br"),
        ] {
            let (origin, proxy) = start(response.header("Vary", "Accept-Encoding").header("ETag", "\"1\""));
            let mut visitor = proxy.visitor().sending("Accept-Encoding", accepted).on_one_connection();
            let answer = visitor.get(THANKS);
            assert!(answer.is_complete(), "{coding}: {:?}", answer.ending);
            let leaves_in =
                if accepted.starts_with("gzip") && !accepted.contains("q=0,") { Some("gzip") } else { None };
            assert_eq!(answer.header("content-encoding"), leaves_in, "{coding} for {accepted}");
            assert_eq!(without_pixels(&answer), ORDER, "{coding} for {accepted}");
            assert_eq!((answer.status, answer.framing), (200, Framing::Chunked));
            assert_eq!((answer.header("etag"), answer.header("vary")), (None, Some("Accept-Encoding")));
            assert_eq!(origin.last().headers.get("accept-encoding"), None, "it was asked for a plain one");
            await_result(&proxy, "injected");
            assert_eq!(visitor.get("/").text(), PAGE, "the connection is still in step");
        }
    }
}

#[test]
fn what_cannot_be_decoded_for_this_client_stays_as_it_is() {
    let body = gzip(ORDER.as_bytes());
    let untouched = |coding: &str, accepted: &str| {
        let (origin, proxy) = start(encoded(coding, &body).header("ETag", "\"1\""));
        let answer = proxy.visitor().sending("Accept-Encoding", accepted).get(THANKS);
        assert_eq!((answer.status, &answer.body, answer.header("etag")), (200, &body, Some("\"1\"")));
        assert_eq!((answer.header("content-encoding"), answer.framing), (Some(coding), Framing::Length(body.len())));
        await_result(&proxy, "encoded");
        assert_accounts(&proxy);
        origin.last().headers.get("accept-encoding").map(ToOwned::to_owned)
    };
    assert_eq!(untouched("br", "br, identity;q=0").as_deref(), Some("br, identity;q=0"));
    assert_eq!(untouched("br", "br, *;q=0").as_deref(), Some("br, *;q=0"));
    assert_eq!(untouched("gzip, br", "gzip, br"), None);
    assert_eq!(untouched("dcb", "gzip, br"), None);
    // HTTP/1.0 has no chunks, so a damaged plain page could not break off visibly; one in gzip can.
    let (_origin, proxy) = start(encoded("gzip", &body));
    let answer = proxy.visitor().http10().get(THANKS);
    assert_eq!((&answer.body, answer.header("content-encoding")), (&body, Some("gzip")));
    await_result(&proxy, "encoded");
    let (_origin, proxy) = start(encoded("gzip", &body));
    for accepted in ["gzip, identity;q=0", "gzip"] {
        let answer = proxy.visitor().http10().sending("Accept-Encoding", accepted).get(THANKS);
        if accepted == "gzip" {
            assert_eq!(answer.body, body, "reported already");
        } else {
            assert_eq!((without_pixels(&answer), answer.framing), (ORDER.to_owned(), Framing::UntilClose));
        }
    }
}

#[test]
fn what_need_not_change_stays_compressed() {
    let body = gzip(ORDER.as_bytes());
    let (origin, proxy) = start(encoded("gzip", &body));
    origin.change("/", encoded("gzip", &body));
    let visitor = || proxy.visitor().sending("Accept-Encoding", "gzip");
    let answers = [
        visitor().lands("/?exotracker=abc"),
        visitor().get("/"),
        visitor().sending("Sec-Purpose", "prefetch").get(THANKS),
        visitor().sending("X-Requested-With", "XMLHttpRequest").get(THANKS),
        visitor().sending("Sec-Fetch-Dest", "empty").get(THANKS),
    ];
    for answer in answers {
        assert_eq!((&answer.body, answer.header("content-encoding")), (&body, Some("gzip")));
        assert_eq!(answer.framing, Framing::Length(body.len()));
    }
    for request in origin.requests() {
        assert_eq!(request.headers.get("accept-encoding"), Some("gzip"), "{}", request.target);
    }
    proxy.await_metric(INJECTIONS, &[], 0);
    assert_accounts(&proxy);
}

/// Damaged streams of [`ORDER`], each with the least that must come out of it.
fn damaged() -> Vec<(&'static str, Vec<u8>, usize)> {
    let mut all = Vec::new();
    for (coding, body) in orders() {
        // zstd gives nothing before a block is whole, and this page is one block.
        let least = if coding == "zstd" { 0 } else { ORDER.len() / 4 };
        all.push((coding, body[..body.len() / 2].to_vec(), least));
        all.push((coding, body[..body.len() - 1].to_vec(), least));
        all.push((coding, ORDER.as_bytes().to_vec(), 0));
    }
    let mut flipped = gzip(ORDER.as_bytes());
    let middle = flipped.len() / 2;
    flipped[middle..middle + 20].fill(0xff);
    all.push(("gzip", flipped, ORDER.len() / 4));
    let mut wrong_sum = gzip(ORDER.as_bytes());
    let end = wrong_sum.len();
    wrong_sum[end - 8..end - 4].fill(0);
    all.push(("gzip", wrong_sum, ORDER.len()));
    all
}

#[test]
fn a_damaged_page_reaches_a_browser_as_a_damaged_page() {
    for (coding, body, least) in damaged() {
        for response in [encoded(coding, &body), encoded(coding, &body).chunked(7)] {
            let (_origin, proxy) = start(response);
            let mut visitor = proxy.visitor().sending("Accept-Encoding", "gzip, br, zstd").on_one_connection();
            let answer = visitor.get(THANKS);
            assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("gzip")));
            assert!(answer.is_complete(), "the transfer itself: {:?}", answer.ending);
            let (page, is_whole) = gunzipped(&answer.body);
            assert!(!is_whole && page.len() >= least && !page.contains("<img"), "{} bytes of {coding}", page.len());
            await_result(&proxy, "corrupt");
            assert_eq!(visitor.get("/").text(), PAGE, "the connection is still in step");
            assert_accounts(&proxy);
        }
    }
}

#[test]
fn a_damaged_plain_page_is_delivered_as_far_as_it_goes_and_never_looks_complete() {
    for (coding, body, least) in damaged() {
        for response in [encoded(coding, &body), encoded(coding, &body).chunked(500), encoded(coding, &body).chunked(7)]
        {
            let (_origin, proxy) = start(response);
            let answer = proxy.visitor().get(THANKS);
            let what = format!("{} bytes of {coding}", body.len());
            assert_eq!((answer.status, &answer.ending), (200, &Ending::Truncated), "{what}");
            assert_eq!((answer.framing, answer.header("content-encoding")), (Framing::Chunked, None), "{what}");
            let page = answer.text();
            // Damage that the format can't see yet may come out as other bytes; only a checksum tells.
            let is_true = ORDER.starts_with(&page) || (coding == "gzip" && body.len() == gzip(ORDER.as_bytes()).len());
            assert!(is_true || body == ORDER.as_bytes(), "{what}: {page}");
            assert!(page.len() >= least && !page.contains("<img"), "{what}: {} bytes came out", page.len());
            await_result(&proxy, "corrupt");
            assert_eq!(proxy.visitor().get("/").text(), PAGE, "the proxy goes on");
            assert_accounts(&proxy);
        }
    }
}

#[test]
fn a_browser_shows_of_a_damaged_page_what_it_shows_of_it_without_us() {
    let mut browser = Browser::start();
    let window = browser.window();
    let mut damaged = damaged();
    // What comes out at all, and not as nothing but an error.
    damaged.retain(|(coding, _, least)| *least > 0 && *coding == "gzip");
    for (_, body, least) in damaged {
        let (origin, proxy) = start(encoded("gzip", &body));
        // Chromium itself asks for gzip.
        let mut seen = |address: SocketAddr| {
            let tab = browser.open(&window, &format!("http://{address}{THANKS}"));
            browser.text(&tab)
        };
        let (direct, ours) = (seen(origin.address()), seen(proxy.address()));
        assert_eq!(ours, direct);
        assert!(direct.len() > least / 3 && direct.starts_with("0\tArticle 0"), "{direct:.100}");
        await_result(&proxy, "corrupt");
    }
}

#[test]
fn a_compressed_page_that_the_site_breaks_off_is_delivered_as_far_as_it_goes() {
    let body = gzip(ORDER.as_bytes());
    let (_origin, proxy) = start(encoded("gzip", &body).reset_after(body.len() / 2));
    let answer = proxy.visitor().get(THANKS);
    assert_eq!(answer.status, 200);
    assert!(!answer.is_complete() && ORDER.starts_with(&answer.text()) && answer.body.len() > ORDER.len() / 4);
    await_result(&proxy, "interrupted");
}

#[test]
fn an_empty_page_is_complete_whatever_its_head_says() {
    for response in [encoded("gzip", "").chunked(1), encoded("gzip", gzip(b""))] {
        let (_origin, proxy) = start(response);
        let answer = proxy.visitor().get(THANKS);
        assert!(answer.is_complete() && answer.body.is_empty());
        await_result(&proxy, "empty");
    }
}

/// gzip that says to be 10 GiB: a stretch of a mebibyte of zeros that stands on its own, again and again.
fn bomb() -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    encoder.flush().unwrap();
    let stretch = encoder.get_ref().clone();
    let header = gzip(b"")[..10].to_vec();
    [header, stretch.repeat(10 << 10)].concat()
}

#[test]
fn a_bomb_is_given_up_within_a_bounded_memory() {
    let gzip_bomb = bomb();
    assert!((9_000_000..12_000_000).contains(&gzip_bomb.len()), "{} bytes of gzip", gzip_bomb.len());
    let page = vec![0; 100 << 20];
    let bombs = [("gzip", gzip_bomb), ("br", BOMB_BR.into()), ("zstd", zstd(&page))];
    for ((coding, body), accepted) in bombs.iter().flat_map(|bomb| [(bomb, "identity"), (bomb, "gzip")]) {
        let origin = Origin::start();
        // One worker, so that what the allocator keeps for each thread is counted once.
        let config = format!("threads: 1\n{}", shop(&origin, &AdNetwork::answering(["OK"])));
        let proxy = Proxy::with(&config).start();
        proxy.visitor().get("/");
        let before = proxy.peak_memory();
        for order in 1001..1009 {
            let path = format!("/thank-you/{order}");
            origin.change(&path, encoded(coding, body.clone()));
            let answer = proxy.visitor().sending("Accept-Encoding", accepted).get(&path);
            assert_eq!((answer.status, answer.is_complete()), (200, accepted == "gzip"), "{coding}");
            let (page, is_whole) = match accepted {
                "gzip" => gunzipped(&answer.body),
                _ => (answer.text(), false),
            };
            assert!(!is_whole && page.bytes().all(|byte| byte == 0) && page.len() <= 9 << 20, "{coding}");
        }
        let growth = proxy.peak_memory() - before;
        println!("{coding} for {accepted}: {} KiB more at the peak", growth >> 10);
        assert!(growth <= 64 << 20, "{coding}: {} MiB more", growth >> 20);
        proxy.await_metric(INJECTIONS, &[("result", "bomb")], 8);
        assert_accounts(&proxy);
    }
}

/// A site that sends each part of its page when it is told to.
struct Paced {
    address: SocketAddr,
    go: Sender<()>,
}

impl Paced {
    fn start(head: &'static str, parts: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (go, told) = channel();
        thread::spawn(move || Self::serve(&listener, head, &parts, &told));
        Self { address, go }
    }

    fn serve(listener: &TcpListener, head: &str, parts: &[Vec<u8>], told: &Receiver<()>) {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        Head::read(&mut BufReader::new(stream.try_clone().unwrap())).unwrap();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{head}Transfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        for part in parts {
            told.recv_timeout(SOCKET_TIMEOUT).expect("the visitor saw the part before");
            write!(stream, "{:x}\r\n", part.len()).unwrap();
            stream.write_all(part).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    }

    fn proxy(&self) -> Proxy {
        let origin = Origin::start();
        let config = shop(&origin, &AdNetwork::answering(["OK"]));
        Proxy::with(&config.replace(&origin.address().to_string(), &self.address.to_string())).start()
    }
}

/// The next chunk of a body, nothing at its end.
fn next_chunk(stream: &mut BufReader<TcpStream>) -> Vec<u8> {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let mut chunk = vec![0; usize::from_str_radix(line.trim_end(), 16).unwrap() + 2];
    stream.read_exact(&mut chunk).unwrap();
    chunk.truncate(chunk.len() - 2);
    chunk
}

/// The pieces of a page, each flushed by its compressor.
fn flushed<W: Write>(pieces: &[&str], mut encoder: W, take: fn(&mut W) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut flush = |piece: &&str| {
        encoder.write_all(piece.as_bytes()).unwrap();
        encoder.flush().unwrap();
        take(&mut encoder)
    };
    pieces.iter().map(&mut flush).collect()
}

#[test]
fn a_page_that_is_streamed_arrives_piece_by_piece() {
    const PIECES: [&str; 4] = [
        "<!doctype html><html><body><h1>Thank you</h1>",
        "<p>We look for your parcel …",
        "<p>Found.",
        "</body></html>",
    ];
    let mut gzipped =
        flushed(&PIECES, GzEncoder::new(Vec::new(), Compression::default()), |it| std::mem::take(it.get_mut()));
    // An empty last block, and the check sum and length of a gzip stream made in one go.
    let whole = gzip(PIECES.concat().as_bytes());
    gzipped.push([&[3, 0], &whole[whole.len() - 8..]].concat());
    let mut zstandard =
        flushed(&PIECES, zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap(), |it| std::mem::take(it.get_mut()));
    // An empty last block (RFC 8878, section 3.1.1.2).
    zstandard.push(vec![1, 0, 0]);
    let plain = PIECES.iter().map(|piece| piece.as_bytes().to_vec()).collect();
    for (head, parts, accepted) in [
        ("", plain, "gzip"),
        ("Content-Encoding: gzip\r\n", gzipped.clone(), "gzip"),
        ("Content-Encoding: gzip\r\n", gzipped, "identity"),
        ("Content-Encoding: br\r\n", brotli(&PIECES), "gzip"),
        ("Content-Encoding: br\r\n", brotli(&PIECES), "identity"),
        ("Content-Encoding: zstd\r\n", zstandard.clone(), "gzip"),
        ("Content-Encoding: zstd\r\n", zstandard, "identity"),
    ] {
        let origin = Paced::start(head, parts);
        let proxy = origin.proxy();
        let mut visitor = proxy.visitor().sending("Accept-Encoding", accepted);
        // The head leaves before any part of the page is there.
        let mut open = visitor.open("GET", THANKS, &[], "").unwrap();
        assert_eq!((open.answer.status, open.answer.framing), (200, Framing::Chunked), "{head}");
        let is_gzip = open.answer.header("content-encoding") == Some("gzip");
        assert_eq!(is_gzip, accepted == "gzip" && !head.is_empty());
        let mut stream = Vec::new();
        let mut seen = |chunk: Vec<u8>| {
            stream.extend(chunk);
            if is_gzip { gunzipped(&stream).0 } else { String::from_utf8(stream.clone()).unwrap() }
        };
        for count in 1..=3 {
            origin.go.send(()).unwrap();
            // All of it is there before the next piece is sent.
            while seen(next_chunk(&mut open.stream)) != PIECES[..count].concat() {}
        }
        // The end is held until it is sure to be one.
        origin.go.send(()).unwrap();
        origin.go.send(()).ok();
        while let chunk @ [_, ..] = &next_chunk(&mut open.stream)[..] {
            seen(chunk.to_vec());
        }
        let page = seen(Vec::new());
        let end = page.strip_prefix(&PIECES[..3].concat()).unwrap();
        assert!(
            end.starts_with("<img") && end.ends_with(PIECES[3]) && end.matches("<img").count() == 11,
            "{head}: {end}"
        );
        await_result(&proxy, "injected");
    }
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
