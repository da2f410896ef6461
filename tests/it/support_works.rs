//! The harness itself: a visitor face to face with an origin sees exactly what was scripted.

use std::{
    io::{Read, Write},
    time::Duration,
};

use crate::support::{
    http::{Ending, Framing},
    network::AdNetwork,
    origin::{Origin, PAGE, nobody},
    response::Response,
    visitor::{Answer, Visitor},
};

fn get(response: Response) -> Answer {
    let origin = Origin::start().route("/x", response);
    Visitor::at(origin.address()).get("/x")
}

#[test]
fn a_whole_page_is_complete() {
    let answer = get(Response::html("<p>hello"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "<p>hello"));
    assert_eq!((answer.framing, answer.ending), (Framing::Length(8), Ending::Complete));
}

#[test]
fn an_unknown_path_shows_the_usual_page() {
    let origin = Origin::start();
    assert_eq!(Visitor::at(origin.address()).get("/anything?at=all").text(), PAGE);
    let seen = origin.last();
    assert_eq!((seen.path(), seen.query(), seen.parameter("at")), ("/anything", "at=all", Some("all")));
    assert!(seen.raw_head.starts_with(b"GET /anything?at=all HTTP/1.1\r\nHost: shop.example\r\n"));
}

#[test]
fn chunks_of_one_byte_make_a_page() {
    let answer = get(Response::html(PAGE).chunked(1));
    assert_eq!(
        (answer.framing, answer.ending.clone(), answer.text().as_str()),
        (Framing::Chunked, Ending::Complete, PAGE)
    );
}

#[test]
fn trailers_are_kept_apart_from_headers() {
    let answer = get(Response::html(PAGE).trailer("X-Sum", "42"));
    assert_eq!((answer.header("x-sum"), answer.trailers.get("x-sum")), (None, Some("42")));
    assert_eq!(answer.text(), PAGE);
}

#[test]
fn early_hints_come_before_the_answer() {
    let answer = get(Response::html(PAGE).after_early_hints("</a.css>; rel=preload"));
    assert_eq!(answer.informational.len(), 1);
    assert_eq!(answer.informational[0].headers.get("link"), Some("</a.css>; rel=preload"));
    assert_eq!((answer.status, answer.text().as_str()), (200, PAGE));
}

#[test]
fn http_1_0_ends_with_the_connection() {
    let answer = get(Response::html(PAGE).http10());
    assert_eq!(
        (answer.framing, answer.ending.clone(), answer.text().as_str()),
        (Framing::UntilClose, Ending::Complete, PAGE)
    );
}

#[test]
fn a_body_shorter_than_claimed_is_truncated() {
    let answer = get(Response::html("abc").claiming(10));
    assert_eq!((answer.ending.clone(), answer.text().as_str()), (Ending::Truncated, "abc"));
}

#[test]
fn a_reset_within_the_body_is_seen_with_what_came_before() {
    let answer = get(Response::html("abcdef").claiming(100).reset_after(4));
    assert_eq!((answer.ending.clone(), answer.text().as_str()), (Ending::Reset, "abcd"));
    let answer = get(Response::html("abcdefgh").chunked(4).reset_after("4\r\nabcd\r\n".len()));
    assert_eq!((answer.ending.clone(), answer.text().as_str()), (Ending::Reset, "abcd"));
}

#[test]
fn a_reset_before_the_head_is_no_answer() {
    let origin = Origin::start().route("/x", Response::reset());
    assert!(Visitor::at(origin.address()).try_request("GET", "/x", &[], "").is_err());
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn nobody_answers_where_nobody_listens() {
    assert!(Visitor::at(nobody()).try_request("GET", "/", &[], "").is_err());
}

#[test]
fn a_delay_shows_in_the_time_of_the_head() {
    assert!(get(Response::html(PAGE).delayed(Duration::from_millis(80))).head_after >= Duration::from_millis(80));
}

#[test]
fn a_hanging_body_shows_what_came_first() {
    let origin = Origin::start().route("/x", Response::html("abcdef").hang_after(3));
    let mut open = Visitor::at(origin.address()).open("GET", "/x", &[], "").unwrap();
    let mut first = [0; 3];
    open.stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"abc");
}

