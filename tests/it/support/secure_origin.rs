//! Sites behind TLS, HTTP/2, Unix sockets and the PROXY protocol.
//!
//! Only the way there is played here: HTTP/1.1 is passed on to a plain [`Origin`], HTTP/2 is
//! answered with a few fixed pages.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixListener},
    runtime::Runtime,
};
use tokio_rustls::TlsAcceptor;

use super::{
    await_fact,
    origin::{Origin, PAGE},
    server::lock,
};

/// A certificate authority of its own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// How the site is reached; a plain listener unless said otherwise.
#[derive(Default)]
pub(crate) struct Way {
    tls: Option<Arc<ServerConfig>>,
    prior_knowledge: bool,
    introduced: bool,
    socket: Option<PathBuf>,
}

/// A running site.
#[derive(Debug)]
pub(crate) struct SecureOrigin {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _runtime: Runtime,
}

/// What came.
#[derive(Debug, Default)]
struct Seen {
    connections: Vec<Connection>,
    requests: Vec<Request>,
    has_refused: bool,
}

/// A connection as it began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    /// The PROXY header.
    pub(crate) introduction: Vec<u8>,
    /// The name that TLS asked for.
    pub(crate) sni: Option<String>,
    /// The protocol that TLS agreed on.
    pub(crate) alpn: Option<String>,
}

/// A request that came over HTTP/2.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: usize,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// What those who trust it need.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names and addresses.
    pub(crate) fn certifies(&self, names: &[&str]) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Certificate { chain: certificate.pem(), key: key.serialize_pem() }
    }

    fn server(&self, names: &[&str], alpn: &[&str], demands: Option<&Authority>) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let config = match demands {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                config.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }
}

impl Way {
    /// TLS with a certificate for these names, speaking these protocols.
    pub(crate) fn tls(mut self, authority: &Authority, names: &[&str], alpn: &[&str]) -> Self {
        self.tls = Some(Arc::new(authority.server(names, alpn, None)));
        self
    }

    /// The same, but only for those whom `demanded` knows.
    pub(crate) fn mutual_tls(mut self, authority: &Authority, names: &[&str], demanded: &Authority) -> Self {
        self.tls = Some(Arc::new(authority.server(names, &["http/1.1"], Some(demanded))));
        self
    }

    /// HTTP/2 from the first byte.
    pub(crate) fn prior_knowledge(mut self) -> Self {
        self.prior_knowledge = true;
        self
    }

    /// Connections begin with a PROXY header.
    pub(crate) fn introduced(mut self) -> Self {
        self.introduced = true;
        self
    }

    /// At a Unix socket.
    pub(crate) fn at_socket(mut self, path: PathBuf) -> Self {
        self.socket = Some(path);
        self
    }

    /// Opens this way to a site.
    pub(crate) fn to(self, origin: &Origin) -> SecureOrigin {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (behind, shared) = (origin.address(), seen.clone());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(self);
        if let Some(path) = way.socket.clone() {
            let listener = runtime.block_on(async { UnixListener::bind(path) }).unwrap();
            runtime.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(way.clone(), stream, behind, shared.clone()));
                }
            });
        } else {
            runtime.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    tokio::spawn(serve(way.clone(), stream, behind, shared.clone()));
                }
            });
        }
        SecureOrigin { address, seen, _runtime: runtime }
    }
}

impl SecureOrigin {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every connection so far that got as far as HTTP.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        lock(&self.seen).connections.clone()
    }

    /// Every request over HTTP/2 so far that was read to its end.
    pub(crate) fn requests(&self) -> Vec<Request> {
        lock(&self.seen).requests.clone()
    }

    /// The only such request.
    pub(crate) fn only_request(&self) -> Request {
        await_fact(|| self.requests().pop(), || "a request over HTTP/2".to_owned());
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests[0].clone()
    }
}

/// Reads a PROXY header of either version, and not a byte more.
async fn introduction(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut header = vec![0; 12];
    stream.read_exact(&mut header).await.unwrap();
    if header == b"\r\n\r\n\0\r\nQUIT\n" {
        header.resize(16, 0);
        stream.read_exact(&mut header[12..]).await.unwrap();
        let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
        header.resize(16 + length, 0);
        stream.read_exact(&mut header[16..]).await.unwrap();
    } else {
        while !header.ends_with(b"\r\n") {
            header.push(stream.read_u8().await.unwrap());
        }
    }
    header
}

