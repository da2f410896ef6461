//! The servers behind a site: which one a request goes to, and what happens when that one fails.
//!
//! Servers take turns by their weights ([`turns`]), the addresses of one server take turns in order.
//! First come those that nothing is known against, then those that could not be connected to just
//! now, then those that say they are not well ([`health`]): what might work is tried.
//!
//! A request goes to another address when none of it was sent, whatever its method; after that only
//! if doing it twice does no harm, all of it can be repeated, and no byte of an answer came.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Version, header};
use parking_lot::Mutex;
use pingora::{
    Error, ErrorType, Result, RetryType,
    connectors::{ConnectorOptions, http::Connector},
    http::RequestHeader,
    server::configuration::ServerConf,
    upstreams::peer::HttpPeer,
};
use pingora_proxy::Session;

use crate::{
    config::{HostHeader, Scheme, UpstreamRules},
    metrics::Metrics,
};

mod dialing;
mod endpoint;
mod health;
mod introduction;
mod server;
mod status;
mod tls;
mod turns;

use dialing::Dialing;
use endpoint::{Endpoint, Standing};
use health::Questions;
use introduction::Introduction;
use server::Server;
pub use status::status_for;
pub use tls::InvalidUpstream;
use turns::Turns;

/// The servers behind a site.
#[derive(Debug)]
pub struct Upstream {
    rules: UpstreamRules,
    dialing: Dialing,
    servers: Vec<Server>,
    turns: Mutex<Turns>,
    /// The `Host` of all requests, when it is not the visitor's.
    fixed_host: Option<HeaderValue>,
    /// A host that visitors ask for, for our own questions.
    public_host: HeaderValue,
    questions: Option<Questions>,
    warned: Mutex<Option<Instant>>,
}

/// What one request has tried so far.
#[derive(Debug, Default)]
pub struct Attempts {
    chosen: Option<Arc<Endpoint>>,
    failed: Vec<Arc<Endpoint>>,
    count: usize,
}

impl Attempts {
    fn has_tried(&self, endpoint: &Arc<Endpoint>) -> bool {
        self.failed.iter().any(|failed| Arc::ptr_eq(failed, endpoint))
    }
}

impl Upstream {
    /// Prepares the servers of `site`, which answers for `public_host` among others.
    ///
    /// # Errors
    ///
    /// When a file that the rules name cannot be used.
    pub fn new(
        rules: &UpstreamRules,
        site: &str,
        public_host: Option<&str>,
        metrics: &Metrics,
    ) -> Result<Self, InvalidUpstream> {
        let dialing = Dialing::new(rules)?;
        let mut servers = Vec::with_capacity(rules.servers.len());
        for (index, server) in rules.servers.iter().enumerate() {
            let gauge = metrics.upstream_up.with_label_values(&[site, &server.url]);
            servers.extend(Server::new(index, rules, &dialing, gauge)?);
        }
        let own_host = servers.first().map(|server| server.host.clone());
        let public_host = public_host.and_then(|host| HeaderValue::try_from(host).ok()).or(own_host);
        let fixed_host = match &rules.host {
            HostHeader::Fixed(host) => HeaderValue::try_from(host).ok(),
            HostHeader::Preserve | HostHeader::Upstream => None,
        };
        Ok(Self {
            turns: Mutex::new(Turns::new(rules.servers.iter().map(|server| server.weight))),
            fixed_host,
            public_host: public_host.unwrap_or(HeaderValue::from_static("localhost")),
            questions: rules.health.as_ref().map(Questions::new),
            warned: Mutex::default(),
            rules: rules.clone(),
            dialing,
            servers,
        })
    }

    /// How long a server may be silent.
    #[must_use]
    pub const fn read_timeout(&self) -> Duration {
        self.rules.read_timeout
    }

    /// A peer for the next attempt of a request; `ends` says from where to where its visitor connected.
    ///
    /// # Errors
    ///
    /// When no server's name has ever been resolved.
    pub fn peer(
        &self,
        session: &Session,
        ends: impl FnOnce() -> Option<(SocketAddr, SocketAddr)>,
        attempts: &mut Attempts,
        now: Instant,
    ) -> Result<Box<HttpPeer>> {
        let Some(endpoint) = self.choose(attempts, now) else {
            return Err(Error::explain(status::NO_SERVER, "no server's name has been resolved").into_up());
        };
        let head = session.req_header();
        let mut peer = endpoint.line.peer(&head.headers, || asked_host(head));
        if let Some(version) = self.dialing.proxy_protocol {
            let introduction = Introduction::of_visitor(version, ends());
            peer.group_key = introduction.group(peer.group_key);
            peer.options.custom_l4 = Some(introduction.connector());
        }
        attempts.chosen = Some(endpoint);
        Ok(peer)
    }

