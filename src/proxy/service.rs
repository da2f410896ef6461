//! The proxy of the `throughline` command: which site a request belongs to, and who answers it.

use std::{
    net::SocketAddr,
    os::fd::RawFd,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Version, header};
use pingora::{
    Error, ErrorSource, ErrorType, Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
    protocols::Digest,
    upstreams::peer::HttpPeer,
};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};
use uuid::Uuid;

use super::{
    answer::Answer,
    connection::WRITE_STALL_MS,
    edition::{Current, Edition},
    endpoint,
    forwarding::{Forwarding, Told},
    framing,
    logbook::Logbook,
    module::{self, Tracking},
    refusal::Refusal,
    tunnel,
    upstream::{self, Upstream},
};
use crate::{metrics::seconds, store::clock};

mod context;
mod note;
mod reception;

pub use context::{Busy, Context};

/// Proxies all sites.
pub struct Proxy {
    current: Arc<Current>,
    forwarding: Forwarding,
    logbook: Arc<Logbook>,
    warned_of_claims: AtomicBool,
    busy: Busy,
}

impl Proxy {
    /// Prepares the proxy; `busy` tells its owner when it may be stopped.
    #[must_use]
    pub fn new(current: Arc<Current>, logbook: Arc<Logbook>, busy: Busy) -> Self {
        let forwarding = Forwarding::new(Uuid::new_v4());
        Self { current, forwarding, logbook, warned_of_claims: AtomicBool::new(false), busy }
    }
}

