//! Sockets that visitors connect to, and the way of a connection from there to Pingora.
//!
//! Pingora's own listeners bind late, panic when an address is in use, and know neither limits nor the
//! PROXY protocol. Its proxy can be fed by hand.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use pingora::{
    apps::{HttpServerApp as _, ServerApp as _},
    protocols::{ALPN, Stream, http::ServerSession},
};
use pingora_proxy::HttpProxy;
use prometheus::IntGauge;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::TlsAcceptor;

use super::{
    connection::{Connection, Over},
    edition::Current,
    multiplex::Multiplexed,
    preamble,
    refusal::Refusal,
    service::Proxy,
    stream::VisitorStream,
    tls::Certificates,
    transport::Transport,
    watch::Place,
};
use crate::{
    config::{self, Limits, Purpose},
    metrics::Metrics,
    store::clock,
};

/// A socket that accepts connections already.
#[derive(Debug)]
pub struct Bound {
    /// Its address as it is, the port filled in.
    pub address: SocketAddr,
    socket: TcpListener,
    facts: Arc<Facts>,
    /// What it shows over TLS; without, it is plain.
    pub certificates: Option<Arc<Certificates>>,
}

/// What a request has to know about the listener it came through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether it serves sites or only sends visitors elsewhere.
    pub purpose: Purpose,
    /// A path that is answered before the host is looked at.
    pub probe: Option<String>,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// The label of its metrics.
    pub name: String,
}

/// What all listeners hand their connections to.
pub struct Front {
    /// The proxy behind.
    pub proxy: Arc<HttpProxy<Proxy>>,
    /// Whom to trust, and what one visitor may cost.
    pub current: Arc<Current>,
    /// Where refusals are counted.
    pub metrics: Arc<Metrics>,
    /// Held by each HTTP/2 connection, whose last bytes leave after the request that they answer is over.
    pub multiplexed: Arc<()>,
    /// Says true when no more requests are wanted.
    pub stop: watch::Receiver<bool>,
}

