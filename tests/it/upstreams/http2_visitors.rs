//! Visitors over HTTP/2, as browsers and gRPC clients are.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::support::{secure_origin::Way, tls::Authority};

/// What a visitor got.
struct Got {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

/// A proxy that visitors reach over TLS, in front of this upstream.
fn start(upstream: &str, authority: &Authority) -> Proxy {
    let shown = authority.certifies(&["shop.example"]);
    let listen = "listen: [{ address: 127.0.0.1:0, tls: { cert: p.pem, key: p.key } }]\n";
    Proxy::with(&(listen.to_owned() + &site(upstream))).file("p.pem", &shown.cert).file("p.key", &shown.key).start()
}

/// Asks for one thing over a connection of its own.
fn ask(proxy: &Proxy, authority: &Authority, request: Request<()>, body: Option<Bytes>) -> Got {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        let name = "shop.example".try_into().unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(connection);
        let (response, mut stream) = sender.send_request(request, body.is_none()).unwrap();
        let sending = async {
            let mut left = body.unwrap_or_default();
            while !left.is_empty() {
                stream.reserve_capacity(left.len());
                let granted = std::future::poll_fn(|context| stream.poll_capacity(context)).await.unwrap().unwrap();
                let chunk = left.split_to(granted.min(left.len()));
                stream.send_data(chunk, left.is_empty()).unwrap();
            }
        };
        let receiving = async {
            let (head, mut body) = response.await.unwrap().into_parts();
            let mut bytes = BytesMut::new();
            while let Some(chunk) = body.data().await {
                let chunk = chunk.unwrap();
                bytes.extend_from_slice(&chunk);
                body.flow_control().release_capacity(chunk.len()).unwrap();
            }
            let trailers = body.trailers().await.unwrap();
            Got { status: head.status.as_u16(), headers: head.headers, body: bytes.freeze(), trailers }
        };
        let ((), got) = tokio::join!(sending, receiving);
        driver.abort();
        got
    })
}

fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("https://shop.example{path}")).version(http::Version::HTTP_2)
}

#[test]
fn cookies_that_come_one_by_one_arrive_in_one_line() {
    let (origin, authority) = (Origin::start(), Authority::new());
    let get = || {
        let request = request(Method::GET, "/").header("cookie", "a=1").header("cookie", "b=2");
        request.header("cookie", "c=3").body(()).unwrap()
    };
    let proxy = start(&format!("\"http://{}\"", origin.address()), &authority);
    let got = ask(&proxy, &authority, get(), None);
    assert_eq!((got.status, &got.body[..]), (200, PAGE.as_bytes()));
    assert_eq!(origin.last().headers.get("cookie"), Some("a=1; b=2; c=3"));
    assert_eq!(origin.last().headers.get("host"), Some("shop.example"));

    let named = Way::default().prior_knowledge().to(&origin);
    let proxy = start(&format!("\"h2c://{}\"", named.address()), &authority);
    assert_eq!(ask(&proxy, &authority, get(), None).status, 200);
    let asked = named.only_request();
    assert_eq!(asked.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    assert_eq!(asked.authority, "shop.example");
}

#[test]
fn grpc_passes_with_its_trailers() {
    let (origin, authority) = (Origin::start(), Authority::new());
    let named = Way::default().prior_knowledge().to(&origin);
    let proxy = start(&format!("\"h2c://{}\"", named.address()), &authority);
    let call = request(Method::POST, "/trailers").header("te", "trailers").header("content-type", "application/grpc");
    let got = ask(&proxy, &authority, call.body(()).unwrap(), Some(Bytes::from_static(b"\0\0\0\0\0")));
    assert_eq!((got.status, &got.body[..]), (200, PAGE.as_bytes()));
    assert_eq!(got.trailers.expect("trailers").get("grpc-status").unwrap(), "0");
    let asked = named.only_request();
    assert_eq!((asked.headers.get("te").unwrap().to_str().unwrap(), asked.body), ("trailers", 5));
}

#[test]
fn large_bodies_and_empty_answers_pass_from_end_to_end() {
    let (origin, authority) = (Origin::start(), Authority::new());
    let named = Way::default().tls(&authority, &["localhost"], &["h2"]).to(&origin);
    let upstream = format!("{{ url: \"https://localhost:{}\", tls: {{ verify: false }} }}", named.port());
    let proxy = start(&upstream, &authority);
    let get = |path: &str| ask(&proxy, &authority, request(Method::GET, path).body(()).unwrap(), None);
    let large = 20 << 20;
    assert_eq!(get(&format!("/large/{large}")).body.len(), large);
    let form = request(Method::POST, "/received").body(()).unwrap();
    let got = ask(&proxy, &authority, form, Some(Bytes::from(vec![b'x'; large])));
    assert_eq!(got.body, large.to_string());
    for status in [204, 304, 404] {
        let got = get(&format!("/status/{status}"));
        assert_eq!((got.status, got.body.len()), (status, 0));
    }
    let head = ask(&proxy, &authority, request(Method::HEAD, "/").body(()).unwrap(), None);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.headers.get("content-length").unwrap().to_str().unwrap(), PAGE.len().to_string());
}

#[test]
fn a_configured_host_takes_the_place_of_the_visitors() {
    let (origin, authority) = (Origin::start(), Authority::new());
    let named = Way::default().prior_knowledge().to(&origin);
    let get = || request(Method::GET, "/").body(()).unwrap();
    let proxy = start(&format!("{{ url: \"h2c://{}\", host: old.example }}", named.address()), &authority);
    assert_eq!(ask(&proxy, &authority, get(), None).status, 200);
    assert_eq!(named.only_request().authority, "old.example");
    let proxy = start(&format!("{{ url: \"http://{}\", host: old.example }}", origin.address()), &authority);
    assert_eq!(ask(&proxy, &authority, get(), None).status, 200);
    assert_eq!(origin.last().headers.get("host"), Some("old.example"));
}

#[test]
fn a_server_that_refuses_is_passed_over_for_visitors_over_http_2_too() {
    let (origin, authority) = (Origin::start(), Authority::new());
    let proxy = start(&format!("{{ {} }}", servers([nobody(), origin.address()])), &authority);
    let form = request(Method::POST, "/order").body(()).unwrap();
    assert_eq!(ask(&proxy, &authority, form, Some(Bytes::from_static(b"x=1"))).status, 200);
    assert_eq!(origin.last().body, b"x=1");
    assert_eq!(origin.requests().len(), 1);
}
