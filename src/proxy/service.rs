//! The proxy of the `throughline` command: which site a request belongs to, and who answers it.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use async_trait::async_trait;
use http::Version;
use pingora::{
    Error, ErrorSource, ErrorType, Result, http::ResponseHeader, modules::http::HttpModules, upstreams::peer::HttpPeer,
};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use super::{
    module::{self, Tracking},
    runtime::{SiteTable, TrackedSite, Tracker},
};
use crate::{metrics::seconds, tracking::visit::Client};

/// Proxies all sites.
pub struct Proxy {
    tracker: Arc<Tracker>,
    table: Arc<SiteTable>,
    busy: Busy,
}

/// How many requests are under way.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<AtomicUsize>);

/// One request.
pub struct Context {
    site: Option<(usize, Arc<TrackedSite>)>,
    started: Instant,
    asked: Option<Instant>,
    answered: Option<Instant>,
    /// Whether a conversion hangs on it; only then the page may have waited.
    is_hit: bool,
    _busy: BusyGuard,
}

struct BusyGuard(Busy);

impl Busy {
    /// Whether no request is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

impl Proxy {
    /// Prepares the proxy; `busy` tells its owner when it may be stopped.
    #[must_use]
    pub fn new(tracker: Arc<Tracker>, table: Arc<SiteTable>, busy: Busy) -> Self {
        Self { tracker, table, busy }
    }

    fn client(&self, session: &Session) -> Option<Client> {
        let peer: IpAddr = session.client_addr()?.as_inet()?.ip();
        let over_tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        if !self.table.trusts(peer) {
            return Some(Client { address: peer, over_tls });
        }
        let last = |name: &str| {
            let value = session.req_header().headers.get_all(name).iter().next_back()?.to_str().ok()?;
            Some(value.trim().to_owned())
        };
        let forwarded = |list: String| {
            // The nearest proxy writes at the end; those it trusts in turn are passed over.
            let hops = list.split(',').rev().filter_map(|hop| hop.trim().parse::<IpAddr>().ok());
            let mut hops = hops.peekable();
            while let Some(hop) = hops.next() {
                if !self.table.trusts(hop) || hops.peek().is_none() {
                    return Some(hop);
                }
            }
            None
        };
        Some(Client {
            address: last("x-forwarded-for").and_then(forwarded).unwrap_or(peer),
            over_tls: last("x-forwarded-proto").map_or(over_tls, |scheme| scheme.eq_ignore_ascii_case("https")),
        })
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        self.busy.0.fetch_add(1, Ordering::AcqRel);
        let busy = BusyGuard(self.busy.clone());
        Context { site: None, started: now(), asked: None, answered: None, is_hit: false, _busy: busy }
    }

    // Overrides the default, which boxes a compressor for every request.
    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        module::install(modules, &self.tracker);
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        if session.req_header().version == Version::HTTP_10 {
            // It knows no chunks, so a body of unknown length ends with its connection.
            session.set_keepalive(None);
        } else if session.get_keepalive().is_some() {
            // Pingora waits for ever for the next request of a connection unless told otherwise.
            session.set_keepalive(Some(KEEP_ALIVE_SECONDS));
        }
        let head = session.req_header();
        let Some(index) = self.table.find(head) else { return Ok(()) };
        let Some(site) = self.tracker.sites.get(index) else { return Ok(()) };
        ctx.site = Some((index, Arc::clone(site)));
        let client = self.client(session);
        if let (Some(client), Some(tracking)) = (client, session.downstream_modules_ctx.get_mut::<Tracking>()) {
            tracking.arm(site, client);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        if ctx.site.is_some() {
            return Ok(false);
        }
        self.tracker.metrics.refused_total.with_label_values(&["unknown_host"]).inc();
        session.respond_error(421).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        ctx.asked = Some(now());
        ctx.is_hit = session.downstream_modules_ctx.get::<Tracking>().is_some_and(Tracking::is_hit);
        if ctx.is_hit {
            // A visitor who leaves early has still bought.
            session.set_abort_on_close(false);
        }
        let upstream = ctx.site.as_ref().and_then(|(index, _)| self.table.upstream(*index));
        upstream
            .and_then(|upstream| upstream.peer())
            .ok_or_else(|| Error::explain(ErrorType::ConnectError, "the upstream's name has not been resolved"))
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        _response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.answered = Some(now());
        Ok(())
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, _ctx: &mut Context) -> FailToProxy {
        if module::break_off(session).await {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        }
        let error_code = match (error.etype(), error.esource()) {
            (ErrorType::HTTPStatus(code), _) => *code,
            (_, ErrorSource::Upstream) => 502,
            // The visitor is gone.
            (ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed, ErrorSource::Downstream) => 0,
            (_, ErrorSource::Downstream) => 400,
            (_, ErrorSource::Internal | ErrorSource::Unset) => 500,
        };
        if error_code > 0 && session.respond_error(error_code).await.is_err() {
            tracing::debug!(error_code, "an error page could not be sent");
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        let Some((index, site)) = &ctx.site else { return };
        if let (Some(error), Some(upstream)) = (error, self.table.upstream(*index))
            && *error.esource() == ErrorSource::Upstream
        {
            upstream.warn(error, ctx.started);
        }
        let metrics = &site.metrics;
        if let Some(response) = session.response_written() {
            metrics.answered(response.status.as_u16());
        }
        metrics.request_seconds.observe(seconds(now().saturating_duration_since(ctx.started)));
        if let (Some(asked), Some(answered)) = (ctx.asked, ctx.answered) {
            metrics.upstream_seconds.observe(seconds(answered.saturating_duration_since(asked)));
            let tracking = if ctx.is_hit { session.downstream_modules_ctx.get::<Tracking>() } else { None };
            let waited = tracking.map(Tracking::waited).unwrap_or_default();
            metrics.overhead_seconds.observe(seconds(asked.saturating_duration_since(ctx.started) + waited));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long requests take is measured here")]
fn now() -> Instant {
    Instant::now()
}

const KEEP_ALIVE_SECONDS: u64 = 60;
