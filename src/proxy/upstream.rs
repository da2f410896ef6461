//! Where a site's own server is: its address, resolved beside the requests and never within one.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora::upstreams::peer::HttpPeer;

mod status;

pub use status::status_for;

use crate::config::{ServerAddress, UpstreamRules};

/// The server behind a site.
#[derive(Debug)]
pub struct Upstream {
    host: String,
    port: u16,
    resolved: ArcSwap<Vec<SocketAddr>>,
    read_timeout: Duration,
    next: AtomicUsize,
    warned: Mutex<Option<Instant>>,
}

impl Upstream {
    /// Takes an address; a name must be resolved before the first request.
    #[must_use]
    pub fn new(rules: &UpstreamRules) -> Self {
        let (host, port) = match rules.servers.first().map(|server| &server.address) {
            Some(ServerAddress::Tcp { host, port }) => (host.clone(), *port),
            Some(ServerAddress::Unix(_)) | None => (String::new(), 0),
        };
        let literal = host.parse().map(|ip| vec![SocketAddr::new(ip, port)]).unwrap_or_default();
        Self {
            host,
            port,
            read_timeout: rules.read_timeout,
            resolved: ArcSwap::from_pointee(literal),
            next: AtomicUsize::new(0),
            warned: Mutex::default(),
        }
    }

    /// How long it may be silent.
    #[must_use]
    pub const fn read_timeout(&self) -> Duration {
        self.read_timeout
    }

    /// A peer for one request, or `None` while the name has never been resolved.
    #[must_use]
    pub fn peer(&self) -> Option<Box<HttpPeer>> {
        let resolved = self.resolved.load();
        let address = match resolved.as_slice() {
            [] => return None,
            [only] => *only,
            several => *several.get(self.next.fetch_add(1, Ordering::Relaxed) % several.len())?,
        };
        let mut peer = Box::new(HttpPeer::new(address, false, String::new()));
        peer.options.connection_timeout = Some(CONNECT_TIMEOUT);
        peer.options.total_connection_timeout = Some(CONNECT_TIMEOUT);
        peer.options.read_timeout = Some(READ_TIMEOUT);
        peer.options.write_timeout = Some(READ_TIMEOUT);
        peer.options.idle_timeout = Some(IDLE_TIMEOUT);
        Some(peer)
    }

    /// Tells the operator that this server fails, but not all the time.
    pub fn warn(&self, error: &pingora::Error, now: Instant) {
        let mut warned = self.warned.lock();
        if warned.is_none_or(|warned| now.saturating_duration_since(warned) >= QUIET) {
            *warned = Some(now);
            let Self { host, port, .. } = self;
            tracing::warn!(upstream = %format_args!("{host}:{port}"), %error, "the site's own server fails");
        }
    }

    /// Resolves the name once; on failure what was known before stays.
    pub async fn resolve(&self) {
        let Self { host, port, .. } = self;
        match tokio::net::lookup_host((host.as_str(), *port)).await {
            Ok(found) => {
                let mut found: Vec<SocketAddr> = found.collect();
                found.sort_unstable();
                if !found.is_empty() && **self.resolved.load() != found {
                    self.resolved.store(found.into());
                }
            }
            Err(error) => tracing::warn!(upstream = %host, %error, "the name of an upstream cannot be resolved"),
        }
    }

    /// Keeps the name resolved.
    pub async fn keep_resolved(&self) {
        if self.host.parse::<std::net::IpAddr>().is_ok() {
            return;
        }
        loop {
            tokio::time::sleep(REFRESH).await;
            self.resolve().await;
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const READ_TIMEOUT: Duration = Duration::from_mins(5);
/// Below the 5 s after which Apache closes an idle connection: a POST on a connection that is just
/// being closed could not be repeated.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Between two warnings about one server.
const QUIET: Duration = Duration::from_secs(10);
const REFRESH: Duration = Duration::from_secs(30);
