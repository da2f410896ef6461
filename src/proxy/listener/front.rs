//! The way of one connection from its socket to Pingora: whose it is, what is spoken on it, and what is noted
//! when it brings no request.

use std::{io, net::SocketAddr, sync::Arc};

use pingora::{
    apps::{HttpServerApp as _, ServerApp as _},
    protocols::{ALPN, Stream, http::ServerSession},
};
use pingora_proxy::HttpProxy;
use prometheus::IntGauge;
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::TlsAcceptor;

use super::Facts;
use crate::{
    access::{AccessLog, Ending, Record},
    config::Limits,
    metrics::Metrics,
    proxy::{
        connection::{Connection, Over},
        edition::Current,
        multiplex::Multiplexed,
        preamble,
        refusal::Refusal,
        service::Proxy,
        stream::VisitorStream,
        transport::Transport,
        watch::Place,
    },
    store::clock,
};

/// What all listeners hand their connections to.
pub struct Front {
    /// The proxy behind.
    pub proxy: Arc<HttpProxy<Proxy>>,
    /// Whom to trust, and what one visitor may cost.
    pub current: Arc<Current>,
    /// Where what became no request is noted.
    pub access: AccessLog,
    /// Where refusals are counted.
    pub metrics: Arc<Metrics>,
    /// Held by each HTTP/2 connection, whose last bytes leave after the request that they answer is over.
    pub multiplexed: Arc<()>,
    /// Says true when no more requests are wanted.
    pub stop: watch::Receiver<bool>,
}

/// A connection that is counted until it is dropped, also by a panic.
pub(super) struct Counted(IntGauge);

/// A connection that nothing is known of yet.
pub(super) struct Arrival {
    pub(super) tcp: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) place: Place,
    pub(super) facts: Arc<Facts>,
    pub(super) tls: Option<TlsAcceptor>,
}

impl Front {
    /// Prepares a connection and serves it to its end.
    pub(super) async fn welcome(self: Arc<Self>, arrival: Arrival, _counted: Counted) {
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
        if let Some(Over::Refused(refusal)) = connection.pace.over() {
            self.refused(refusal);
            if connection.pace.is_in_head() {
                self.note(refusal, connection);
            }
        } else if connection.pace.was_answered_in_head() {
            self.refused(Refusal::Malformed);
            self.note(Refusal::Malformed, connection);
        }
    }

    async fn serve_http1(&self, stream: Stream, connection: &Connection) {
        let mut session = ServerSession::new_http1(stream);
        // Without a timer of Pingora's: the watch knows when its time is over.
        session.set_keepalive(Some(0));
        loop {
            let Some(reused) = self.proxy.process_new_http(session, &self.stop).await else { return };
            let (stream, settings) = reused.consume();
            connection.pace.idle();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
        }
    }

    /// Notes a head that did not become a request.
    fn note(&self, refusal: Refusal, connection: &Connection) {
        if self.access.is_on() {
            self.access.note(Record {
                time: clock::now(),
                request_id: None,
                client: Some(connection.address()),
                site: None,
                asked: None,
                status: refusal.status(),
                bytes: 0,
                took: connection.pace.in_phase(),
                server: None,
                server_took: None,
                ending: Ending::Complete,
                refused: Some(refusal.as_str()),
            });
        }
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.metrics.refused_total.with_label_values(&[refusal.as_str()]).inc();
    }
}

impl Counted {
    pub(super) fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
