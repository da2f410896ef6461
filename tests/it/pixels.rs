//! A visitor buys without a click ID: the page itself syncs.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::support::{
    accounting::assert_accounts,
    config::{GOAL, HOSTS, THANKS, shop},
    http::Framing,
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
    visitor::Answer,
};

fn start(response: Response) -> (Origin, Proxy) {
    let origin = Origin::start().route("/thank-you/1001", response);
    let proxy = Proxy::with(&shop(&origin, &AdNetwork::answering(["OK"]))).start();
    (origin, proxy)
}

/// What a visitor without a click ID gets on this thank-you page.
fn bought(response: Response) -> Answer {
    start(response).1.visitor().get(THANKS)
}

/// Splits the one insertion off: what stands before it, the pixels, and what follows.
fn split(page: &str) -> (&str, &str, &str) {
    let first = page.find("<img").unwrap_or_else(|| panic!("no pixel in {page}"));
    let last = page.rfind("<img").unwrap();
    let end = last + page[last..].find('>').unwrap() + 1;
    (&page[..first], &page[first..end], &page[end..])
}

fn without_pixels(page: &str) -> String {
    let (before, _, after) = split(page);
    format!("{before}{after}")
}

#[test]
fn eleven_pixels_stand_before_the_end_of_the_body() {
    let answer = bought(Response::html(PAGE));
    assert!(answer.is_complete());
    let page = answer.text();
    let (before, pixels, after) = split(&page);
    assert_eq!(format!("{before}{after}"), PAGE);
    assert_eq!(after, "</body></html>\n");
    let tags: Vec<&str> = pixels.split_inclusive('>').collect();
    assert_eq!(tags.len(), HOSTS.len(), "{pixels}");
    for (tag, host) in tags.iter().zip(HOSTS) {
        assert!(tag.contains(&format!("https://{host}/tag.php?goal={GOAL}&amp;value=49.90")), "{tag}");
        assert!(!tag.contains("tag=") && tag.contains("hidden") && tag.contains("referrerpolicy="), "{tag}");
    }
}

#[test]
fn the_page_is_otherwise_the_same_however_it_is_written() {
    for page in [
        PAGE,
        "<p>no body at all",
        "<body><p>never closed",
        "<body><script>document.write('</body>')</script><p>x</p>",
        "<body><!-- </body> --><p>x</p></body><!-- end --></html>",
        "<body></BODY ></HTML>",
    ] {
        for size in [1, 3, 4096] {
            let answer = bought(Response::html(page).chunked(size));
            assert!(answer.is_complete(), "{page:?} in chunks of {size}");
            assert_eq!(without_pixels(&answer.text()), page, "in chunks of {size}");
        }
    }
}

#[test]
fn a_body_end_within_a_script_is_not_the_bodys_end() {
    let answer = bought(Response::html("<body><script>var a = '</body>'</script><p>x</p>"));
    assert!(split(&answer.text()).0.ends_with("<p>x</p>"));
}

#[test]
fn a_refresh_gets_no_pixels() {
    let (_origin, proxy) = start(Response::html(PAGE));
    let mut visitor = proxy.visitor();
    assert!(visitor.get(THANKS).text().contains("<img"));
    assert_eq!(visitor.get(THANKS).text(), PAGE);
    assert_accounts(&proxy);
}

#[test]
fn a_visitor_with_a_click_id_gets_none() {
    let (_origin, proxy) = start(Response::html(PAGE));
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    let page = visitor.get(THANKS);
    assert!(page.frame().is_some(), "only what awaits the verdict: {}", page.text());
    assert_eq!(page.text_without_frame(), PAGE);
}

#[test]
fn sync_none_and_other_pages_get_none() {
    let origin = Origin::start();
    let config = shop(&origin, &AdNetwork::answering(["OK"])).replace("postback:", "sync: none, postback:");
    let proxy = Proxy::with(&config).start();
    assert_eq!(proxy.visitor().get(THANKS).text(), PAGE);
    let (_origin, proxy) = start(Response::html(PAGE));
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
}

