//! TLS listeners: which certificate is shown to whom, and how renewed ones are taken up.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustls::{
    ALL_VERSIONS, HandshakeKind, ProtocolVersion,
    version::{TLS12, TLS13},
};

use crate::support::{
    await_fact,
    origin::{Origin, PAGE},
    proxy::{Proxy, Setup},
    server::lock,
    tls::Issued,
    tls_client::TlsClient,
};

/// A site behind a TLS listener with these certificates, each as `NAME.pem` and `NAME.key`.
fn secure(origin: &Origin, certificates: &[(&str, &Issued)]) -> Setup {
    let pairs: Vec<_> =
        certificates.iter().map(|(name, _)| format!("{{ cert: {name}.pem, key: {name}.key }}")).collect();
    let setup = Proxy::with(&format!(
        "listen: {{ address: 127.0.0.1:0, tls: [{}] }}\nsites: [{{ upstream: \"http://{}\" }}]\n",
        pairs.join(", "),
        origin.address()
    ));
    certificates.iter().for_each(|(name, issued)| issued.write(setup.folder(), name));
    setup
}

fn shown(address: SocketAddr, name: &str) -> Vec<u8> {
    TlsClient::new().connect(address, name).unwrap_or_else(|error| panic!("{name}: {error}")).shown
}

#[test]
fn each_name_gets_its_certificate_and_strangers_get_the_first() {
    let origin = Origin::start();
    let first = Issued::to(&["shop.example", "www.shop.example"]);
    let wild = Issued::to(&["*.shop.example"]);
    let other = Issued::to(&["other.example"]);
    let proxy = secure(&origin, &[("first", &first), ("wild", &wild), ("other", &other)]).start();
    for (name, expected) in [
        ("shop.example", &first),
        ("www.shop.example", &first),
        ("img.shop.example", &wild),
        ("IMG.Shop.Example", &wild),
        ("other.example", &other),
        ("a.b.shop.example", &first),
        ("stranger.example", &first),
        ("127.0.0.1", &first),
    ] {
        assert!(shown(proxy.address(), name) == expected.der, "{name}");
    }
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_what_came_before_is_not() {
    let origin = Origin::start();
    let proxy = secure(&origin, &[("shop", &Issued::to(&["shop.example"]))]).start();
    for (spoken, version) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let mut agreed = TlsClient::speaking(&[spoken], &[]).connect(proxy.address(), "shop.example").unwrap();
        assert_eq!(agreed.version, version);
        assert_eq!(agreed.wire.get("/").text(), PAGE);
    }
    assert_eq!(origin.last().headers.get("x-forwarded-proto"), Some("https"));
    let answer_to = |minor| {
        let mut tcp = TcpStream::connect(proxy.address()).unwrap();
        tcp.write_all(&hello_of_old(minor)).unwrap();
        let mut record = [0; 7];
        tcp.read_exact(&mut record).unwrap();
        record
    };
    // RFC 5246, section 7.2: a fatal alert, protocol_version; or section 7.4: a handshake message, server_hello.
    let refused = answer_to(2);
    assert_eq!((refused[0], refused[5], refused[6]), (21, 2, 70), "{refused:?}");
    let taken = answer_to(3);
    assert_eq!((taken[0], taken[5]), (22, 2), "the same hello with 1.2: {taken:?}");
    proxy.await_metric("throughline_refused_total", &[("reason", "tls_handshake")], 2);
    proxy.await_metric("throughline_connections", &[], 0);
}

/// The first message of a client that offers TLS 1.1 (2) or 1.2 (3) at most (RFC 5246, section 7.4.1).
fn hello_of_old(minor: u8) -> Vec<u8> {
    let suites = [0xc0, 0x13, 0xc0, 0x14, 0xc0, 0x2b, 0xc0, 0x2f];
    // Signature algorithms: ECDSA with P-256; groups: P-256; points: uncompressed.
    let extensions = [0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0];
    let body = [&[3, minor][..], &[7; 32], &[0], &[0, 8], &suites, &[1, 0], &[0, 22], &extensions].concat();
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat()
}

