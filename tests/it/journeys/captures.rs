//! What is captured on the way: forms, uploads, and what the site answers.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::{CAPTURES, FORM, HASHED, Headers, OUTCOMES, Rules, end};
use crate::support::{
    network::AdNetwork,
    origin::{Origin, PAGE, nobody},
    proxy::Proxy,
    response::Response,
};

#[test]
fn an_address_typed_at_checkout_is_known_on_the_thank_you_page() {
    let by_script = [FORM[0], ("Sec-Fetch-Dest", "empty"), ("X-Requested-With", "XMLHttpRequest")];
    let parts = [("Content-Type", "multipart/form-data; boundary=x")];
    let json = [("Content-Type", "application/json"), ("Sec-Fetch-Dest", "empty")];
    let urlencoded = "name=J%C3%A4ne&email=+Jane.Doe%40Example.com+&%zz=&&a=1";
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\nJane.Doe@Example.com\r\n--x--\r\n";
    let cases: [(Headers<'_>, &str, &str); 4] = [
        (&FORM, urlencoded, "form.email"),
        (&by_script, urlencoded, "form.email"),
        (&parts, multipart, "form.email"),
        (&json, "{\"buyer\": {\"mail\": \"Jane.Doe@example.com\"}}", "json./buyer/mail"),
    ];
    for (headers, body, source) in cases {
        let capture = format!("{{ name: checkout, path: /checkout, method: POST, fields: {{ email: {source} }} }}");
        let (origin, network, proxy) = Rules { capture: &capture, ..Rules::default() }.start();
        let mut visitor = proxy.visitor();
        visitor.lands("/?mid=abc");
        assert_eq!(visitor.request("POST", "/checkout", headers, body).text(), PAGE);
        assert_eq!(origin.last().body, body.as_bytes(), "byte for byte");
        visitor.get("/thanks?order=7");
        let told = network.await_received(1).remove(0);
        assert_eq!((told.parameter("order"), told.parameter("cids")), (Some("7"), Some("abc")), "{source}");
        assert_eq!(told.parameter("hash"), Some(HASHED), "{source}");
        assert_eq!(told.parameter("raw"), Some("jane.doe%40example.com"), "the template asks for it");
        proxy.await_metric(CAPTURES, &[("capture", "checkout"), ("result", "remembered")], 1);
        end(&proxy);
    }
}

#[test]
fn a_capture_that_was_refused_or_read_nothing_is_not_remembered() {
    let (origin, network, proxy) = Rules::default().start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?mid=abc");
    let email = "email=jane.doe%40example.com";
    visitor.request("POST", "/checkout", &FORM, "name=Jane");
    proxy.await_metric(CAPTURES, &[("result", "nothing")], 1);
    origin.change("/checkout", Response::new(422).body("no"));
    visitor.request("POST", "/checkout", &FORM, email);
    proxy.await_metric(CAPTURES, &[("result", "not_success")], 1);
    origin.change("/checkout", Response::html(PAGE));
    visitor.request("POST", "/checkout", &[FORM[0], ("User-Agent", "curl/8.5.0")], email);
    proxy.await_metric(CAPTURES, &[("result", "disregarded")], 1);
    visitor.get("/thanks?order=7");
    assert_eq!(network.await_received(1)[0].parameter("hash"), None);
    end(&proxy);
}

#[test]
fn a_capture_can_depend_on_what_was_sent() {
    let capture = "{ name: checkout, path: /cart, method: POST, when: { form.action: pay } }";
    let rules = Rules { capture, conversion: "        after: checkout", ..Rules::default() };
    let text = |action: &str| format!("action={action}");
    // Nothing but the condition looks at the form here.
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let config = rules.text(&format!("\"http://{}\"", origin.address()), &network);
    let config = config.replace("        email: journey.email\n", "");
    let proxy = Proxy::with(&config).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?mid=abc");
    visitor.request("POST", "/cart", &FORM, &text("update"));
    visitor.get("/thanks?order=1");
    proxy.await_metric(OUTCOMES, &[("outcome", "not_preceded")], 1);
    visitor.request("POST", "/cart", &FORM, &text("pay"));
    visitor.get("/thanks?order=2");
    assert_eq!(network.await_received(1)[0].parameter("order"), Some("2"));
    end(&proxy);
}

#[test]
fn of_a_long_upload_only_the_beginning_is_read_and_all_of_it_passes() {
    let (origin, network, proxy) = Rules::default().start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?mid=abc");
    let long = format!("note={}&email=jane.doe%40example.com", "x".repeat(300_000));
    assert_eq!(visitor.request("POST", "/checkout", &FORM, &long).status, 200);
    assert!(origin.last().body == long.as_bytes(), "byte for byte");
    proxy.await_metric(CAPTURES, &[("result", "nothing")], 1);
    visitor.get("/thanks?order=7");
    assert_eq!(network.await_received(1)[0].parameter("hash"), None);
    end(&proxy);
}

#[test]
fn a_body_that_is_sent_again_to_another_server_is_read_once() {
    let broken = Origin::start().route("/checkout", Response::reset());
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    for (method, first) in [("POST", nobody()), ("PUT", broken.address())] {
        let urls = [first, origin.address()].map(|address| format!("{{ url: \"http://{address}\" }}")).join(", ");
        let proxy = Proxy::with(&Rules::default().text(&format!("{{ servers: [{urls}] }}"), &network)).start();
        origin.forget();
        let before = network.received().len();
        let mut visitor = proxy.visitor();
        let body = "email=jane.doe%40example.com";
        let status = visitor.request(method, "/checkout", &FORM, body).status;
        assert_eq!((status, origin.last().body), (200, body.as_bytes().to_vec()), "{method}");
        visitor.get(&format!("/thanks?order={method}&mid=abc"));
        let told = network.await_received(before + 1).remove(before);
        assert_eq!(told.parameter("hash"), Some(HASHED), "{method}");
        end(&proxy);
    }
    assert!(!broken.requests().is_empty(), "it was sent twice");
}

#[test]
fn what_the_site_answers_is_captured_also_when_it_is_compressed() {
    let body = r#"{"order_id": 1001, "total": "49.90"}"#;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body.as_bytes()).unwrap();
    let gzipped = encoder.finish().unwrap();
    let json = || Response::new(200).header("Content-Type", "application/json; charset=utf-8");
    for answer in [
        json().body(body),
        json().body(body).chunked(5),
        json().body(&gzipped).header("Content-Encoding", "gzip"),
        json().body(&gzipped).header("Content-Encoding", "gzip").chunked(7),
    ] {
        let capture = "{ name: order, path: /api/order, method: POST, fields: { number: response.json./order_id } }";
        let rules = Rules { capture, ..Rules::default() };
        let (origin, network) = (Origin::start().route("/api/order", answer), AdNetwork::answering(["OK"]));
        let upstream = format!("\"http://{}\"", origin.address());
        let config = rules.text(&upstream, &network).replace("        email: journey.email\n", "");
        let config = config.replace("order_id: query.order", "order_id: journey.number");
        let proxy = Proxy::with(&config).start();
        let mut visitor = proxy.visitor().sending("Accept-Encoding", "gzip, br");
        visitor.lands("/?mid=abc");
        let ordered = visitor.request("POST", "/api/order", &[("Sec-Fetch-Dest", "empty")], "a=1");
        let expected = if ordered.header("content-encoding").is_some() { gzipped.as_slice() } else { body.as_bytes() };
        assert_eq!(ordered.body, expected, "untouched");
        visitor.get("/thanks");
        assert_eq!(network.await_received(1)[0].parameter("order"), Some("1001"));
        end(&proxy);
    }
}
