//! Runs the proxy on sockets that are bound before anything else starts.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use pingora::apps::HttpServerApp;
use pingora_proxy::http_proxy;
use tokio::sync::watch;

use super::{
    edition::Current,
    listener::{Bound, Front},
    service::{Busy, Proxy},
    tls::Certificates,
};
use crate::config;

/// Sockets that accept connections already.
#[derive(Debug)]
pub struct Listeners(Vec<Bound>);

impl Listeners {
    /// Binds all addresses, or says which one could not be used, and why.
    ///
    /// # Errors
    /// The address, and what is in the way.
    pub fn bind(listeners: &[config::Listener]) -> Result<Self, (SocketAddr, Unusable)> {
        let bind = |listener: &config::Listener| {
            let certificates = match listener.tls.as_slice() {
                [] => None,
                files => Some(Certificates::read(files)?),
            };
            Ok(Bound::bind(listener, certificates)?)
        };
        let bound = listeners.iter().map(|it| bind(it).map_err(|error: Unusable| (it.address, error)));
        bound.collect::<Result<_, _>>().map(Self)
    }

    /// The addresses as they are, ports filled in.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|bound| bound.address)
    }

    /// What each of them shows over TLS, in the order of the configuration.
    #[must_use]
    pub fn certificates(&self) -> Vec<Option<Arc<Certificates>>> {
        self.0.iter().map(|bound| bound.certificates.clone()).collect()
    }
}

/// Why a listener cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The address cannot be had.
    #[error(transparent)]
    Address(#[from] std::io::Error),
    /// A certificate cannot be shown.
    #[error(transparent)]
    Certificate(#[from] config::UnusableCertificate),
}

/// Serves until `stop` says true, then finishes what is under way, at most for the grace period.
pub async fn serve(listeners: Listeners, current: Arc<Current>, stop: watch::Receiver<bool>) {
    current.attend().await;
    let busy = Busy::default();
    let first = current.edition();
    let proxy = Arc::new(http_proxy(first.table.settings(), Proxy::new(Arc::clone(&current), busy.clone())));
    tokio::spawn(Arc::clone(current.watch()).keep_looking());
    let multiplexed = Arc::new(());
    let front = Arc::new(Front {
        proxy: Arc::clone(&proxy),
        current: Arc::clone(&current),
        metrics: Arc::clone(&first.tracker.metrics),
        multiplexed: Arc::clone(&multiplexed),
        stop: stop.clone(),
    });
    drop(first);
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners.0 {
        let (front, address) = (Arc::clone(&front), listener.address);
        accepting.spawn(async move {
            if let Err(error) = listener.accept(front).await {
                tracing::error!(%address, %error, "a listener is closed");
            }
        });
    }
    while accepting.join_next().await.is_some() {}
    proxy.http_cleanup().await;
    let grace = current.edition().limits.shutdown_grace;
    let idle = async {
        while !busy.is_idle() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(grace, idle).await.is_err() {
        let grace_s = grace.as_secs();
        tracing::warn!(grace_s, "requests were still under way when the grace period ended");
        return;
    }
    let flushed = async {
        while Arc::strong_count(&multiplexed) > OURS {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // Visitors who do not answer any more keep theirs open; nobody waits for them.
    if tokio::time::timeout(grace.min(LAST_BYTES), flushed).await.is_err() {
        tracing::debug!("HTTP/2 connections were still open at the end");
    }
}

/// One here, one in what all listeners share.
const OURS: usize = 2;
/// How long the end of an answer may take to leave through HTTP/2 after its request is over.
const LAST_BYTES: Duration = Duration::from_secs(2);