#[test]
fn the_version_of_http_is_agreed_upon_by_alpn() {
    let origin = Origin::start();
    let proxy = secure(&origin, &[("shop", &Issued::to(&["shop.example"]))]).start();
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let client = TlsClient::speaking(ALL_VERSIONS, offered);
        let conversation = client.connect(proxy.address(), "shop.example").unwrap();
        assert_eq!(conversation.protocol.as_deref(), agreed.map(str::as_bytes), "{offered:?}");
    }
    assert!(TlsClient::speaking(ALL_VERSIONS, &["gopher"]).connect(proxy.address(), "shop.example").is_err());
    let mut old = TlsClient::speaking(ALL_VERSIONS, &["http/1.1"]).connect(proxy.address(), "shop.example").unwrap();
    assert_eq!(old.wire.get("/").text(), PAGE);
    assert_eq!(old.wire.get("/again").text(), PAGE, "on the same connection");
}

#[test]
fn a_visitor_who_comes_back_resumes_the_session() {
    let origin = Origin::start();
    let proxy = secure(&origin, &[("shop", &Issued::to(&["shop.example"]))]).start();
    for spoken in [&TLS12, &TLS13] {
        let client = TlsClient::speaking(&[spoken], &[]);
        let mut first = client.connect(proxy.address(), "shop.example").unwrap();
        assert_eq!(first.kind, HandshakeKind::Full);
        // In TLS 1.3 the ticket comes after the handshake, with the first answer.
        assert_eq!(first.wire.get("/").status, 200);
        let mut second = client.connect(proxy.address(), "shop.example").unwrap();
        assert_eq!(second.kind, HandshakeKind::Resumed, "{spoken:?}");
        assert_eq!(second.wire.get("/").status, 200);
    }
}

