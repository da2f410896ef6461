//! What a visitor sees when the site's own server fails.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::support::{
    config::GOAL,
    edge::Wire,
    origin::{Origin, PAGE, nobody},
    proxy::{Proxy, Setup},
    response::Response,
    streams::Multiplexed,
    visitor::Answer,
};

/// A shop whose server is elsewhere, with more keys of its site.
fn shop_at(upstream: &str, keys: &str) -> Setup {
    Proxy::with(&format!(
        "sites:
  - upstream: {upstream}
    {keys}
    networks: {{ exoclick: {{ click: {{ param: exotracker }} }} }}
    conversions:
      - {{ name: purchase, path: \"/thank-you/{{order_id}}\", send: {{ exoclick: {{ goal: {GOAL} }} }} }}
"
    ))
}

/// A server that answers every connection with these bytes and closes it; counts the connections that asked.
fn raw_server(bytes: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&asked);
    thread::spawn(move || {
        for mut tcp in listener.incoming().map_while(Result::ok) {
            if tcp.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                counter.fetch_add(1, Ordering::SeqCst);
                // Fails when the proxy has gone, which is what the visitor is told about.
                tcp.write_all(bytes).ok();
            }
        }
    });
    (address, asked)
}

fn is_plain_page(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status);
    assert!(answer.is_complete());
    let text = answer.text();
    assert!(text.starts_with("<!doctype html>") && text.contains(&format!("<h1>{status} ")), "{text}");
    for word in ["throughline", "pingora"] {
        assert!(!text.to_lowercase().contains(word), "{text}");
        assert!(!format!("{:?}", answer.headers).to_lowercase().contains(word), "{:?}", answer.headers);
    }
    assert_eq!((answer.header("cache-control"), answer.header("server")), (Some("no-store"), None));
    assert!(answer.set_cookies().is_empty());
}

#[test]
fn a_server_that_is_not_there_is_a_plain_502_and_nothing_is_tracked() {
    let proxy = shop_at(&format!("\"http://{}\"", nobody()), "csp: amend").start();
    is_plain_page(&proxy.visitor().lands("/?exotracker=abc"), 502);
    is_plain_page(&proxy.visitor().get("/thank-you/1"), 502);
    proxy.await_metric("throughline_unanswered_total", &[], 1);
    assert_eq!(proxy.metric("throughline_conversions_total", &[]).to_string(), "0");
    assert_eq!(proxy.metric("throughline_clicks_total", &[("result", "stored")]).to_string(), "0");
    assert_eq!(proxy.outbox_list().lines().filter(|line| line.contains("purchase")).count(), 0);
    let head = proxy.visitor().head("/");
    assert_eq!((head.status, head.body.len(), head.is_complete()), (502, 0, true));
    let mut visitor = Multiplexed::plain(proxy.address());
    for _ in 0..2 {
        let answer = visitor.get("/thank-you/2");
        assert_eq!(
            (answer.status, answer.header("cache-control"), answer.header("server")),
            (502, Some("no-store"), None)
        );
        assert!(answer.text().contains("<h1>502 ") && answer.cookies().is_empty());
    }
    proxy.await_metric("throughline_unanswered_total", &[], 3);
    proxy.await_metric("throughline_requests_total", &[("code", "502")], 5);
    proxy.await_metric("throughline_connections", &[], 1);
}

#[test]
fn a_large_form_gets_its_502_although_nobody_took_it() {
    let proxy = shop_at(&format!("\"http://{}\"", nobody()), "csp: amend").start();
    let body = "x".repeat(4 << 20);
    let post = format!("POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for _ in 0..5 {
        is_plain_page(&Wire::to(proxy.address()).ask(post.as_bytes(), "POST").unwrap(), 502);
    }
}

#[test]
fn a_server_that_never_answers_is_a_504() {
    let origin = Origin::start().route("/hangs", Response::hang());
    let proxy = shop_at(&format!("{{ url: \"http://{}\", read_timeout: 1s }}", origin.address()), "csp: amend").start();
    is_plain_page(&proxy.visitor().get("/hangs"), 504);
    assert_eq!(Multiplexed::plain(proxy.address()).get("/hangs").status, 504);
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
}

