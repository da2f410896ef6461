//! What an operator writes under `upstream`, and what is made of it.

use std::path::Path;

use super::*;
use crate::config::{Config, Environment};

fn config(upstream: &str) -> Config {
    let text = format!("listen: [127.0.0.1:8000, '[::1]:8001']\nsites:\n  - upstream: {upstream}\n");
    Config::parse(Path::new("conf/a.yaml"), &text, Environment::Ignored).unwrap_or_else(|error| panic!("{error}"))
}

fn read(upstream: &str) -> UpstreamRules {
    config(upstream).sites[0].upstream.clone()
}

fn refused(upstream: &str) -> bool {
    let text = format!(
        "listen: [0.0.0.0:8000, '[::1]:8001', 10.0.0.7:8002, '[::]:8003', 127.0.0.1:8004]\nsites: [{{ upstream: {upstream} }}]\n"
    );
    Config::parse(Path::new("conf/a.yaml"), &text, Environment::Ignored).is_err()
}

fn tcp(host: &str, port: u16) -> ServerAddress {
    ServerAddress::Tcp { host: host.to_owned(), port }
}

#[test]
fn an_address_alone_has_the_defaults_of_everything_else() {
    for (text, scheme, address) in [
        ("http://127.0.0.1:8080", Scheme::Http, tcp("127.0.0.1", 8080)),
        ("http://Shop.Internal/", Scheme::Http, tcp("shop.internal", 80)),
        ("HTTP://shop.internal", Scheme::Http, tcp("shop.internal", 80)),
        ("https://shop.internal", Scheme::Https, tcp("shop.internal", 443)),
        ("https://[2001:db8::1]:8443", Scheme::Https, tcp("2001:db8::1", 8443)),
        ("h2c://Grpc.Internal", Scheme::H2c, tcp("grpc.internal", 80)),
        ("h2c://[::1]:50051", Scheme::H2c, tcp("::1", 50051)),
        ("unix:/run/app.sock", Scheme::Http, ServerAddress::Unix("/run/app.sock".into())),
        ("unix:app.sock", Scheme::Http, ServerAddress::Unix("conf/app.sock".into())),
    ] {
        let server = ServerRules { url: text.to_owned(), address, scheme, weight: 1 };
        assert_eq!(read(&format!("'{text}'")), UpstreamRules::new(vec![server]));
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for text in [
        "127.0.0.1:8080",
        "ftp://a",
        "http:a",
        "http:///a",
        "http://",
        "http://a:0",
        "http://a:99999",
        "http://a b",
        "http://a?b",
        "http://a#b",
        "h2c://u@a",
        "unix:",
        "unix:/",
        "unix://run/app.sock",
    ] {
        assert!(refused(&format!("'{text}'")), "{text}");
    }
    assert!(refused(&format!("unix:/{}", "x".repeat(107))));
    assert!(!refused(&format!("unix:/{}", "x".repeat(106))));
}

#[test]
fn a_map_says_all_there_is_to_say() {
    let rules = read(
        "{ servers: [{ url: https://a.internal, weight: 1000 }, https://b.internal], proxy_protocol: v2, via: false,
           health: { path: /up, interval: 1s, timeout: 500ms }, host: shop.example:8443, connect_timeout: 10ms,
           read_timeout: 24h, tls: { verify: yes, ca: ca.pem, sni: shop.example,
           client_cert: { cert: /etc/c.pem, key: c.key } } }",
    );
    let server = |url: &str, host, weight| ServerRules {
        url: url.to_owned(),
        address: tcp(host, 443),
        scheme: Scheme::Https,
        weight,
    };
    let expected = UpstreamRules {
        servers: vec![server("https://a.internal", "a.internal", 1000), server("https://b.internal", "b.internal", 1)],
        health: Some(HealthRules {
            path: "/up".to_owned(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(500),
        }),
        tls: UpstreamTls {
            verify: true,
            ca: Some("conf/ca.pem".into()),
            sni: Some("shop.example".to_owned()),
            client_cert: Some(CertificateFiles { cert: "/etc/c.pem".into(), key: "conf/c.key".into() }),
        },
        host: HostHeader::Fixed("shop.example:8443".to_owned()),
        connect_timeout: Duration::from_millis(10),
        read_timeout: Duration::from_hours(24),
        proxy_protocol: Some(ProxyProtocol::V2),
        via: false,
    };
    assert_eq!(rules, expected);
}

#[test]
fn a_map_of_one_server_is_that_server() {
    assert_eq!(read("{ url: http://127.0.0.1:8080 }"), read("http://127.0.0.1:8080"));
    assert_eq!(read("{ servers: http://127.0.0.1:8080 }"), read("http://127.0.0.1:8080"));
    let checked = read("{ url: h2c://a, health: { path: '/up?deep=1' }, host: upstream }");
    let (interval, timeout) = (Duration::from_secs(5), Duration::from_secs(2));
    assert_eq!(checked.health, Some(HealthRules { path: "/up?deep=1".to_owned(), interval, timeout }));
    assert_eq!(checked.host, HostHeader::Upstream);
}

#[test]
fn a_server_that_is_this_proxy_is_refused() {
    for ours in [
        "http://127.0.0.1:8000",
        "http://127.9.9.9:8000",
        "http://0.0.0.0:8000",
        "http://localhost:8000",
        "https://LOCALHOST:8000",
        "http://[::1]:8001",
        "http://[::]:8001",
        "http://10.0.0.7:8002",
        "http://[::1]:8003",
        "http://[::ffff:127.0.0.1]:8000",
        "http://0.0.0.0:8004",
        "http://127.0.0.1:9180",
    ] {
        assert!(refused(&format!("'{ours}'")), "{ours}");
    }
    for other in [
        "http://127.0.0.1:8080",
        "http://[::1]:8000",
        "http://127.0.0.1:8001",
        "http://127.0.0.1:8002",
        "http://127.0.0.1:8003",
        "http://127.0.0.2:8004",
        "http://10.0.0.8:8000",
        "http://shop.internal:8000",
        "unix:/run/8000",
    ] {
        assert!(!refused(&format!("'{other}'")), "{other}");
    }
}

#[test]
fn a_host_that_is_nearly_a_word_of_ours_is_doubted() {
    let config = config("{ url: http://a, host: upstreams }");
    assert_eq!(config.sites[0].upstream.host, HostHeader::Fixed("upstreams".to_owned()));
    let said: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].ends_with("did you mean `upstream`?"), "{said:?}");
}