#[test]
fn a_visitor_who_never_finishes_the_handshake_is_let_go() {
    let origin = Origin::start();
    let setup = secure(&origin, &[("shop", &Issued::to(&["shop.example"]))]);
    let file = setup.folder().join("throughline.yaml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("limits: {{ header_timeout: 300ms }}\n{config}")).unwrap();
    let proxy = setup.start();
    let mut silent = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(silent.read(&mut [0; 16]).unwrap_or(0), 0);
    proxy.await_metric("throughline_refused_total", &[("reason", "tls_handshake")], 1);
    // The same after ALPN has chosen HTTP/2, which then never begins.
    let mut mute = TlsClient::speaking(ALL_VERSIONS, &["h2"]).connect(proxy.address(), "shop.example").unwrap();
    mute.wire.end();
    proxy.await_metric("throughline_refused_total", &[("reason", "header_timeout")], 1);
    proxy.await_metric("throughline_connections", &[], 0);
}

/// How the files of a certificate are replaced.
#[derive(Clone, Copy, Debug)]
enum Renewal {
    /// One after the other, with a pause in which they do not belong together.
    InTwoSteps,
    /// By turning the link through which both are reached, as Kubernetes does.
    ByLink,
}

#[test]
fn certificates_roll_over_without_a_failed_request() {
    const ROLLOVERS: usize = 6;
    let origin = Origin::start();
    let setup = secure(&origin, &[]);
    let folder = setup.folder().to_path_buf();
    let file = folder.join("throughline.yaml");
    let config = fs::read_to_string(&file).unwrap();
    let tls = "tls: [{ cert: live/tls.pem, key: live/tls.key }, { cert: plain.pem, key: plain.key }]";
    fs::write(&file, config.replace("tls: []", tls)).unwrap();
    let issued = [Issued::to(&["shop.example"]), Issued::to(&["plain.example"])];
    publish(&folder, 0, &issued[0]);
    issued[1].write(&folder, "plain");
    let proxy = setup.start();
    let address = proxy.address();
    let (stop, served, failures) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let mut slowest = Duration::ZERO;
    thread::scope(|scope| {
        for name in ["shop.example", "plain.example", "stranger.example"] {
            let (stop, served, failures) = (&stop, &served, &failures);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let answer = TlsClient::new().connect(address, name).and_then(|mut it| it.wire.try_get("/"));
                    match answer {
                        Ok(answer) if answer.status == 200 => drop(served.fetch_add(1, Ordering::SeqCst)),
                        other => lock(failures).push(format!("{name}: {other:?}")),
                    }
                }
            });
        }
        // Stops the visitors also when a fact below never comes true.
        let _stopped = Stop(&stop);
        for number in 1..=ROLLOVERS {
            let how = if number % 2 == 0 { Renewal::ByLink } else { Renewal::InTwoSteps };
            let (name, renewed) = match how {
                Renewal::ByLink => ("shop.example", Issued::to(&["shop.example"])),
                Renewal::InTwoSteps => ("plain.example", Issued::to(&["plain.example"])),
            };
            match how {
                Renewal::ByLink => publish(&folder, number, &renewed),
                Renewal::InTwoSteps => {
                    fs::write(folder.join("plain.pem"), &renewed.cert).unwrap();
                    thread::sleep(Duration::from_millis(300));
                    fs::write(folder.join("plain.key"), &renewed.key).unwrap();
                }
            }
            let written = Instant::now();
            await_fact(|| (shown(address, name) == renewed.der).then_some(()), || format!("{how:?} of {name}"));
            slowest = slowest.max(written.elapsed());
        }
    });
    let (served, failures) = (served.into_inner(), failures.into_inner().unwrap());
    println!(
        "{ROLLOVERS} rollovers: {served} requests served, {} failed; in use after {slowest:?} at most",
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(served > 100, "only {served} requests show little");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let reloads = |result| proxy.metric("throughline_certificate_reloads_total", &[("result", result)]);
    assert_eq!((reloads("success"), reloads("failure")), (6.0, 0.0), "{}", proxy.stderr());
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Puts a pair into a folder of its own and turns the link `live` to it, as Kubernetes does with `..data`.
fn publish(folder: &Path, number: usize, issued: &Issued) {
    let (version, turned) = (format!("version-{number}"), folder.join("live.new"));
    fs::create_dir(folder.join(&version)).unwrap();
    issued.write(&folder.join(&version), "tls");
    symlink(&version, &turned).unwrap();
    fs::rename(&turned, folder.join("live")).unwrap();
}

#[test]
fn a_broken_renewal_keeps_the_old_certificate_and_says_so_once() {
    let origin = Origin::start();
    let old = Issued::to(&["shop.example"]);
    let proxy = secure(&origin, &[("shop", &old)]).start();
    let failures = |count| proxy.await_metric("throughline_certificate_reloads_total", &[("result", "failure")], count);
    fs::write(proxy.folder().join("shop.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n").unwrap();
    failures(1);
    proxy.await_log("a renewed certificate cannot be used; the old one stays");
    assert!(shown(proxy.address(), "shop.example") == old.der);
    fs::remove_file(proxy.folder().join("shop.key")).unwrap();
    failures(2);
    assert!(shown(proxy.address(), "shop.example") == old.der);
    let complaints = proxy.stderr().matches("the old one stays").count();
    assert_eq!(complaints, 2, "each mistake once: {}", proxy.stderr());
    let renewed = Issued::to(&["shop.example"]);
    renewed.write(proxy.folder(), "shop");
    await_fact(|| (shown(proxy.address(), "shop.example") == renewed.der).then_some(()), || "the renewed one".into());
    proxy.await_metric("throughline_certificate_reloads_total", &[("result", "success")], 1);
    failures(2);
}

#[test]
fn a_certificate_that_cannot_be_used_is_a_mistake_of_the_configuration() {
    let origin = Origin::start();
    let good = Issued::to(&["shop.example"]);
    let setup = secure(&origin, &[("shop", &good)]);
    let key = setup.folder().join("shop.key");
    for (content, reason) in [
        (Some(Issued::to(&["shop.example"]).key), "is not the key of the first certificate"),
        (Some("nothing".into()), "holds no private key"),
        (None, "cannot be read"),
    ] {
        match content {
            Some(content) => fs::write(&key, content).unwrap(),
            None => fs::remove_file(&key).unwrap(),
        }
        let (status, errors) = setup.refuses();
        assert_eq!(status.code(), Some(78), "{errors}");
        assert!(errors.contains(reason) && errors.contains("shop.key"), "{reason}: {errors}");
    }
}

#[test]
fn the_metrics_say_how_long_a_certificate_lives() {
    let origin = Origin::start();
    let proxy = secure(&origin, &[("shop", &Issued::to(&["shop.example"]))]).start();
    let month = 30.0 * 86400.0;
    let left = await_fact(
        || Some(proxy.metric("throughline_certificate_expires_seconds", &[])).filter(|left| *left > 0.0),
        || "a gauge".into(),
    );
    assert!((month - 120.0..=month).contains(&left), "{left}");
    let names = proxy.metrics().values("throughline_certificate_expires_seconds", ["name"]);
    assert!(names.len() == 1 && names.iter().all(|[name]| name.ends_with("shop.pem")), "{names:?}");
}
