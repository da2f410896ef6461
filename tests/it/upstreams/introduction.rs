//! Servers behind Unix sockets, and servers that are told who the visitor is.

use ppp::{v1, v2};

use super::*;
use crate::support::{secure_origin::Way, tls::Authority};

#[test]
fn a_site_is_reached_over_a_unix_socket() {
    let (origin, folder) = (Origin::start(), tempfile::TempDir::new().unwrap());
    let path = folder.path().join("app.sock");
    let socket = Way::default().at_socket(path.clone()).to(&origin);
    let health = "health: { path: /, interval: 1s, timeout: 1s }";
    let proxy = Proxy::with(&site(&format!("{{ url: \"unix:{}\", {health} }}", path.display()))).start();
    let mut visitor = proxy.visitor();
    assert_eq!(visitor.get("/page").text(), PAGE);
    assert_eq!(visitor.request("POST", "/page", &[], "x=1").status, 200);
    let pages = origin.requests().into_iter().filter(|request| request.path() == "/page");
    assert!(pages.into_iter().all(|page| page.headers.get("host") == Some("shop.example")));
    assert!(!socket.connections().is_empty());
    proxy.await_metric("throughline_upstream_up", &[], 1);
}

#[test]
fn a_unix_socket_that_is_missing_is_a_server_that_is_down() {
    let proxy = Proxy::with(&site("\"unix:missing.sock\"")).start();
    assert!(is_gateway_error(proxy.visitor().get("/").status));
    proxy.await_metric("throughline_upstream_up", &[], 0);
}

#[test]
fn a_server_is_told_the_visitors_address_before_anything_else() {
    let (origin, authority) = (Origin::start(), Authority::new());
    for version in ["v1", "v2"] {
        let plain = Way::default().introduced().to(&origin);
        let secure = Way::default().introduced().tls(&authority, &["localhost"], &["h2", "http/1.1"]).to(&origin);
        for (way, url) in [
            (&plain, format!("http://localhost:{}", plain.port())),
            (&secure, format!("https://localhost:{}", secure.port())),
        ] {
            let upstream = format!("{{ url: \"{url}\", tls: {{ ca: ca.pem }}, proxy_protocol: {version} }}");
            let upstream =
                if url.starts_with("https") { upstream } else { upstream.replace("tls: { ca: ca.pem }, ", "") };
            let proxy = Proxy::with(&site(&upstream)).file("ca.pem", &authority.pem()).start();
            let mut open = proxy.visitor().open("GET", "/", &[], "").unwrap();
            assert_eq!(open.answer.status, 200);
            let ends = (open.stream.get_ref().local_addr().unwrap(), proxy.address());
            let told = way.connections()[0].introduction.clone();
            if version == "v1" {
                let line = String::from_utf8(told).unwrap();
                assert_eq!(line, v1::Addresses::from(ends).to_string());
            } else {
                let header = v2::Header::try_from(&told[..]).unwrap();
                assert_eq!(header.addresses, v2::Addresses::from(ends));
            }
            open.stream.get_mut().shutdown(std::net::Shutdown::Both).unwrap();
        }
    }
}

#[test]
fn a_connection_that_speaks_for_a_visitor_serves_no_other() {
    let origin = Origin::start();
    let way = Way::default().introduced().to(&origin);
    let upstream = format!("{{ url: \"http://{}\", proxy_protocol: v2 }}", way.address());
    let proxy = Proxy::with(&site(&upstream)).start();
    let mut patient: Visitor = proxy.visitor().on_one_connection();
    for _ in 0..3 {
        assert_eq!(patient.get("/").status, 200);
    }
    assert_eq!(way.connections().len(), 1, "the same visitor's requests may share one");
    for _ in 0..3 {
        assert_eq!(proxy.visitor().get("/").status, 200);
    }
    let mut told: Vec<_> = way.connections().into_iter().map(|connection| connection.introduction).collect();
    assert_eq!(told.len(), 4);
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 4, "each names another port");
}

#[test]
fn a_server_is_told_whom_a_trusted_proxy_names() {
    let origin = Origin::start();
    let way = Way::default().introduced().to(&origin);
    let upstream = format!("{{ url: \"http://{}\", proxy_protocol: v1 }}", way.address());
    let proxy = Proxy::with(&format!("trusted_proxies: [127.0.0.1]\n{}", site(&upstream))).start();
    proxy.visitor().sending("X-Forwarded-For", "203.0.113.9").get("/");
    let line = String::from_utf8(way.connections()[0].introduction.clone()).unwrap();
    assert!(line.starts_with("PROXY TCP4 203.0.113.9 127.0.0.1 0 "), "{line}");
}

#[test]
fn health_is_asked_for_on_nobodys_behalf() {
    let (origin, folder) = (Origin::start(), tempfile::TempDir::new().unwrap());
    let path = folder.path().join("app.sock");
    for version in ["v1", "v2"] {
        let path = path.with_extension(version);
        let way = Way::default().introduced().at_socket(path.clone()).to(&origin);
        let health = "health: { path: /, interval: 1s, timeout: 1s }";
        let upstream = format!("{{ url: \"unix:{}\", proxy_protocol: {version}, {health} }}", path.display());
        let proxy = Proxy::with(&site(&upstream)).start();
        await_fact(|| way.connections().pop(), || "a question".to_owned());
        let told = way.connections()[0].introduction.clone();
        if version == "v1" {
            assert_eq!(told, b"PROXY UNKNOWN\r\n");
        } else {
            assert_eq!(v2::Header::try_from(&told[..]).unwrap().command, v2::Command::Local);
        }
        assert_eq!(proxy.visitor().get("/page").text(), PAGE);
    }
}