impl Context {
    fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.site.as_ref().and_then(|(index, _)| self.edition.table.upstream(*index))
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(self.current.edition(), &self.busy, clock::instant())
    }

    // Overrides the default, which boxes a compressor for every request.
    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        module::install(modules);
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        if session.req_header().version == Version::HTTP_10 {
            // It knows no chunks, so a body of unknown length ends with its connection.
            session.set_keepalive(None);
            // Nor does it know answers before the answer (RFC 9110, section 15.2).
            session.set_ignore_info_resp(true);
        }
        if session.req_header().version == Version::HTTP_2 {
            // A visitor may take nothing of one stream while the connection lives; that no watch sees.
            session.set_write_timeout(Some(Duration::from_millis(WRITE_STALL_MS)));
        }
        // Most requests: nothing comes behind their head, and nothing below concerns them.
        let ends_with_head = framing::ends_with_head(session.req_header());
        session.set_pipelining_enabled(ends_with_head);
        if !ends_with_head && let Some(length) = framing::repeated_length(&session.req_header().headers) {
            session.req_header_mut().insert_header(header::CONTENT_LENGTH, length)?;
        }
        let client = match self.receive(session, ctx, ends_with_head) {
            Ok(client) => client,
            Err(refusal) => {
                ctx.refused = Some(refusal);
                return Ok(());
            }
        };
        ctx.client = Some(client);
        let Edition { tracker, table, .. } = &*ctx.edition;
        let Some(index) = table.find(session.req_header()) else {
            ctx.refused = Some(Refusal::UnknownHost);
            return Ok(());
        };
        let Some(site) = tracker.sites.get(index) else { return Ok(()) };
        if let (false, Some(tracking)) = (ctx.is_redirected(), session.downstream_modules_ctx.get_mut::<Tracking>()) {
            tracking.arm(tracker, site, client);
            tracking.allow_frames();
        }
        ctx.site = Some((index, Arc::clone(site)));
        if !ends_with_head && session.is_upgrade_req() {
            // Pingora gives up on visitors who are silent for a minute; in a tunnel they may be.
            session.set_read_timeout(ctx.upstream().map(|upstream| upstream.read_timeout()));
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let answer = match Self::own_answer(session, ctx) {
            Some(answer) => answer,
            None => match (&ctx.site, ctx.client) {
                (Some((_, site)), Some(client)) if endpoint::is_ours(site, session.req_header()) => {
                    // Boxed, so that other requests don't carry the room for its waiting.
                    Box::pin(endpoint::answer(&ctx.edition.tracker, site, session, client)).await
                }
                _ => return Ok(false),
            },
        };
        if let Some(tracking) = session.downstream_modules_ctx.get_mut::<Tracking>() {
            tracking.disarm();
        }
        if ctx.refused.is_some_and(|refusal| !refusal.leaves_connection_usable()) {
            session.set_keepalive(None);
        }
        self.identified(answer, ctx).send(session).await?;
        Ok(true)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        ends: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        if ends {
            ctx.upload = None;
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if let (Some(connection), Some(client)) = (&ctx.connection, ctx.client) {
            let via = ctx.upstream().is_some_and(|upstream| upstream.says_via());
            let told = Told { client, claims: ctx.claims, is_trusted: ctx.is_trusted, via };
            self.forwarding.tell(request, session.req_header().version, connection, told);
        }
        self.tell_site(request, ctx);
        match ctx.upstream() {
            Some(upstream) => upstream.rewrite(session, &ctx.attempts, request),
            None => Ok(()),
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        let now = clock::instant();
        ctx.asked = Some(now);
        if let Some(tracking) = session.downstream_modules_ctx.get_mut::<Tracking>() {
            tracking.begin_again();
            ctx.is_hit = tracking.is_hit();
            if ctx.is_hit && ctx.span.is_recording() {
                ctx.route = tracking.route();
            }
        }
        if ctx.is_hit {
            // A visitor who leaves early has still bought.
            session.set_abort_on_close(false);
        }
        let Context { edition, site, connection, client, attempts, .. } = ctx;
        let ends = || {
            let (visitor, local) = connection.as_ref().map(|connection| (connection.visitor, connection.local))?;
            let address = client.map_or(visitor.ip(), |client| client.address);
            // The port of a connection to somebody else is not known.
            let is_visitors = address == visitor.ip().to_canonical();
            Some((if is_visitors { visitor } else { SocketAddr::new(address, 0) }, local))
        };
        let upstream = site.as_ref().and_then(|(index, _)| edition.table.upstream(*index));
        let upstream = upstream.ok_or_else(|| Error::explain(ErrorType::InternalError, "no site"))?;
        let mut peer = upstream.peer(session, ends, attempts, now)?;
        ctx.attempt = ctx.span.attempt(&session.req_header().method, || attempts.server(), attempts.earlier());
        if tunnel::is_wanted(session.req_header()) {
            tunnel::prepare(&mut peer);
        }
        Ok(peer)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        if let Some(upstream) = ctx.upstream() {
            upstream.connected(&ctx.attempts, reused);
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Context,
        error: Box<Error>,
    ) -> Box<Error> {
        ctx.attempt.failed(error.etype().as_str());
        match ctx.upstream().cloned() {
            Some(upstream) => upstream.failed_to_connect(&mut ctx.attempts, error, clock::instant()),
            None => error,
        }
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        ctx.attempt.failed(error.etype().as_str());
        if let Some(upstream) = ctx.upstream().cloned() {
            return upstream.failed_to_answer(session, &mut ctx.attempts, error, reused, clock::instant());
        }
        error.set_retry(false);
        error
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.answered = Some(clock::instant());
        self.tell_visitor(response, ctx);
        if let Some(length) = framing::repeated_length(&response.headers) {
            response.insert_header(header::CONTENT_LENGTH, length)?;
        }
        tunnel::check(session.req_header(), response)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Context) -> FailToProxy {
        if module::break_off(session).await {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        }
        if matches!((error.etype(), error.esource()), (ErrorType::WriteTimedout, ErrorSource::Downstream)) {
            ctx.edition.tracker.metrics.refused_total.with_label_values(&[Refusal::WriteStall.as_str()]).inc();
        }
        let error_code = upstream::status_for(error);
        if error_code != 0 {
            session.set_keepalive(None);
            let own = ctx.site.as_ref().and_then(|(index, _)| ctx.edition.table.error_page(*index, error_code));
            if let Err(error) = self.identified(Answer::error(error_code, own), ctx).send(session).await {
                tracing::debug!(%error, "a visitor did not take the answer");
            }
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        self.note(session, error, ctx);
        let Some((_, site)) = &ctx.site else { return };
        if let (Some(error), Some(upstream)) = (error, ctx.upstream())
            && *error.esource() == ErrorSource::Upstream
        {
            upstream.warn(error, ctx.id.as_ref(), ctx.started);
        }
        let metrics = &site.metrics;
        if let Some(response) = session.response_written() {
            metrics.answered(response.status.as_u16());
        }
        metrics.request_seconds.observe(seconds(clock::instant().saturating_duration_since(ctx.started)));
        if let (Some(asked), Some(answered)) = (ctx.asked, ctx.answered) {
            metrics.upstream_seconds.observe(seconds(answered.saturating_duration_since(asked)));
            let tracking = if ctx.is_hit { session.downstream_modules_ctx.get::<Tracking>() } else { None };
            let waited = tracking.map(Tracking::waited).unwrap_or_default();
            metrics.overhead_seconds.observe(seconds(asked.saturating_duration_since(ctx.started) + waited));
        }
    }
}
