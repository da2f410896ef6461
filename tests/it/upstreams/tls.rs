//! Servers behind TLS.

use super::*;
use crate::support::{
    proxy::Setup,
    secure_origin::{SecureOrigin, Way},
    tls::Authority,
};

const H1: &[&str] = &["http/1.1"];

fn https(origin: &SecureOrigin, host: &str, more: &str) -> String {
    site(&format!("{{ url: \"https://{host}:{}\"{more} }}", origin.port()))
}

fn status(config: &str, authority: &Authority) -> u16 {
    Proxy::with(config).file("ca.pem", &authority.pem()).start().visitor().get("/").status
}

/// A system that knows no authorities, as far as the way to servers is concerned.
fn without_authorities(setup: Setup) -> Setup {
    let folder = setup.folder().display().to_string();
    // Read only by what delivers postbacks, which must have one.
    let setup = setup.file("stranger.pem", &Authority::new().pem());
    setup.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", &folder)
}

#[test]
fn a_server_is_verified_by_the_authority_that_is_named() {
    let (origin, authority, stranger) = (Origin::start(), Authority::new(), Authority::new());
    let named = Way::default().tls(&authority, &["localhost"], H1).to(&origin);
    let ca = ", tls: { ca: ca.pem }";
    assert_eq!(status(&https(&named, "localhost", ca), &authority), 200);
    assert!(is_gateway_error(status(&https(&named, "localhost", ca), &stranger)), "of another authority");
    assert!(is_gateway_error(status(&https(&named, "localhost", ""), &authority)), "unknown to the system");
    let other = Way::default().tls(&authority, &["other.example"], H1).to(&origin);
    assert!(is_gateway_error(status(&https(&other, "localhost", ca), &authority)), "for another name");
    assert_eq!(status(&https(&other, "localhost", ", tls: { ca: ca.pem, sni: other.example }"), &authority), 200);
    assert_eq!(status(&https(&other, "localhost", ", tls: { verify: false }"), &authority), 200);
    assert_eq!(origin.requests().len(), 3);
}

#[test]
fn a_server_without_a_name_is_asked_for_the_visitors_host() {
    let (origin, authority) = (Origin::start(), Authority::new());
    let named = Way::default().tls(&authority, &["shop.example"], H1).to(&origin);
    let ca = ", tls: { ca: ca.pem }";
    assert_eq!(status(&https(&named, "127.0.0.1", ca), &authority), 200);
    assert_eq!(named.connections()[0].sni.as_deref(), Some("shop.example"));
    let proxy = Proxy::with(&https(&named, "127.0.0.1", ca)).file("ca.pem", &authority.pem()).start();
    for host in ["other.example", "[::1]", "not..a name"] {
        let status = proxy.visitor().host(host).get("/").status;
        assert!(is_gateway_error(status) || status == 400, "{host}: {status}");
    }
    let addressed = Way::default().tls(&authority, &["127.0.0.1"], H1).to(&origin);
    let upstream = https(&addressed, "127.0.0.1", ", tls: { ca: ca.pem }, host: upstream");
    assert_eq!(status(&upstream, &authority), 200, "an address in a certificate counts");
    assert_eq!(origin.requests().len(), 2, "nothing was sent to a server that is not what it should be");
}

#[test]
fn an_unverified_server_is_still_told_the_name() {
    let (origin, authority) = (Origin::start(), Authority::new());
    let named = Way::default().tls(&authority, &["whatever.example"], H1).to(&origin);
    let config = https(&named, "127.0.0.1", ", tls: { verify: false }");
    let proxy = without_authorities(Proxy::with(&config)).start();
    assert_eq!(proxy.visitor().get("/").status, 200);
    assert_eq!(named.connections()[0].sni.as_deref(), Some("shop.example"));
}