async fn serve(
    way: Arc<Way>,
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    behind: SocketAddr,
    seen: Arc<Mutex<Seen>>,
) {
    let mut connection = Connection::default();
    if way.introduced {
        connection.introduction = introduction(&mut stream).await;
    }
    let stream: Box<dyn Io> = match &way.tls {
        None => Box::new(stream),
        Some(config) => {
            // An error here is the proxy's refusal, which is what the test looks at.
            let Ok(stream) = TlsAcceptor::from(config.clone()).accept(stream).await else { return };
            let session = stream.get_ref().1;
            connection.sni = session.server_name().map(str::to_owned);
            connection.alpn = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
            Box::new(stream)
        }
    };
    let is_http2 = way.prior_knowledge || connection.alpn.as_deref() == Some("h2");
    lock(&seen).connections.push(connection);
    if is_http2 {
        serve_http2(stream, seen).await;
    } else {
        let mut stream = stream;
        let mut onward = TcpStream::connect(behind).await.unwrap();
        copy_bidirectional(&mut stream, &mut onward).await.ok();
    }
}

async fn serve_http2(stream: Box<dyn Io>, seen: Arc<Mutex<Seen>>) {
    let builder = h2::server::Builder::new();
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        if path == "/refused" && !std::mem::replace(&mut lock(&seen).has_refused, true) {
            // As when it has too many at once.
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        if path == "/last" {
            connection.graceful_shutdown();
        }
        let request = Request {
            method: head.method.to_string(),
            authority: head.uri.authority().map(ToString::to_string).unwrap_or_default(),
            path,
            headers: head.headers,
            body: 0,
        };
        tokio::spawn(answer(request, body, respond, seen.clone()));
    }
}

async fn answer(mut request: Request, mut body: RecvStream, mut respond: SendResponse<Bytes>, seen: Arc<Mutex<Seen>>) {
    let response = |status: u16| http::Response::builder().status(status).header("content-type", "text/html");
    if request.path == "/early" {
        let mut stream = respond.send_response(response(413).body(()).unwrap(), false).unwrap();
        stream.send_data("too large".into(), true).unwrap();
        lock(&seen).requests.push(request);
        return;
    }
    if request.path == "/stubborn" {
        let mut stream = respond.send_response(response(413).body(()).unwrap(), false).unwrap();
        stream.send_data("too large".into(), true).unwrap();
        // Neither reads the rest nor says that it will not.
        return std::future::pending().await;
    }
    if request.path == "/broken" {
        while let Some(Ok(chunk)) = body.data().await {
            request.body += chunk.len();
        }
        lock(&seen).requests.push(request);
        return respond.send_reset(Reason::INTERNAL_ERROR);
    }
    while let Some(Ok(chunk)) = body.data().await {
        request.body += chunk.len();
        body.flow_control().release_capacity(chunk.len()).unwrap();
    }
    let (path, is_head, received) = (request.path.clone(), request.method == "HEAD", request.body);
    lock(&seen).requests.push(request);
    if let Some(status) = path.strip_prefix("/status/") {
        respond.send_response(response(status.parse().unwrap()).body(()).unwrap(), true).unwrap();
        return;
    }
    if is_head {
        respond.send_response(response(200).header("content-length", PAGE.len()).body(()).unwrap(), true).unwrap();
        return;
    }
    let mut stream = respond.send_response(response(200).body(()).unwrap(), false).unwrap();
    if let Some(bytes) = path.strip_prefix("/large/") {
        send_much(&mut stream, bytes.parse().unwrap()).await;
    } else if path == "/received" {
        stream.send_data(received.to_string().into(), true).unwrap();
    } else if path == "/trailers" {
        stream.send_data(PAGE.into(), false).unwrap();
        let trailers = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
        stream.send_trailers(trailers.into_iter().collect()).unwrap();
    } else {
        stream.send_data(PAGE.into(), true).unwrap();
    }
}

async fn send_much(stream: &mut SendStream<Bytes>, mut left: usize) {
    let chunk = Bytes::from(vec![b'x'; 64 << 10]);
    while left > 0 {
        stream.reserve_capacity(left.min(chunk.len()));
        let Some(Ok(granted)) = std::future::poll_fn(|context| stream.poll_capacity(context)).await else { return };
        let size = granted.min(left).min(chunk.len());
        left -= size;
        if stream.send_data(chunk.slice(..size), left == 0).is_err() {
            return;
        }
    }
}

/// Any stream.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}