#[test]
fn a_name_that_cannot_be_resolved_is_a_503() {
    // RFC 6761, section 6.4: this name never exists.
    let proxy = shop_at("\"http://shop.invalid\"", "csp: amend").start();
    is_plain_page(&proxy.visitor().get("/thank-you/1"), 503);
    proxy.await_metric("throughline_unanswered_total", &[], 1);
    proxy.await_log("shop.invalid");
}

#[test]
fn an_operators_own_page_is_shown_byte_for_byte() {
    let page = "<!doctype html><title>Gleich zurück</title>\r\n<p>Wir sind gleich wieder da – ☕\n";
    let setup = shop_at(&format!("\"http://{}\"", nobody()), "error_pages: { 502: 502.html, 504: 504.html }");
    let proxy = setup.file("502.html", page).file("504.html", "other").start();
    let answer = proxy.visitor().get("/");
    assert_eq!((answer.status, answer.body.as_slice()), (502, page.as_bytes()));
    assert_eq!(
        (answer.header("content-type"), answer.header("cache-control")),
        (Some("text/html; charset=utf-8"), Some("no-store"))
    );
    let head = proxy.visitor().head("/");
    assert_eq!((head.status, head.body.len()), (502, 0));
    assert_eq!(head.header("content-length"), Some(page.len().to_string().as_str()));
    assert_eq!(Multiplexed::plain(proxy.address()).get("/").body, page.as_bytes());
}

#[test]
fn a_server_that_talks_nonsense_or_breaks_off_is_a_502() {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text",
        b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n",
        b"",
    ] {
        let (address, asked) = raw_server(bytes);
        let proxy = shop_at(&format!("\"http://{address}\""), "csp: amend").start();
        is_plain_page(&proxy.visitor().get("/"), 502);
        let gets = asked.swap(0, Ordering::SeqCst);
        assert!((1..=2).contains(&gets), "{gets} times: {bytes:?}");
        is_plain_page(&proxy.visitor().request("POST", "/thank-you/1", &[], "order=1"), 502);
        assert_eq!(asked.load(Ordering::SeqCst), 1, "an order is not sent twice: {bytes:?}");
        proxy.await_metric("throughline_unanswered_total", &[], 1);
    }
}

#[test]
fn an_answer_that_breaks_off_in_the_middle_is_cut_off_for_the_visitor_too() {
    let (address, _) =
        raw_server(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nonly this");
    let proxy = shop_at(&format!("\"http://{address}\""), "csp: amend").start();
    // The head may still have been in our hands; then nothing at all is said.
    if let Ok(answer) = proxy.visitor().try_request("GET", "/", &[], "") {
        assert_eq!((answer.status, answer.is_complete()), (200, false));
        assert!(!answer.text().contains("<h1>"), "no error page in the middle of a page");
    }
    let mut visitor = Multiplexed::plain(proxy.address());
    let asked = visitor.ask("/", &[]);
    assert!(visitor.try_hear(asked).is_err(), "reset, not ended");
}

#[test]
fn after_an_error_the_connection_is_closed_and_the_next_one_works() {
    let origin = Origin::start().route("/breaks", Response::reset());
    let proxy = shop_at(&format!("\"http://{}\"", origin.address()), "csp: amend").start();
    let mut wire = Wire::to(proxy.address());
    let answer = wire.get("/breaks");
    assert_eq!((answer.status, answer.header("connection")), (502, Some("close")));
    assert_eq!(wire.end().said, "");
    assert_eq!(Wire::to(proxy.address()).get("/").text(), PAGE);
    let mut visitor = Multiplexed::plain(proxy.address());
    assert_eq!(visitor.get("/breaks").status, 502);
    assert_eq!(visitor.get("/").text(), PAGE, "on the same connection, where streams are apart");
}
