//! Sockets that visitors connect to, until each connection goes its way to Pingora.
//!
//! Pingora's own listeners bind late, panic when an address is in use, and know neither limits nor the
//! PROXY protocol. Its proxy can be fed by hand.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc::UnboundedSender;
use tokio_rustls::TlsAcceptor;

use super::{
    sockets::{self, Inherited, Listening, Role},
    tls::Certificates,
};
use crate::{
    config::{self, Purpose},
    store::clock,
    throttle::{Pass, Throttle},
};

mod front;

pub use front::Front;
use front::{Arrival, Counted};

/// A socket that accepts connections already.
#[derive(Debug)]
pub struct Bound {
    /// Its address as it is, the port filled in.
    pub address: SocketAddr,
    configured: SocketAddr,
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

impl Bound {
    /// Binds a configured listener, unless its socket was handed over.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(
        listener: &config::Listener,
        certificates: Option<Arc<Certificates>>,
        inherited: &mut Inherited,
    ) -> io::Result<Self> {
        let socket = match inherited.claim(Role::Listener, listener.address) {
            Some(socket) => socket,
            None => sockets::open(listener.address)?,
        };
        let facts = Facts {
            purpose: listener.purpose,
            probe: listener.probe.clone(),
            proxy_protocol: listener.proxy_protocol,
            name: listener.address.to_string(),
        };
        let address = socket.local_addr()?;
        Ok(Self { address, configured: listener.address, socket, facts: Arc::new(facts), certificates })
    }

    /// A copy of its socket, for a process that takes over.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn share(&self) -> io::Result<Listening> {
        Ok(Listening { role: Role::Listener, configured: self.configured, socket: self.socket.try_clone()? })
    }

    /// Accepts connections until it is time to stop; says to `begun` that it does.
    ///
    /// # Errors
    /// When the socket cannot be used, or TLS not be spoken.
    pub async fn accept(self, front: Arc<Front>, begun: UnboundedSender<()>) -> io::Result<()> {
        let socket = tokio::net::TcpListener::from_std(self.socket)?;
        let tls = match &self.certificates {
            Some(certificates) => {
                tokio::spawn(Arc::clone(certificates).keep_fresh(Arc::clone(&front.metrics)));
                Some(TlsAcceptor::from(certificates.server_config().map_err(io::Error::other)?))
            }
            None => None,
        };
        // Nobody need wait for it.
        begun.send(()).ok();
        drop(begun);
        let mut stop = front.stop.clone();
        let complaints = Throttle::new(1, QUIET);
        let connections = front.metrics.connections.with_label_values(&[self.facts.name.as_str()]);
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((tcp, peer)) => match front.current.watch().admit() {
                    Ok(place) => {
                        let counted = Counted::new(connections.clone());
                        let arrival = Arrival { tcp, peer, place, facts: Arc::clone(&self.facts), tls: tls.clone() };
                        tokio::spawn(Arc::clone(&front).welcome(arrival, counted));
                    }
                    Err(refusal) => front.refused(refusal),
                },
                Err(error) => {
                    // Of a connection that is gone already, or for want of file descriptors; then a
                    // moment's rest lets others end.
                    if is_exhaustion(&error)
                        && let Some(Pass { held_back, .. }) = complaints.pass(clock::instant())
                    {
                        tracing::warn!(%error, listener = %self.facts.name, held_back, "visitors cannot connect");
                    }
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

/// Whether the process or the system has no file descriptors left.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

const ACCEPT_REST: Duration = Duration::from_millis(20);
/// Between two warnings about one listener.
const QUIET: Duration = Duration::from_secs(10);
// The same on every Unix since the seventh edition.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