    fn choose(&self, attempts: &Attempts, now: Instant) -> Option<Arc<Endpoint>> {
        if let [server] = self.servers.as_slice()
            && let [only] = server.endpoints().as_slice()
        {
            return Some(Arc::clone(only));
        }
        let among = |attempts: &Attempts| {
            Standing::ALL.into_iter().find_map(|standing| {
                let server = match self.servers.as_slice() {
                    [only] => only,
                    several => {
                        let has = |index: usize| several.get(index).is_some_and(|it| it.has(standing, attempts, now));
                        several.get(self.turns.lock().next(has)?)?
                    }
                };
                server.take(standing, attempts, now)
            })
        };
        among(attempts).or_else(|| among(&Attempts::default()))
    }

    /// Notes that there is a connection to the chosen address.
    pub fn connected(&self, attempts: &Attempts, reused: bool) {
        let Some(endpoint) = attempts.chosen.as_ref().filter(|endpoint| !reused && endpoint.fails()) else { return };
        endpoint.has_connected();
        self.tell(endpoint, &"its health");
    }

    /// Decides what follows from a connection that failed. Nothing was sent, so any request may go elsewhere.
    #[must_use]
    pub fn failed_to_connect(&self, attempts: &mut Attempts, mut error: Box<Error>, now: Instant) -> Box<Error> {
        // Not a failed connection but a pooled one that had died.
        let was_pooled = matches!(error.etype(), ErrorType::H2Error);
        // A fault of this machine, such as too many open files, says nothing about the server.
        let is_ours = matches!(error.etype(), ErrorType::InternalError);
        if let Some(endpoint) = attempts.chosen.take().filter(|_| !was_pooled) {
            if !is_ours {
                endpoint.has_failed(now);
                self.tell(&endpoint, &error);
            }
            attempts.failed.push(endpoint);
        }
        attempts.count += 1;
        let goes_on = attempts.count < MAX_TRIES && (was_pooled || self.has_another(attempts));
        error.set_retry(goes_on);
        if !goes_on && self.endpoints_are_out() {
            error.etype = status::NO_SERVER;
        }
        error
    }