#[test]
fn the_framing_fits_the_longer_page() {
    let (_origin, proxy) = start(Response::html(PAGE));
    let mut visitor = proxy.visitor().on_one_connection();
    let answer = visitor.get(THANKS);
    assert!(answer.is_complete() && answer.text().contains("<img"));
    assert_eq!(answer.framing, Framing::Chunked);
    assert_eq!(visitor.get("/").text(), PAGE, "the connection is still in step");
}

#[test]
fn an_http_1_0_visitor_gets_no_chunks() {
    let (_origin, proxy) = start(Response::html(PAGE));
    let answer = proxy.visitor().http10().get(THANKS);
    assert!(answer.is_complete());
    assert_eq!((answer.framing, answer.header("transfer-encoding")), (Framing::UntilClose, None));
    assert_eq!(without_pixels(&answer.text()), PAGE);
}

#[test]
fn what_has_no_body_of_its_own_is_left_alone() {
    for response in [Response::new(204), Response::new(304).header("ETag", "\"1\"")] {
        let answer = bought(response.header("Content-Type", "text/html"));
        assert_eq!((answer.header("transfer-encoding"), answer.body.len()), (None, 0), "{}", answer.status);
    }
    let (_origin, proxy) = start(Response::html(PAGE));
    let mut visitor = proxy.visitor().on_one_connection();
    let head = visitor.head(THANKS);
    assert_eq!((head.status, head.header("transfer-encoding")), (200, None));
    assert_eq!(visitor.get("/").text(), PAGE, "the connection is still in step");
}

#[test]
fn what_is_no_whole_html_page_passes_untouched() {
    let part = Response::new(206).header("Content-Range", "bytes 0-5/90").header("Content-Type", "text/html");
    let json = Response::new(200).header("Content-Type", "application/json");
    for response in [part.body("<body>"), json.body("{\"html\":\"</body>\"}")] {
        let answer = bought(response.clone());
        assert!(!answer.text().contains("<img") && answer.is_complete());
        assert_eq!(answer.framing, Framing::Length(answer.body.len()));
    }
}

#[test]
fn an_encoded_page_passes_untouched_and_is_counted() {
    let bytes = b"\x1f\x9d\x90</body>as compress(1) writes it".as_slice();
    let (_origin, proxy) = start(Response::html(bytes).header("Content-Encoding", "compress"));
    let answer = proxy.visitor().get(THANKS);
    assert_eq!(answer.body, bytes);
    proxy.await_metric("throughline_injections_total", &[("result", "encoded")], 1);
    proxy.await_metric("throughline_injections_total", &[], 1);
    assert_accounts(&proxy);
}

#[test]
fn early_hints_are_not_the_answer() {
    let (_origin, proxy) = start(Response::html(PAGE).after_early_hints("</a.css>; rel=preload"));
    let answer = proxy.visitor().get(THANKS);
    for hint in &answer.informational {
        assert_eq!((hint.headers.get("set-cookie"), hint.headers.get("transfer-encoding")), (None, None));
    }
    assert_eq!(without_pixels(&answer.text()), PAGE);
    proxy.await_metric("throughline_conversion_hits_total", &[], 1);
}

#[test]
fn a_page_with_trailers_is_left_alone() {
    let answer = bought(Response::html(PAGE).trailer("X-Sum", "42"));
    assert!(answer.is_complete());
    assert_eq!(answer.text(), PAGE);
}

#[test]
fn an_upgraded_connection_carries_only_its_own_bytes() {
    let (_origin, proxy) = start(Response::upgrade("websocket"));
    let headers = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let mut open = proxy.visitor().open("GET", THANKS, &headers, "").unwrap();
    assert_eq!((open.answer.status, open.answer.header("content-length")), (101, None));
    for message in ["ping", "</body>", "<html>"] {
        let stream: &mut TcpStream = open.stream.get_mut();
        stream.write_all(message.as_bytes()).unwrap();
        let mut echoed = vec![0; message.len()];
        open.stream.read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, message.as_bytes());
    }
}
