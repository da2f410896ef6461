//! Sites behind TLS, HTTP/2, Unix sockets and the PROXY protocol.
//!
//! Only the way there is played here: HTTP/1.1 is passed on to a plain [`Origin`], HTTP/2 is
//! answered with a few fixed pages.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixListener},
    runtime::Runtime,
};
use tokio_rustls::TlsAcceptor;

use super::{await_fact, origin::Origin, server::lock, tls::Authority};

mod http2;

use http2::serve_http2;

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

impl Way {
    /// TLS with a certificate for these names, speaking these protocols.
    pub(crate) fn tls(mut self, authority: &Authority, names: &[&str], alpn: &[&str]) -> Self {
        self.tls = Some(authority.certifies(names).server(alpn, None));
        self
    }

    /// The same, but only for those whom `demanded` knows.
    pub(crate) fn mutual_tls(mut self, authority: &Authority, names: &[&str], demanded: &Authority) -> Self {
        self.tls = Some(authority.certifies(names).server(&["http/1.1"], Some(demanded)));
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

/// Any stream.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}
