//! Strangers on real sockets: mute, slow, endless, behind TLS and behind proxies.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use url::Url;

use super::*;
use crate::{
    delivery::{
        Destination,
        outbound::Outbound,
        route::{ClientIdentity, ProxyServer},
    },
    store::clock,
};

/// Serves every connection with a script of its own.
async fn stranger<F: Future<Output = ()> + Send + 'static>(
    script: impl Fn(TcpStream) -> F + Send + Copy + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(script(connection));
        }
    });
    address
}

/// Reads a request to the end of its head.
async fn head(connection: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while let Ok(byte) = connection.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    String::from_utf8(head).unwrap()
}

/// Says the same again and again until nobody listens.
async fn repeat(connection: &mut (impl AsyncWrite + Unpin), text: &[u8], pause: Duration) -> usize {
    let mut said = 0;
    while connection.write_all(text).await.is_ok() {
        said += text.len();
        sleep(pause).await;
    }
    said
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK";
const AT_ONCE: Duration = Duration::ZERO;
const SLOWLY: Duration = Duration::from_millis(100);

/// Who signs the certificates of the strangers.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn certifies(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server of this name; `clients` are those who can show a certificate of that authority.
    fn server(&self, name: &str, protocol: &str, clients: Option<&Self>) -> TlsAcceptor {
        let (certificate, key) = self.certifies(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let config = match clients {
            None => config.unwrap().with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from(authority.0.der().to_vec())).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
                config.unwrap().with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = vec![protocol.into()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// The route of those who trust it.
    fn route(&self) -> Route {
        Route { authorities: vec![self.0.der().to_vec()], ..Route::default() }
    }
}

/// Serves TLS connections with a script.
async fn secure<F: Future<Output = ()> + Send + 'static>(
    acceptor: TlsAcceptor,
    script: impl Fn(TlsStream<TcpStream>) -> F + Send + Copy + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(connection) = acceptor.accept(connection).await {
                    script(connection).await;
                }
            });
        }
    });
    address
}

async fn says_ok(mut connection: impl AsyncRead + AsyncWrite + Unpin) {
    while !head(&mut connection).await.is_empty() {
        connection.write_all(OK).await.unwrap();
    }
}

fn client(route: &Route) -> Client {
    // Another test of this process may have installed it.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::new(route).unwrap()
}

fn get(url: &str) -> Postback {
    Postback { method: Method::GET, url: Url::parse(url).unwrap(), headers: HeaderMap::new(), body: Vec::new() }
}

/// The status and whether the body was read.
async fn answered(route: &Route, url: &str) -> Result<(u16, bool), RetryReason> {
    client(route).send(get(url)).await.map(|reply| (reply.status, reply.body.is_some()))
}

/// A listener that nobody accepts from, its queue full: a connection is neither made nor refused.
fn black_hole() -> (Socket, Vec<std::net::TcpStream>, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let patience = Duration::from_millis(300);
    let waiting = (0..8).map_while(|_| std::net::TcpStream::connect_timeout(&address, patience).ok()).collect();
    (socket, waiting, address)
}

async fn endless_head(mut connection: TcpStream) {
    head(&mut connection).await;
    connection.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
    let field = [b"x-filler: ".as_slice(), &[b'x'; 8000], b"\r\n"].concat();
    ENDLESS_HEAD.store(repeat(&mut connection, &field, AT_ONCE).await, Ordering::Relaxed);
}

static ENDLESS_HEAD: AtomicUsize = AtomicUsize::new(0);

/// HEADERS without an end, and CONTINUATION after CONTINUATION (RFC 9113, section 6.10).
async fn endless_http2_head(mut connection: TlsStream<TcpStream>) {
    let frame = |kind: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
    };
    connection.write_all(&frame(4, 0, &[])).await.unwrap();
    // The preface and the head of its settings.
    let mut greeting = [0; 33];
    connection.read_exact(&mut greeting).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    // A literal field, without indexing: 1 byte of name, 120 of value.
    let field = [&[0, 1, b'x', 120], [b'y'; 120].as_slice()].concat();
    // `:status: 200` comes first (RFC 7541, appendix A).
    connection.write_all(&frame(1, 1, &[&[0x88], field.as_slice()].concat())).await.unwrap();
    repeat(&mut connection, &frame(9, 1, &field.repeat(100)), AT_ONCE).await;
}

async fn http2_body(connection: TlsStream<TcpStream>, piece: usize, pause: Duration) {
    let mut connection = h2::server::handshake(connection).await.unwrap();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let Ok(mut body) = respond.send_response(http::Response::new(()), false) else { return };
            while body.send_data(Bytes::from(vec![b'x'; piece]), false).is_ok() {
                sleep(pause).await;
            }
        });
    }
}