#[test]
fn an_upgraded_connection_echoes() {
    let origin = Origin::start().route("/ws", Response::upgrade("websocket"));
    let headers = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let mut open = Visitor::at(origin.address()).open("GET", "/ws", &headers, "").unwrap();
    assert_eq!(open.answer.status, 101);
    open.stream.get_mut().write_all(b"ping").unwrap();
    let mut echoed = [0; 4];
    open.stream.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"ping");
}

#[test]
fn head_204_and_304_have_no_body() {
    let origin = Origin::start()
        .route("/204", Response::new(204))
        .route("/304", Response::new(304).header("ETag", "\"1\""))
        .page("/page", PAGE);
    let mut visitor = Visitor::at(origin.address()).on_one_connection();
    assert_eq!(visitor.get("/204").status, 204);
    assert_eq!(visitor.get("/304").status, 304);
    let head = visitor.head("/page");
    assert_eq!((head.header("content-length"), head.body.len()), (Some(PAGE.len().to_string().as_str()), 0));
    assert_eq!(visitor.get("/page").text(), PAGE, "the connection is still in step");
}

#[test]
fn a_form_arrives_whole() {
    let origin = Origin::start();
    Visitor::at(origin.address()).request("POST", "/checkout", &[("Content-Type", "text/plain")], "email=a");
    assert_eq!((origin.last().method.as_str(), origin.last().body.as_slice()), ("POST", b"email=a".as_slice()));
}

#[test]
fn cookies_are_kept_by_path_replaced_and_deleted() {
    let origin = Origin::start()
        .route("/set", Response::html("").header("Set-Cookie", "a=1; Path=/").header("Set-Cookie", "b=2; Path=/deep"))
        .route("/change", Response::html("").header("Set-Cookie", "a=3; Path=/; Max-Age=60; HttpOnly"))
        .route("/delete", Response::html("").header("Set-Cookie", "a=; Path=/; Max-Age=0"))
        .route("/secure", Response::html("").header("Set-Cookie", "s=1; Path=/; Secure"));
    let mut visitor = Visitor::at(origin.address());
    let mut cookies_at = |set: &str, path: &str| {
        visitor.get(set);
        visitor.get(path);
        origin.last().headers.get("cookie").map(str::to_owned)
    };
    assert_eq!(cookies_at("/set", "/").as_deref(), Some("a=1"));
    assert_eq!(cookies_at("/set", "/deep/er").as_deref(), Some("b=2; a=1"));
    assert_eq!(cookies_at("/change", "/deeper").as_deref(), Some("a=3"));
    assert_eq!(cookies_at("/delete", "/"), None);
    assert_eq!(cookies_at("/secure", "/"), None, "browsers refuse these over plain http");
    assert_eq!(visitor.cookie("b").as_deref(), Some("2"));
}

#[test]
fn a_network_answers_in_order_and_then_repeats() {
    let network = AdNetwork::answering(["first", "last"]);
    let mut visitor = Visitor::at(network.address());
    assert_eq!(["first", "last", "last"].map(|_| visitor.get("/tag.php").text()), ["first", "last", "last"]);
    assert_eq!(network.received().len(), 3);
}

#[test]
fn endless_and_dripping_bodies_do_not_end() {
    let network =
        AdNetwork::answering([Response::endless("OK "), Response::from("OK").dripping(Duration::from_mins(1))]);
    let mut visitor = Visitor::at(network.address());
    let mut open = visitor.open("GET", "/", &[], "").unwrap();
    let mut much = vec![0; 1 << 20];
    open.stream.read_exact(&mut much).unwrap();
    let mut open = visitor.open("GET", "/", &[], "").unwrap();
    let mut first = [0; 4];
    open.stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"1\r\nO");
}
