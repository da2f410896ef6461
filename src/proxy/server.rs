//! Runs the proxy on sockets that are bound before anything else starts.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use pingora::apps::HttpServerApp;
use pingora_proxy::http_proxy;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{
    edition::Current,
    listener::{Bound, Front},
    logbook::Logbook,
    service::{Busy, Proxy},
    sockets::{Inherited, Listening},
    tls::Certificates,
};
use crate::config;

/// Sockets that accept connections already.
#[derive(Debug)]
pub struct Listeners(Vec<Bound>);

impl Listeners {
    /// Takes over what was handed over and binds all other addresses, or says which one could not be
    /// used, and why.
    ///
    /// # Errors
    /// The address, and what is in the way.
    pub fn bind(listeners: &[config::Listener], inherited: &mut Inherited) -> Result<Self, (SocketAddr, Unusable)> {
        let mut bind = |listener: &config::Listener| {
            let certificates = match listener.tls.as_slice() {
                [] => None,
                files => Some(Certificates::read(files)?),
            };
            Ok(Bound::bind(listener, certificates, inherited)?)
        };
        let bound = listeners.iter().map(|it| bind(it).map_err(|error: Unusable| (it.address, error)));
        bound.collect::<Result<_, _>>().map(Self)
    }

    /// Copies of all sockets, for a process that takes over.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn share(&self) -> io::Result<Vec<Listening>> {
        self.0.iter().map(Bound::share).collect()
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

/// What a proxy is told, and tells, between its beginning and its end.
#[derive(Debug)]
pub struct Course {
    /// Told once all listeners accept connections; dropped when they can't.
    pub begun: oneshot::Sender<()>,
    /// Says true when no more requests are wanted.
    pub stop: watch::Receiver<bool>,
    /// Says true before that when another process accepts connections on the same sockets; false again when
    /// those that are open shall not be waited for.
    pub handed_over: watch::Receiver<bool>,
}

/// Serves until it is told to stop, then finishes what is under way, at most for the grace period.
pub async fn serve(listeners: Listeners, current: Arc<Current>, logbook: Arc<Logbook>, course: Course) {
    let Course { begun, stop, mut handed_over } = course;
    current.attend().await;
    let busy = Busy::default();
    let first = current.edition();
    let access = logbook.access.clone();
    let service = Proxy::new(Arc::clone(&current), logbook, busy.clone());
    let proxy = Arc::new(http_proxy(first.table.settings(), service));
    tokio::spawn(Arc::clone(current.watch()).keep_looking());
    let multiplexed = Arc::new(());
    let front = Arc::new(Front {
        proxy: Arc::clone(&proxy),
        current: Arc::clone(&current),
        access,
        metrics: Arc::clone(&first.tracker.metrics),
        multiplexed: Arc::clone(&multiplexed),
        stop: stop.clone(),
    });
    drop(first);
    let mut accepting = tokio::task::JoinSet::new();
    let ((one, mut ones), all) = (mpsc::unbounded_channel(), listeners.0.len());
    for listener in listeners.0 {
        let (front, address, begun) = (Arc::clone(&front), listener.address, one.clone());
        accepting.spawn(async move {
            if let Err(error) = listener.accept(front, begun).await {
                tracing::error!(%address, %error, "a listener is closed");
            }
        });
    }
    drop(one);
    let mut accept = 0;
    while ones.recv().await.is_some() {
        accept += 1;
    }
    if accept == all {
        // Nobody need wait for it.
        begun.send(()).ok();
    }
    while accepting.join_next().await.is_some() {}
    let grace = current.edition().limits.shutdown_grace;
    let end = Instant::now() + grace;
    if *handed_over.borrow() {
        // A visitor may ask for more on a connection that is open, at this very moment. The answer to that
        // sends them to the other process; only who asks for nothing is cut off.
        let gone = async {
            while !current.watch().is_idle() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            _ = timeout_at(end, gone) => {}
            _ = handed_over.wait_for(|handed_over| !*handed_over) => {}
        }
    }
    proxy.http_cleanup().await;
    let idle = async {
        while !busy.is_idle() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout_at(end, idle).await.is_err() {
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
