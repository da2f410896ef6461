//! Runs the proxy on sockets that are bound before anything else starts.
//!
//! Pingora's own `Server` binds late, panics when an address is in use, and sleeps through its grace
//! period. Its services can be run without it.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::IntoRawFd,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use pingora::{server::Fds, services::Service};
use pingora_proxy::http_proxy_service;
use tokio::sync::watch;

use super::{
    runtime::{SiteTable, Tracker},
    service::{Busy, Proxy},
    upstream,
};

/// Sockets that accept connections already.
#[derive(Debug)]
pub struct Listeners(Vec<(SocketAddr, TcpListener)>);

impl Listeners {
    /// Binds all addresses, or says which one could not be had.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, (SocketAddr, io::Error)> {
        let bind = |address: &SocketAddr| {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        };
        addresses
            .iter()
            .map(|address| bind(address).map_err(|error| (*address, error)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The addresses as they are, ports filled in.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|(address, _)| *address)
    }
}

/// Serves until `stop` says true, then finishes what is under way, at most for `grace`.
pub async fn serve(
    listeners: Listeners,
    tracker: Arc<Tracker>,
    table: Arc<SiteTable>,
    stop: watch::Receiver<bool>,
    grace: Duration,
) {
    let conf = Arc::clone(table.settings());
    upstream::attend(table.upstreams(), &conf).await;
    let busy = Busy::default();
    let mut service = http_proxy_service(&conf, Proxy::new(tracker, table, busy.clone()));
    let mut fds = Fds::new();
    for (address, listener) in listeners.0 {
        fds.add(address.to_string(), listener.into_raw_fd());
        service.add_tcp(&address.to_string());
    }
    service.start_service(Some(Arc::new(Mutex::new(fds))), stop, 1).await;
    let idle = async {
        while !busy.is_idle() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(grace, idle).await.is_err() {
        tracing::warn!(grace_s = grace.as_secs(), "requests were still under way when the grace period ended");
    }
}
