//! The proxy of the `throughline` command: which site a request belongs to, and who answers it.

use std::{
    net::SocketAddr,
    os::fd::RawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Version, header};
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
    connection::{Connection, WRITE_STALL_MS},
    forwarding::{self, Claims, Forwarding, Teller},
    framing,
    module::{self, Tracking},
    refusal::{self, Refusal},
    runtime::{SiteTable, TrackedSite, Tracker},
    tunnel,
    upstream::{self, Attempts, Upstream},
};
use crate::{
    config::{Limits, Purpose},
    metrics::seconds,
    tracking::{site::normal_host, visit::Client},
};

/// Proxies all sites.
pub struct Proxy {
    tracker: Arc<Tracker>,
    table: Arc<SiteTable>,
    forwarding: Forwarding,
    max_header_bytes: usize,
    warned_of_claims: AtomicBool,
    busy: Busy,
}

/// How many requests are under way.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<AtomicUsize>);

/// One request.
pub struct Context {
    connection: Option<Arc<Connection>>,
    client: Option<Client>,
    claims: Claims,
    refused: Option<Refusal>,
    upload: Option<Upload>,
    site: Option<(usize, Arc<TrackedSite>)>,
    started: Instant,
    asked: Option<Instant>,
    answered: Option<Instant>,
    /// Whether a conversion hangs on it; only then the page may have waited.
    is_hit: bool,
    attempts: Attempts,
    _busy: BusyGuard,
}

struct BusyGuard(Busy);

/// A body that is still arriving; over when dropped.
struct Upload(Arc<Connection>);

impl Busy {
    /// Whether no request is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.uploaded();
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

impl Context {
    /// Whether it has to come again over TLS; a trusted proxy may say that it did.
    fn is_redirected(&self) -> bool {
        let is_redirecting = self.connection.as_ref().is_some_and(|it| it.listener.purpose == Purpose::RedirectToHttps);
        is_redirecting && !self.client.is_some_and(|client| client.over_tls)
    }
}

impl Proxy {
    /// Prepares the proxy; `busy` tells its owner when it may be stopped.
    #[must_use]
    pub fn new(tracker: Arc<Tracker>, table: Arc<SiteTable>, limits: &Limits, busy: Busy) -> Self {
        Self {
            tracker,
            table,
            forwarding: Forwarding::new(Uuid::new_v4()),
            max_header_bytes: limits.max_header_bytes,
            warned_of_claims: AtomicBool::new(false),
            busy,
        }
    }

    /// Judges a request that has just arrived, and says whose it is.
    fn receive(&self, session: &mut Session, ctx: &mut Context, ends_with_head: bool) -> Result<Client, Refusal> {
        let connection = session.digest().and_then(Connection::of).cloned();
        let Some(connection) = connection else { return Err(Refusal::Malformed) };
        // HTTP/2 says it beside the head.
        let is_http2 = session.req_header().version == Version::HTTP_2;
        let has_body = (is_http2 || !ends_with_head) && !session.is_body_empty();
        if has_body {
            // What is left of a body when it has been answered must not drip in for ever.
            session.set_total_drain_timeout(Some(DRAIN));
        }
        let head = session.req_header();
        let timed = has_body && refusal::has_timed_body(&head.method, &head.headers);
        connection.serving(timed);
        ctx.upload = timed.then(|| Upload(Arc::clone(&connection)));
        let client = forwarding::client(&connection, &head.headers, &self.table);
        ctx.connection = Some(Arc::clone(&connection));
        if let Some(http1) = session.as_downstream().as_http1() {
            refusal::judge(&http1.get_headers_raw_bytes(), head.version, &head.headers, self.max_header_bytes)?;
        }
        if self.forwarding.has_seen(&head.headers) {
            return Err(Refusal::Loop);
        }
        ctx.claims = forwarding::claims(&head.headers);
        if ctx.claims.address && !connection.is_trusted {
            self.note_claims(&connection);
        }
        Ok(client)
    }