#[test]
fn a_system_without_authorities_can_use_a_named_one_and_trusts_nobody_else() {
    let (origin, authority) = (Origin::start(), Authority::new());
    let named = Way::default().tls(&authority, &["localhost"], H1).to(&origin);
    for (tls, works) in [(", tls: { ca: ca.pem }", true), ("", false)] {
        let setup = Proxy::with(&https(&named, "localhost", tls)).file("ca.pem", &authority.pem());
        let proxy = without_authorities(setup).start();
        assert_eq!(proxy.visitor().get("/").status == 200, works, "{tls}");
    }
}

#[test]
fn authorities_of_the_system_that_cannot_be_read_are_said_at_the_start() {
    let setup = Proxy::with(&site("\"https://shop.example\""));
    let (status, errors) = setup.env("SSL_CERT_FILE", "/nowhere.pem").env("SSL_CERT_DIR", "/nowhere").refuses();
    assert!(!status.success() && errors.contains("certificate authorities cannot be read"), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn files_that_cannot_be_used_are_said_at_the_start() {
    let upstream = "{ url: \"https://shop.example\", tls: { ca: ca.pem } }";
    for content in [None, Some(""), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")] {
        let setup = Proxy::with(&site(upstream));
        let setup = match content {
            Some(content) => setup.file("ca.pem", content),
            None => setup,
        };
        let (status, errors) = setup.refuses();
        assert!(!status.success() && errors.contains("ca.pem") && !errors.contains("panicked"), "{errors}");
    }
}

#[test]
fn a_server_that_wants_to_know_us_is_shown_our_certificate() {
    let (origin, authority, clients) = (Origin::start(), Authority::new(), Authority::new());
    let strict = Way::default().mutual_tls(&authority, &["localhost"], &clients).to(&origin);
    let url = format!("https://localhost:{}", strict.port());
    let shown = clients.certifies(&["proxy"]);
    // Two sites on one address: the second must not use what the first was trusted with.
    let config = format!(
        "sites:\n  - {{ name: known, hosts: [known.example], upstream: {{ url: \"{url}\", tls: {{ ca: ca.pem, client_cert: {{ cert: c.pem, key: c.key }} }} }} }}\n  - {{ name: unknown, upstream: {{ url: \"{url}\", tls: {{ ca: ca.pem }} }} }}\n"
    );
    let proxy = Proxy::with(&config)
        .file("ca.pem", &authority.pem())
        .file("c.pem", &shown.cert)
        .file("c.key", &shown.key)
        .start();
    let mut known = proxy.visitor().host("known.example").on_one_connection();
    for _ in 0..3 {
        assert_eq!(known.get("/").status, 200);
        assert!(is_gateway_error(proxy.visitor().get("/").status));
    }
    assert_eq!(strict.connections().len(), 1, "the one that is known is used again");
}

#[test]
fn a_server_that_never_finishes_the_handshake_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let proxy = Proxy::with(&site(&format!("{{ url: \"{url}\", connect_timeout: 300ms }}"))).start();
    let began = Instant::now();
    assert!(is_gateway_error(proxy.visitor().get("/").status));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn health_is_asked_for_over_the_same_tls() {
    let (origin, authority) = (Origin::start(), Authority::new());
    for alpn in [&["http/1.1"][..], &["h2", "http/1.1"]] {
        let named = Way::default().tls(&authority, &["localhost"], alpn).to(&origin);
        let health = "health: { path: /status/500, interval: 1s, timeout: 2s }";
        let config = https(&named, "localhost", &format!(", tls: {{ ca: ca.pem }}, {health}"));
        origin.change("/status/500", Response::new(500));
        let proxy = Proxy::with(&config).file("ca.pem", &authority.pem()).start();
        proxy.await_log("it answers 500");
        let well = Proxy::with(&config.replace("/status/500", "/")).file("ca.pem", &authority.pem()).start();
        well.await_metric("throughline_upstream_up", &[], 1);
        await_fact(|| (named.connections().len() > 5).then_some(()), || "questions".to_owned());
        well.await_metric("throughline_upstream_up", &[], 1);
        assert!(named.connections().iter().all(|it| it.sni.as_deref() == Some("localhost")));
    }
}