impl Bound {
    /// Binds a configured listener.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(listener: &config::Listener, certificates: Option<Arc<Certificates>>) -> io::Result<Self> {
        let socket = open(listener.address)?;
        let facts = Facts {
            purpose: listener.purpose,
            probe: listener.probe.clone(),
            proxy_protocol: listener.proxy_protocol,
            name: listener.address.to_string(),
        };
        Ok(Self { address: socket.local_addr()?, socket, facts: Arc::new(facts), certificates })
    }

    /// Accepts connections until it is time to stop.
    ///
    /// # Errors
    /// When the socket cannot be used, or TLS not be spoken.
    pub async fn accept(self, front: Arc<Front>) -> io::Result<()> {
        let socket = tokio::net::TcpListener::from_std(self.socket)?;
        let tls = match &self.certificates {
            Some(certificates) => {
                tokio::spawn(Arc::clone(certificates).keep_fresh(Arc::clone(&front.metrics)));
                Some(TlsAcceptor::from(certificates.server_config().map_err(io::Error::other)?))
            }
            None => None,
        };
        let mut stop = front.stop.clone();
        let mut quiet_until = clock::instant();
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((tcp, peer)) => match front.current.watch().admit() {
                    Ok(place) => {
                        let arrival = Arrival { tcp, peer, place, facts: Arc::clone(&self.facts), tls: tls.clone() };
                        tokio::spawn(Arc::clone(&front).welcome(arrival));
                    }
                    Err(refusal) => front.refused(refusal),
                },
                Err(error) => {
                    // Of a connection that is gone already, or for want of file descriptors; then a
                    // moment's rest lets others end.
                    if is_exhaustion(&error) && clock::instant() >= quiet_until {
                        quiet_until = clock::instant() + QUIET;
                        tracing::warn!(%error, listener = %self.facts.name, "visitors cannot connect");
                    }
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

/// A connection that is counted until it is dropped, also by a panic.
struct Counted(IntGauge);

/// A connection that nothing is known of yet.
struct Arrival {
    tcp: TcpStream,
    peer: SocketAddr,
    place: Place,
    facts: Arc<Facts>,
    tls: Option<TlsAcceptor>,
}

impl Front {
    /// Prepares a connection and serves it to its end.
    async fn welcome(self: Arc<Self>, arrival: Arrival) {
        let _counted = Counted::new(self.metrics.connections.with_label_values(&[arrival.facts.name.as_str()]));
        match self.prepare(arrival).await {
            Ok((stream, connection, limits)) => self.serve(stream, &connection, limits).await,
            Err(Some(refusal)) => self.refused(refusal),
            Err(None) => {}
        }
    }

    async fn prepare(&self, arrival: Arrival) -> Result<(Stream, Arc<Connection>, Limits), Option<Refusal>> {
        let Arrival { mut tcp, peer, mut place, facts, tls } = arrival;
        let edition = self.current.edition();
        let limits = edition.limits;
        // Small answers must not wait for an acknowledgement of what went before.
        if tcp.set_nodelay(true).is_err() {
            return Err(None);
        }
        let local = tcp.local_addr().map_err(|_| None)?;
        let (visitor, local) = if facts.proxy_protocol {
            if !edition.table.trusts(peer.ip()) {
                return Err(Some(Refusal::ProxyProtocol));
            }
            match tokio::time::timeout(limits.header_timeout, preamble::proxy_header(&mut tcp)).await {
                Ok(Ok(addresses)) => addresses.unwrap_or((peer, local)),
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(None),
                Ok(Err(_)) | Err(_) => return Err(Some(Refusal::ProxyProtocol)),
            }
        } else {
            (peer, local)
        };
        if !edition.table.trusts(visitor.ip()) {
            place.taken_by(visitor.ip())?;
        }
        // It may be long until something is asked.
        drop(edition);
        let over_tls = tls.is_some();
        let (transport, is_http2) = match tls {
            Some(acceptor) => {
                let handshake = tokio::time::timeout(limits.header_timeout, acceptor.accept(tcp));
                let Ok(Ok(stream)) = handshake.await else { return Err(Some(Refusal::TlsHandshake)) };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                (Transport::Tls(Box::new(stream)), is_http2)
            }
            None => {
                // Until something is asked, a connection costs no more than its socket. A new one is always
                // said to be readable, so this looks.
                let first = tokio::time::timeout(limits.keep_alive_timeout, tcp.peek(&mut [0])).await;
                let Ok(Ok(1)) = first else { return Err(None) };
                let looked = tokio::time::timeout(limits.header_timeout, preamble::speaks_http2(&tcp)).await;
                match looked {
                    Ok(Ok(is_http2)) => (Transport::Plain(tcp), is_http2),
                    Ok(Err(_)) => return Err(None),
                    Err(_) => return Err(Some(Refusal::HeaderTimeout)),
                }
            }
        };
        let connection = Arc::new(Connection::new(
            (visitor, local),
            (over_tls, is_http2),
            facts,
            Arc::clone(&self.current.watch().clock),
            limits,
        ));
        Ok((Box::new(VisitorStream::new(transport, Arc::clone(&connection), is_http2, place)), connection, limits))
    }

    async fn serve(&self, stream: Stream, connection: &Connection, limits: Limits) {
        if stream.selected_alpn_proto() == Some(ALPN::H2) {
            let _open = self.multiplexed.clone();
            Arc::new(Multiplexed::new(Arc::clone(&self.proxy), &limits)).process_new(stream, &self.stop).await;
        } else {
            self.serve_http1(stream, connection).await;
        }
        if let Some(Over::Refused(refusal)) = connection.over() {
            self.refused(refusal);
        } else if connection.was_answered_in_head() {
            self.refused(Refusal::Malformed);
        }
    }

    async fn serve_http1(&self, stream: Stream, connection: &Connection) {
        let mut session = ServerSession::new_http1(stream);
        // Without a timer of Pingora's: the watch knows when its time is over.
        session.set_keepalive(Some(0));
        loop {
            let Some(reused) = self.proxy.process_new_http(session, &self.stop).await else { return };
            let (stream, settings) = reused.consume();
            connection.idle();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
        }
    }

    fn refused(&self, refusal: Refusal) {
        self.metrics.refused_total.with_label_values(&[refusal.as_str()]).inc();
    }
}

impl Counted {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Whether the process or the system has no file descriptors left.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// As nginx does it: `[::]:80` leaves IPv4 to `0.0.0.0:80`, which may stand beside it.
fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Or the address could not be had for a minute after a restart.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Connections that may wait to be accepted; the system's own limit is lower.
const BACKLOG: i32 = 65_535;
const ACCEPT_REST: Duration = Duration::from_millis(20);
/// Between two warnings about one listener.
const QUIET: Duration = Duration::from_secs(10);
// The same on every Unix since the seventh edition.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