    /// A proxy before us that is not in `trusted_proxies` makes every visitor look like itself.
    fn note_claims(&self, connection: &Connection) {
        self.tracker.metrics.untrusted_forwarded_total.inc();
        if !self.warned_of_claims.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                peer = %connection.address(),
                "a request says who it is forwarded for, and is not believed: if this address is a proxy of yours, \
                 name it in `trusted_proxies`; this is said once, and counted in throughline_untrusted_forwarded_total"
            );
        }
    }

    /// What is answered without asking any site.
    fn own_answer(&self, session: &Session, ctx: &mut Context) -> Option<Answer> {
        let head = session.req_header();
        let listener = ctx.connection.as_ref().map(|connection| &connection.listener)?;
        let is_probe = listener.probe.as_deref() == Some(head.uri.path());
        if is_probe && matches!(ctx.refused, None | Some(Refusal::UnknownHost)) {
            // Whatever host it names, it is no request of that site's visitors.
            ctx.site = None;
            return Some(Answer::well());
        }
        if ctx.refused.is_none() && ctx.is_redirected() {
            match https_location(head) {
                Some(location) => return Some(Answer::redirect(location, &head.method)),
                None => ctx.refused = Some(Refusal::NoHost),
            }
        }
        let refusal = ctx.refused?;
        self.tracker.metrics.refused_total.with_label_values(&[refusal.as_str()]).inc();
        Some(Answer::error(refusal.status(), None))
    }

    fn upstream<'a>(&'a self, ctx: &Context) -> Option<&'a Arc<Upstream>> {
        ctx.site.as_ref().and_then(|(index, _)| self.table.upstream(*index))
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        self.busy.0.fetch_add(1, Ordering::AcqRel);
        let busy = BusyGuard(self.busy.clone());
        Context {
            connection: None,
            client: None,
            claims: Claims::default(),
            refused: None,
            upload: None,
            site: None,
            started: now(),
            asked: None,
            answered: None,
            is_hit: false,
            attempts: Attempts::default(),
            _busy: busy,
        }
    }

    // Overrides the default, which boxes a compressor for every request.
    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        module::install(modules, &self.tracker);
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
        let Some(index) = self.table.find(session.req_header()) else {
            ctx.refused = Some(Refusal::UnknownHost);
            return Ok(());
        };
        let Some(site) = self.tracker.sites.get(index) else { return Ok(()) };
        if let (false, Some(tracking)) = (ctx.is_redirected(), session.downstream_modules_ctx.get_mut::<Tracking>()) {
            tracking.arm(site, client);
        }
        ctx.site = Some((index, Arc::clone(site)));
        if !ends_with_head && session.is_upgrade_req() {
            // Pingora gives up on visitors who are silent for a minute; in a tunnel they may be.
            session.set_read_timeout(self.upstream(ctx).map(|upstream| upstream.read_timeout()));
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let Some(answer) = self.own_answer(session, ctx) else { return Ok(false) };
        if let Some(tracking) = session.downstream_modules_ctx.get_mut::<Tracking>() {
            tracking.disarm();
        }
        if ctx.refused.is_some_and(|refusal| !refusal.leaves_connection_usable()) {
            session.set_keepalive(None);
        }
        answer.send(session).await?;
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
            let teller = Teller { client, claims: ctx.claims };
            self.forwarding.tell(request, session.req_header().version, connection, teller);
        }
        match self.upstream(ctx) {
            Some(upstream) => upstream.rewrite(session, &ctx.attempts, request),
            None => Ok(()),
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        let now = now();
        ctx.asked = Some(now);
        ctx.is_hit = session.downstream_modules_ctx.get::<Tracking>().is_some_and(Tracking::is_hit);
        if ctx.is_hit {
            // A visitor who leaves early has still bought.
            session.set_abort_on_close(false);
        }
        let Context { connection, client, attempts, .. } = ctx;
        let ends = || {
            let (visitor, local) = connection.as_ref().map(|connection| (connection.visitor, connection.local))?;
            let address = client.map_or(visitor.ip(), |client| client.address);
            // The port of a connection to somebody else is not known.
            let is_visitors = address == visitor.ip().to_canonical();
            Some((if is_visitors { visitor } else { SocketAddr::new(address, 0) }, local))
        };
        let upstream = ctx.site.as_ref().and_then(|(index, _)| self.table.upstream(*index));
        let upstream = upstream.ok_or_else(|| Error::explain(ErrorType::InternalError, "no site"))?;
        let mut peer = upstream.peer(session, ends, attempts, now)?;
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
        if let Some(upstream) = self.upstream(ctx) {
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
        match self.upstream(ctx) {
            Some(upstream) => upstream.failed_to_connect(&mut ctx.attempts, error, now()),
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
        if let Some(upstream) = self.upstream(ctx) {
            return upstream.failed_to_answer(session, &mut ctx.attempts, error, reused, now());
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
        ctx.answered = Some(now());
        if let Some(length) = framing::repeated_length(&response.headers) {
            response.insert_header(header::CONTENT_LENGTH, length)?;
        }
        tunnel::check(session.req_header(), response)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Context) -> FailToProxy {
        if module::break_off(session).await {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        }
        let error_code = match (error.etype(), error.esource()) {
            (ErrorType::HTTPStatus(status), _) => *status,
            // The visitor is gone, or cannot be understood any more.
            (ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed, ErrorSource::Downstream) => 0,
            (ErrorType::WriteTimedout, ErrorSource::Downstream) => {
                self.tracker.metrics.refused_total.with_label_values(&[Refusal::WriteStall.as_str()]).inc();
                0
            }
            (_, ErrorSource::Downstream) => 400,
            _ => upstream::status_for(error),
        };
        if error_code != 0 {
            session.set_keepalive(None);
            let own = ctx.site.as_ref().and_then(|(index, _)| self.table.error_page(*index, error_code));
            if let Err(error) = Answer::error(error_code, own).send(session).await {
                tracing::debug!(%error, "a visitor did not take the answer");
            }
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

/// For the rest of a body that nobody waits for any more.
const DRAIN: Duration = Duration::from_secs(10);

/// Where the same page is, over TLS on its usual port.
fn https_location(head: &RequestHeader) -> Option<HeaderValue> {
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).or_else(|| head.uri.host())?;
    let host = normal_host(host);
    // Anything else would send the visitor to another place than a browser thinks it is at.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[:]".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_plain) {
        return None;
    }
    let rest = match head.raw_path() {
        path if path.starts_with(b"/") => path,
        // In absolute form, or the `*` of OPTIONS.
        _ => head.uri.path_and_query().map_or("/", |rest| rest.as_str()).as_bytes(),
    };
    let rest = if rest.starts_with(b"/") { rest } else { b"/" };
    HeaderValue::from_bytes(&[b"https://", host.as_bytes(), rest].concat()).ok()
}