    /// Decides what follows from an exchange that failed after it had begun.
    #[must_use]
    pub fn failed_to_answer(
        &self,
        session: &Session,
        attempts: &mut Attempts,
        error: Box<Error>,
        reused: bool,
        now: Instant,
    ) -> Box<Error> {
        let server = attempts.chosen.as_ref().map(|endpoint| endpoint.line.address()).unwrap_or_default();
        let mut error = error.more_context(format!("server {server}"));
        attempts.count += 1;
        let may_be_repeated = !session.as_ref().retry_buffer_truncated() && attempts.count < MAX_TRIES;
        // The server says that it has not begun to work on it (RFC 9113 sections 6.8, 7 and 8.7).
        let was_refused = matches!(
            (error.etype(), &error.retry),
            (ErrorType::H2Error | ErrorType::H2Downgrade, RetryType::Decided(true))
        );
        let is_harmless = session.req_header().method.is_idempotent();
        if is_end_without_goodbye(&error) && session.response_written().is_none() {
            error.retry = RetryType::ReusedOnly;
        }
        // No answer came. On a used connection that is how a server's idle timeout looks.
        let broke_off = matches!(error.retry, RetryType::ReusedOnly);
        if broke_off
            && !reused
            && let Some(endpoint) = attempts.chosen.take()
        {
            attempts.failed.push(Arc::clone(&endpoint));
            if self.has_another(attempts) {
                endpoint.has_failed(now);
                self.tell(&endpoint, &error);
                error.set_retry(may_be_repeated && is_harmless);
                return error;
            }
        }
        if may_be_repeated && (is_harmless || was_refused) {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    /// Gives a request the `Host` that the servers are to see, and its cookies in one line.
    ///
    /// # Errors
    ///
    /// Never for a request that came over the wire.
    pub fn rewrite(&self, session: &Session, attempts: &Attempts, request: &mut RequestHeader) -> Result<()> {
        if session.req_header().version == Version::HTTP_2 {
            join_cookies(request)?;
        }
        let server = attempts.chosen.as_ref().and_then(|endpoint| self.servers.get(endpoint.server));
        match server.and_then(|server| self.host_for(server)) {
            Some(host) => request.insert_header(header::HOST, host),
            None => Ok(()),
        }
    }

    /// The `Host` of requests to this server; `None` for the visitor's.
    fn host_for<'a>(&'a self, server: &'a Server) -> Option<&'a HeaderValue> {
        match &self.rules.host {
            HostHeader::Preserve => None,
            HostHeader::Upstream => Some(&server.host),
            HostHeader::Fixed(_) => self.fixed_host.as_ref(),
        }
    }

    /// Tells the operator that requests fail, but not all the time.
    pub fn warn(&self, error: &pingora::Error, now: Instant) {
        let mut warned = self.warned.lock();
        if warned.is_none_or(|warned| now.saturating_duration_since(warned) >= QUIET) {
            *warned = Some(now);
            let urls: Vec<&str> = self.servers.iter().map(|server| server.rules.url.as_str()).collect();
            tracing::warn!(upstream = %urls.join(" "), %error, "the site's own server fails");
        }
    }

    fn tell(&self, endpoint: &Endpoint, why: &dyn fmt::Display) {
        if let Some(server) = self.servers.get(endpoint.server) {
            server.tell(why);
        }
    }

    fn has_another(&self, attempts: &Attempts) -> bool {
        self.servers.iter().any(|server| server.endpoints().iter().any(|endpoint| !attempts.has_tried(endpoint)))
    }

    fn endpoints_are_out(&self) -> bool {
        self.servers.iter().all(|server| server.endpoints().iter().all(|endpoint| endpoint.is_out()))
    }

    fn verifies_by_system(&self) -> bool {
        let tls = &self.rules.tls;
        tls.verify && tls.ca.is_none() && self.servers.iter().any(|server| server.rules.scheme == Scheme::Https)
    }
}

/// Settings of Pingora that depend on the servers behind the sites.
///
/// # Errors
///
/// When the system's certificate authorities are needed and cannot be read.
pub fn settings(upstreams: &[Arc<Upstream>]) -> Result<ServerConf, InvalidUpstream> {
    let by_system = upstreams.iter().any(|upstream| upstream.verifies_by_system());
    if by_system {
        tls::check_system_authorities()?;
    }
    Ok(ServerConf {
        max_retries: MAX_TRIES,
        // Pingora reads the system's authorities at start, and panics when it cannot.
        ca_file: (!by_system).then(|| "/dev/null".to_owned()),
        ..ServerConf::default()
    })
}

/// Resolves names and asks for health, beside the requests and until the process ends.
///
/// Comes back when all names were looked up once, or after a moment without those that take longer.
pub async fn attend(upstreams: &[Arc<Upstream>], settings: &ServerConf) {
    for upstream in upstreams {
        for index in 0..upstream.servers.len() {
            let upstream = Arc::clone(upstream);
            tokio::spawn(async move {
                if let Some(server) = upstream.servers.get(index) {
                    server.keep_resolved(&upstream.rules, &upstream.dialing).await;
                }
            });
        }
    }
    let resolved = async {
        for server in upstreams.iter().flat_map(|upstream| &upstream.servers) {
            server.await_looked_up().await;
        }
    };
    // The other sites need not wait for a name that takes long.
    let _late = tokio::time::timeout(PATIENCE, resolved).await;
    if upstreams.iter().any(|upstream| upstream.questions.is_some()) {
        let connector = Arc::new(Connector::new(Some(ConnectorOptions::from_server_conf(settings))));
        for upstream in upstreams.iter().filter(|upstream| upstream.questions.is_some()) {
            tokio::spawn(Arc::clone(upstream).keep_asking(Arc::clone(&connector)));
        }
    }
}

/// Many servers close TLS without saying so (RFC 8446 section 6.1), which Pingora takes for a fault in
/// mid-answer.
fn is_end_without_goodbye(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    matches!(error.etype(), ErrorType::ReadError) && cause.is_some_and(|it| it.kind() == io::ErrorKind::UnexpectedEof)
}

fn asked_host(head: &RequestHeader) -> Option<String> {
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.or_else(|| head.uri.host()).map(str::to_owned)
}

/// HTTP/2 visitors send each cookie by itself, and servers with HTTP/1.1 expect one line (RFC 9113
/// section 8.2.3).
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    let Some(joined) = joined_cookies(&request.headers) else { return Ok(()) };
    request.insert_header(header::COOKIE, joined)
}

fn joined_cookies(headers: &HeaderMap) -> Option<Vec<u8>> {
    let lines = headers.get_all(header::COOKIE);
    lines.iter().nth(1)?;
    Some(lines.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]))
}

/// Attempts of one request in all. Pingora would otherwise try a dead server sixteen times.
const MAX_TRIES: usize = 3;
/// Between two warnings about one site.
const QUIET: Duration = Duration::from_secs(10);
/// How long the start waits for names.
const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