/// How a stranger is met: by which route, to which end, after how many seconds at most.
type Case = (&'static str, Route, String, Result<(u16, bool), RetryReason>, u64);

async fn plain_strangers() -> Vec<Case> {
    let mute = stranger(|connection| async move {
        sleep(Duration::from_mins(1)).await;
        drop(connection);
    })
    .await;
    let dripping_head = stranger(|mut connection| async move {
        head(&mut connection).await;
        connection.write_all(b"HTTP/1.1 200 OK\r\nx-drip: ").await.unwrap();
        repeat(&mut connection, b"x", SLOWLY).await;
    })
    .await;
    let interim = stranger(|mut connection| async move {
        head(&mut connection).await;
        repeat(&mut connection, b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n", SLOWLY).await;
    })
    .await;
    let dripping_body = stranger(|mut connection| async move {
        head(&mut connection).await;
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await.unwrap();
        repeat(&mut connection, b"x", SLOWLY).await;
    })
    .await;
    let endless_body = stranger(|mut connection| async move {
        head(&mut connection).await;
        connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        repeat(&mut connection, &[b'x'; 4096], AT_ONCE).await;
    })
    .await;
    let endless_chunk = stranger(|mut connection| async move {
        head(&mut connection).await;
        connection.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;a=").await.unwrap();
        repeat(&mut connection, b"x", SLOWLY).await;
    })
    .await;
    let endless_head = stranger(endless_head).await;
    let to = |scheme: &str, address: SocketAddr| format!("{scheme}://{address}/");
    vec![
        ("no TLS handshake", Route::default(), to("https", mute), Err(RetryReason::Connect), 6),
        ("no answer", Route::default(), to("http", mute), Err(RetryReason::Timeout), 10),
        ("a dripping head", Route::default(), to("http", dripping_head), Err(RetryReason::Timeout), 10),
        ("interim answers", Route::default(), to("http", interim), Err(RetryReason::Timeout), 10),
        ("an endless head", Route::default(), to("http", endless_head), Err(RetryReason::Reset), 10),
        ("a dripping body", Route::default(), to("http", dripping_body), Ok((200, false)), 5),
        ("an endless body", Route::default(), to("http", endless_body), Ok((200, false)), 5),
        ("an endless chunk", Route::default(), to("http", endless_chunk), Ok((200, false)), 5),
    ]
}

async fn http2_strangers() -> Vec<Case> {
    let authority = Authority::new();
    let acceptor = || authority.server("127.0.0.1", "h2", None);
    let mute = secure(acceptor(), |connection| async move {
        let mut connection = h2::server::handshake(connection).await.unwrap();
        let held = connection.accept().await;
        sleep(Duration::from_mins(1)).await;
        drop(held);
    })
    .await;
    let endless_head = secure(acceptor(), endless_http2_head).await;
    let dripping = secure(acceptor(), |connection| http2_body(connection, 1, SLOWLY)).await;
    let endless = secure(acceptor(), |connection| http2_body(connection, 4096, Duration::from_millis(1))).await;
    let to = |address: SocketAddr| format!("https://{address}/");
    vec![
        ("HTTP/2: no answer", authority.route(), to(mute), Err(RetryReason::Timeout), 10),
        ("HTTP/2: an endless head", authority.route(), to(endless_head), Err(RetryReason::Reset), 10),
        ("HTTP/2: a dripping body", authority.route(), to(dripping), Ok((200, false)), 5),
        ("HTTP/2: an endless body", authority.route(), to(endless), Ok((200, false)), 5),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stranger_is_let_go_in_time() {
    let (_socket, waiting, hole) = black_hole();
    assert!(waiting.len() < 8, "the queue is full");
    let full = ("a full queue", Route::default(), format!("http://{hole}/"), Err(RetryReason::Connect), 6);
    let cases = [vec![full], plain_strangers().await, http2_strangers().await].concat();
    let mut running = JoinSet::new();
    for (what, route, url, expected, seconds) in cases {
        let client = client(&route);
        running.spawn(async move {
            let started: Instant = clock::instant();
            let found = client.send(get(&url)).await.map(|reply| (reply.status, reply.body.is_some()));
            assert_eq!(found, expected, "{what}");
            // Slack for a busy machine; without a limit none of them would ever end.
            let limit = Duration::from_secs(seconds) + Duration::from_secs(4);
            assert!(started.elapsed() < limit, "{what} took {:?}", started.elapsed());
        });
    }
    while let Some(case) = running.join_next().await {
        case.unwrap();
    }
    assert!(ENDLESS_HEAD.load(Ordering::Relaxed) < 8 << 20, "a head is not read without end");
}

#[tokio::test]
async fn a_network_that_answers_in_time_is_heard_over_both_versions_of_http() {
    let authority = Authority::new();
    let plain = stranger(says_ok).await;
    assert_eq!(answered(&Route::default(), &format!("http://{plain}/")).await, Ok((200, true)));
    let one = secure(authority.server("127.0.0.1", "http/1.1", None), says_ok).await;
    assert_eq!(answered(&authority.route(), &format!("https://{one}/")).await, Ok((200, true)));
    let two = secure(authority.server("127.0.0.1", "h2", None), |connection| async move {
        let mut connection = h2::server::handshake(connection).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_response(http::Response::new(()), true).unwrap();
        }
    })
    .await;
    assert_eq!(answered(&authority.route(), &format!("https://{two}/")).await, Ok((200, true)));
}

#[tokio::test]
async fn only_a_certificate_of_a_trusted_authority_and_for_this_name_is_believed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = secure(authority.server("127.0.0.1", "http/1.1", None), says_ok).await;
    let misnamed = secure(authority.server("127.0.0.2", "http/1.1", None), says_ok).await;
    for (what, route, address, expected) in [
        ("one of ours", authority.route(), good, Ok((200, true))),
        ("unknown to the system", Route::default(), good, Err(RetryReason::Connect)),
        ("of another authority", other.route(), good, Err(RetryReason::Connect)),
        ("for another name", authority.route(), misnamed, Err(RetryReason::Connect)),
    ] {
        assert_eq!(answered(&route, &format!("https://{address}/")).await, expected, "{what}");
    }
}

#[tokio::test]
async fn a_network_that_asks_who_we_are_is_shown_our_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let address = secure(authority.server("127.0.0.1", "http/1.1", Some(&clients)), says_ok).await;
    let url = format!("https://{address}/");
    let (certificate, key) = clients.certifies("us.example");
    let identity = ClientIdentity::new(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
    assert!(identity.is_some());
    let known = Route { identity, ..authority.route() };
    assert!(!format!("{known:?}").contains("PRIVATE"));
    assert_eq!(answered(&known, &url).await, Ok((200, true)));
    assert!(answered(&authority.route(), &url).await.is_err(), "without one");
    assert_eq!(ClientIdentity::new(b"no certificate", b"no key"), None);
}

#[tokio::test]
async fn a_name_of_a_private_address_is_refused_and_an_address_is_not() {
    let port = stranger(says_ok).await.port();
    let ask = |addresses, url: String| async move { answered(&Route { addresses, ..Route::default() }, &url).await };
    let by_name = format!("http://localhost:{port}/");
    assert_eq!(ask(Addresses::Public, by_name.clone()).await, Err(RetryReason::RefusedAddress));
    assert_eq!(ask(Addresses::Any, by_name).await, Ok((200, true)));
    assert_eq!(ask(Addresses::Public, format!("http://127.0.0.1:{port}/")).await, Ok((200, true)));
    let unknown = "http://does-not-exist.invalid/".to_owned();
    assert_eq!(ask(Addresses::Public, unknown).await, Err(RetryReason::Connect));
}

#[tokio::test]
async fn a_proxy_is_asked_for_names_and_knows_who_asks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // By its name, which is the operator's choice and may be private.
    let url = Url::parse(&format!("http://localhost:{}", listener.local_addr().unwrap().port())).unwrap();
    let served = tokio::spawn(async move {
        let mut heads = Vec::new();
        for answer in [OK, b"HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n"] {
            let (mut connection, _) = listener.accept().await.unwrap();
            heads.push(head(&mut connection).await.to_lowercase());
            connection.write_all(answer).await.unwrap();
        }
        heads
    });
    let proxy = ProxyServer { url, credentials: Some(("ada".into(), "s3cret".into())) };
    assert!(!format!("{proxy:?}").contains("s3cret"));
    let route = Route { proxy: Some(proxy), ..Route::default() };
    assert_eq!(answered(&route, "http://net.invalid/pb?a=b").await, Ok((200, true)));
    assert_eq!(answered(&route, "https://net.invalid/pb").await, Err(RetryReason::Connect));
    let heads = served.await.unwrap();
    assert!(heads[0].starts_with("get http://net.invalid/pb?a=b http/1.1\r\n"), "{}", heads[0]);
    assert!(heads[1].starts_with("connect net.invalid:443 http/1.1\r\n"), "{}", heads[1]);
    // ada:s3cret
    assert!(heads.iter().all(|head| head.contains("proxy-authorization: basic ywrhonmzy3jlda==")), "{heads:?}");
}

#[test]
fn destinations_with_the_same_route_share_a_client_and_keep_it() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let to = |network: &str, addresses| {
        let route = Arc::new(Route { addresses, ..Route::default() });
        Destination { outbound: Outbound { route, ..Outbound::default() }, ..Destination::plain(network) }
    };
    let three = [to("a", Addresses::Public), to("b", Addresses::Public), to("c", Addresses::Any)];
    let clients = Clients::of(&Destinations::new(three.into()), &Clients::default()).unwrap();
    assert_eq!(clients.0.len(), 2);
    let later = Clients::of(&Destinations::new(vec![to("d", Addresses::Any)]), &clients).unwrap();
    let any = Route { addresses: Addresses::Any, ..Route::default() };
    assert!(later.get(&any).is_some() && later.get(&Route::default()).is_none());
}
