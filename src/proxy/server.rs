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
use pingora::{
    server::{Fds, configuration::ServerConf},
    services::Service,
};
use pingora_proxy::http_proxy_service;
use tokio::sync::watch;

use super::{
    runtime::{SiteTable, Tracker},
    service::{Busy, Proxy},
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
    for upstream in table.upstreams() {
        upstream.resolve().await;
        let upstream = Arc::clone(upstream);
        tokio::spawn(async move { upstream.keep_resolved().await });
    }
    let busy = Busy::default();
    // At most one retry: Pingora would otherwise try a dead origin sixteen times.
    let conf = ServerConf { max_retries: MAX_TRIES, ..ServerConf::default() };
    let mut service = http_proxy_service(&Arc::new(conf), Proxy::new(tracker, table, busy.clone()));
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

const MAX_TRIES: usize = 2;
