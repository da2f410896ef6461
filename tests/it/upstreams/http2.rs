//! Servers that speak HTTP/2.

use super::*;
use crate::support::{
    secure_origin::{SecureOrigin, Way},
    tls::Authority,
};

const BOTH: &[&str] = &["h2", "http/1.1"];

fn start(origin: &Origin) -> (SecureOrigin, Proxy) {
    let authority = Authority::new();
    let named = Way::default().tls(&authority, &["localhost"], BOTH).to(origin);
    let upstream = format!("{{ url: \"https://localhost:{}\", tls: {{ ca: ca.pem }} }}", named.port());
    let proxy = Proxy::with(&site(&upstream)).file("ca.pem", &authority.pem()).start();
    (named, proxy)
}

fn start_h2c(origin: &Origin) -> (SecureOrigin, Proxy) {
    let named = Way::default().prior_knowledge().to(origin);
    let proxy = Proxy::with(&site(&format!("\"h2c://{}\"", named.address()))).start();
    (named, proxy)
}

#[test]
fn pages_forms_and_empty_answers_pass() {
    let origin = Origin::start();
    for (named, proxy) in [start(&origin), start_h2c(&origin)] {
        let mut visitor = proxy.visitor().on_one_connection().sending("Cookie", "a=1; b=2");
        for _ in 0..3 {
            let page = visitor.get("/");
            assert_eq!((page.status, page.text().as_str(), page.is_complete()), (200, PAGE, true));
        }
        assert_eq!(visitor.request("POST", "/received", &[], &"x".repeat(5000)).text(), "5000");
        let head = visitor.head("/");
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), Some(PAGE.len().to_string().as_str()));
        for status in [204, 304, 404, 503] {
            let answer = visitor.get(&format!("/status/{status}"));
            assert_eq!((answer.status, answer.body.len(), answer.is_complete()), (status, 0, true));
        }
        let trailing = visitor.get("/trailers");
        assert_eq!((trailing.text().as_str(), trailing.is_complete()), (PAGE, true));
        let first = &named.requests()[0];
        assert_eq!((first.authority.as_str(), first.path.as_str()), ("shop.example", "/"));
        assert_eq!(first.headers.get_all("cookie").iter().count(), 1);
        for hop in ["host", "connection", "transfer-encoding", "keep-alive"] {
            assert!(!first.headers.contains_key(hop), "{hop}");
        }
        assert_eq!(named.connections().len(), 1, "all over one connection");
        assert!(origin.requests().is_empty());
    }
}

#[test]
fn large_bodies_pass_both_ways() {
    let origin = Origin::start();
    let (_named, proxy) = start(&origin);
    let mut visitor = proxy.visitor();
    let large = 100 << 20;
    let answer = visitor.get(&format!("/large/{large}"));
    assert!(answer.is_complete() && answer.body.len() == large, "{} {:?}", answer.body.len(), answer.ending);
    let answer = visitor.request("POST", "/received", &[], &"x".repeat(large));
    assert_eq!(answer.text(), large.to_string());
}

#[test]
fn an_answer_that_comes_before_the_form_is_read_arrives() {
    let origin = Origin::start();
    let (_named, proxy) = start(&origin);
    let answer = proxy.visitor().request("POST", "/early", &[], &"x".repeat(4_000_000));
    assert_eq!((answer.status, answer.text().as_str()), (413, "too large"));
}

#[test]
fn an_answer_of_a_server_that_stops_reading_arrives_in_the_end() {
    let origin = Origin::start();
    let named = Way::default().prior_knowledge().to(&origin);
    let upstream = format!("{{ url: \"h2c://{}\", read_timeout: 1s }}", named.address());
    let proxy = Proxy::with(&site(&upstream)).start();
    let answer = proxy.visitor().request("POST", "/stubborn", &[], &"x".repeat(300_000));
    assert_eq!((answer.status, answer.text().as_str()), (413, "too large"));
}

#[test]
fn a_visitor_who_reads_slowly_holds_up_nobody_else() {
    let origin = Origin::start();
    let (named, proxy) = start(&origin);
    // Each of them leaves as much unread as it may.
    let slow: Vec<_> =
        (0..20).map(|_| proxy.visitor().open("GET", "/large/50000000", &[], "").expect("a head")).collect();
    for _ in 0..10 {
        let began = Instant::now();
        assert_eq!(proxy.visitor().get("/large/1000000").body.len(), 1_000_000);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    // A request that comes in the very moment in which another ends does not find its connection.
    assert!(named.connections().len() < 5, "they share connections");
    drop(slow);
}

#[test]
fn websockets_go_over_http_1() {
    let origin = Origin::start().route("/socket", Response::upgrade("websocket"));
    let (named, proxy) = start(&origin);
    let mut visitor = proxy.visitor().on_one_connection();
    assert_eq!(visitor.get("/").text(), PAGE);
    let headers = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    let key = [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")];
    let mut open = proxy.visitor().open("GET", "/socket", &[&headers[..], &key].concat(), "").unwrap();
    assert_eq!(open.answer.status, 101);
    std::io::Write::write_all(open.stream.get_mut(), b"ping").unwrap();
    let mut echo = [0; 4];
    open.stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"ping");
    assert_eq!(visitor.get("/").text(), PAGE);
    let protocols: Vec<_> = named.connections().into_iter().filter_map(|connection| connection.alpn).collect();
    assert_eq!(protocols, ["h2", "http/1.1"]);
}

#[test]
fn a_post_that_a_server_refuses_to_begin_is_sent_again_and_one_that_breaks_is_not() {
    let origin = Origin::start();
    let (named, proxy) = start(&origin);
    let answer = proxy.visitor().request("POST", "/broken", &[], "amount=1");
    assert!(is_gateway_error(answer.status), "{}", answer.status);
    assert_eq!(named.only_request().body, 8);
    let (named, proxy) = start(&origin);
    assert_eq!(proxy.visitor().request("POST", "/refused", &[], "amount=1").text(), PAGE);
    assert_eq!(named.only_request().body, 8, "all of the form came along");
}

#[test]
fn a_server_that_says_goodbye_costs_no_request() {
    let origin = Origin::start();
    let (named, proxy) = start(&origin);
    let mut visitor = proxy.visitor();
    for round in 0..20 {
        assert_eq!(visitor.get("/last").status, 200, "{round}");
        assert_eq!(visitor.request("POST", "/received", &[], "x=1").text(), "3", "{round}");
    }
    assert!(named.connections().len() > 10);
}

#[test]
fn the_configured_host_becomes_the_authority() {
    let origin = Origin::start();
    let named = Way::default().prior_knowledge().to(&origin);
    let upstream = format!("{{ url: \"h2c://{}\", host: \"old.example\" }}", named.address());
    let proxy = Proxy::with(&site(&upstream)).start();
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
    assert_eq!(named.only_request().authority, "old.example");
}

#[test]
fn a_server_without_http_2_is_spoken_to_in_http_1() {
    let (origin, authority) = (Origin::start(), Authority::new());
    let named = Way::default().tls(&authority, &["localhost"], &[]).to(&origin);
    let upstream = format!("{{ url: \"https://localhost:{}\", tls: {{ ca: ca.pem }} }}", named.port());
    let proxy = Proxy::with(&site(&upstream)).file("ca.pem", &authority.pem()).start();
    let mut visitor = proxy.visitor().on_one_connection();
    for _ in 0..3 {
        assert_eq!(visitor.get("/").text(), PAGE);
    }
    assert_eq!((named.connections().len(), origin.requests().len()), (1, 3), "and its connection is kept");
}
