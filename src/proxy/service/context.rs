//! What is known of one request while it is under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use super::{
    super::{
        connection::Connection, edition::Edition, forwarding::Claims, refusal::Refusal, runtime::TrackedSite,
        upstream::Attempts,
    },
    note::Entry,
};
use crate::{
    access::RequestId,
    config::Purpose,
    trace::{AttemptSpan, RequestSpan},
    tracking::visit::Client,
};

/// How many requests are under way.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<AtomicUsize>);

/// One request.
pub struct Context {
    /// What is in force for it from its beginning to its end.
    pub(super) edition: Arc<Edition>,
    /// What it came on.
    pub(super) connection: Option<Arc<Connection>>,
    /// Whose it is.
    pub(super) client: Option<Client>,
    /// Whether what it says about others is believed.
    pub(super) is_trusted: bool,
    /// What it says about others.
    pub(super) claims: Claims,
    /// Why no site hears of it.
    pub(super) refused: Option<Refusal>,
    /// Its body, while that is arriving.
    pub(super) upload: Option<Upload>,
    /// Whose request it is, and that site's number.
    pub(super) site: Option<(usize, Arc<TrackedSite>)>,
    /// When its head was there.
    pub(super) started: Instant,
    /// When the site was asked.
    pub(super) asked: Option<Instant>,
    /// When the site answered.
    pub(super) answered: Option<Instant>,
    /// Whether a conversion hangs on it; only then the page may have waited.
    pub(super) is_hit: bool,
    /// Which servers were tried.
    pub(super) attempts: Attempts,
    /// Its id, where anybody reads it.
    pub(super) id: Option<RequestId>,
    /// Its line in the access log, where there is one.
    pub(super) entry: Option<Entry>,
    /// The status of the site's answer.
    pub(super) told: Option<u16>,
    /// The path pattern of the conversion that hangs on it, where it is traced.
    pub(super) route: Option<String>,
    /// Its part in a trace, and that of the last attempt.
    pub(super) span: RequestSpan,
    pub(super) attempt: AttemptSpan,
    _busy: BusyGuard,
}

struct BusyGuard(Busy);

/// A body that is still arriving; over when dropped.
pub(super) struct Upload(pub(super) Arc<Connection>);

impl Busy {
    /// Whether no request is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.pace.uploaded();
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

/// A request that ends in a panic has its line all the same.
impl Drop for Context {
    fn drop(&mut self) {
        if thread::panicking()
            && let Some(entry) = self.entry.take()
        {
            entry.of_a_panic(self);
        }
    }
}

impl Context {
    /// A request whose head has just arrived.
    pub(super) fn new(edition: Arc<Edition>, busy: &Busy, started: Instant) -> Self {
        busy.0.fetch_add(1, Ordering::AcqRel);
        Self {
            edition,
            connection: None,
            client: None,
            is_trusted: false,
            claims: Claims::default(),
            refused: None,
            upload: None,
            site: None,
            started,
            asked: None,
            answered: None,
            is_hit: false,
            attempts: Attempts::default(),
            id: None,
            entry: None,
            told: None,
            route: None,
            span: RequestSpan::default(),
            attempt: AttemptSpan::default(),
            _busy: BusyGuard(busy.clone()),
        }
    }

    /// Whether it has to come again over TLS; a trusted proxy may say that it did.
    pub(super) fn is_redirected(&self) -> bool {
        let is_redirecting = self.connection.as_ref().is_some_and(|it| it.listener.purpose == Purpose::RedirectToHttps);
        is_redirecting && !self.client.is_some_and(|client| client.over_tls)
    }
}
