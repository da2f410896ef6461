//! The servers behind a site: which one a request goes to, and what happens when that one fails.
//!
//! Servers take turns by their weights (`turns`), the addresses of one server take turns in order.
//! First come those that nothing is known against, then those that could not be connected to just
//! now, then those that say they are not well (`health`): what might work is tried.
//! What follows when that fails is decided in `attempts`.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Version, header};
use parking_lot::Mutex;
use pingora::{
    Error, Result,
    connectors::{ConnectorOptions, http::Connector},
    http::RequestHeader,
    server::configuration::ServerConf,
    upstreams::peer::HttpPeer,
};
use pingora_proxy::Session;
use tokio::task::AbortHandle;

use crate::{
    config::{HostHeader, Scheme, UpstreamRules},
    metrics::Metrics,
};

mod attempts;
mod dialing;
mod endpoint;
mod health;
mod introduction;
mod server;
mod status;
mod tls;
mod turns;

pub use attempts::Attempts;
use attempts::MAX_TRIES;
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
    site: String,
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
    care: Mutex<Care>,
}

/// Whether somebody looks after the servers.
#[derive(Debug)]
enum Care {
    /// Nobody yet.
    None,
    /// These tasks do.
    By(Vec<AbortHandle>),
    /// Nobody any more: no new request goes to them.
    Retired,
}

impl Upstream {
    /// Prepares the servers of `site`, which answers for `public_host` among others.
    ///
    /// # Errors
    ///
    /// When a file that the rules name cannot be used.
    pub fn new(rules: &UpstreamRules, site: &str, public_host: Option<&str>) -> Result<Self, InvalidUpstream> {
        let dialing = Dialing::new(rules)?;
        let mut servers = Vec::with_capacity(rules.servers.len());
        for index in 0..rules.servers.len() {
            servers.extend(Server::new(index, rules, &dialing)?);
        }
        let own_host = servers.first().map(|server| server.host.clone());
        let public_host = public_host.and_then(|host| HeaderValue::try_from(host).ok()).or(own_host);
        let fixed_host = match &rules.host {
            HostHeader::Fixed(host) => HeaderValue::try_from(host).ok(),
            HostHeader::Preserve | HostHeader::Upstream => None,
        };
        Ok(Self {
            site: site.to_owned(),
            turns: Mutex::new(Turns::new(rules.servers.iter().map(|server| server.weight))),
            fixed_host,
            public_host: public_host.unwrap_or(HeaderValue::from_static("localhost")),
            questions: rules.health.as_ref().map(Questions::new),
            warned: Mutex::default(),
            care: Mutex::new(Care::None),
            rules: rules.clone(),
            dialing,
            servers,
        })
    }

    /// Whether nothing tells these servers from those of another configuration.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.site == other.site
            && self.rules == other.rules
            && self.public_host == other.public_host
            && self.dialing.has_the_files_of(&other.dialing)
    }

    /// Site and server, as metrics call each of them.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.servers.iter().map(|server| (self.site.as_str(), server.rules.url.as_str()))
    }

    /// Stops to look after the servers, because no new request goes to them.
    pub fn retire(&self) {
        let care = std::mem::replace(&mut *self.care.lock(), Care::Retired);
        if let Care::By(tasks) = care {
            tasks.iter().for_each(AbortHandle::abort);
        }
        self.servers.iter().for_each(Server::hide);
    }

    /// How long a server may be silent.
    #[must_use]
    pub const fn read_timeout(&self) -> Duration {
        self.rules.read_timeout
    }

    /// Whether servers are told that a proxy was there.
    #[must_use]
    pub fn says_via(&self) -> bool {
        self.rules.via
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
        let mut peer = endpoint.line.peer(|| asked_host(head));
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
    // A later configuration may need them, too.
    let authorities = tls::system_authorities();
    if upstreams.iter().any(|upstream| upstream.verifies_by_system()) && authorities.as_ref().is_ok_and(|it| *it == 0) {
        tracing::warn!(
            "this system knows no certificate authorities, so no https upstream can be verified; install ca-certificates or name a file: `tls: {{ ca: ca.pem }}`"
        );
    }
    let settings = ServerConf {
        max_retries: MAX_TRIES,
        // Pingora reads the system's authorities at start, and panics when it cannot.
        ca_file: authorities.as_ref().err().map(|_| NO_AUTHORITIES.to_owned()),
        ..ServerConf::default()
    };
    match authorities {
        Err(error) if upstreams.iter().any(|upstream| upstream.verifies_by_system()) => Err(error),
        Ok(_) | Err(_) => Ok(settings),
    }
}

/// Whether the settings with which Pingora was started do for these servers, too.
///
/// # Errors
///
/// When the system's certificate authorities are needed now and could not be read then.
pub fn check_settings(settings: &ServerConf, upstreams: &[Arc<Upstream>]) -> Result<(), InvalidUpstream> {
    match settings.ca_file {
        Some(_) if upstreams.iter().any(|upstream| upstream.verifies_by_system()) => Err(InvalidUpstream::Authorities(
            "they could not be read when this process was started; start it again".to_owned(),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Resolves names and asks for health, beside the requests and until they are retired; those that are
/// looked after already are left alone.
///
/// Comes back when all names were looked up once, or after a moment without those that take longer.
pub async fn attend(upstreams: &[Arc<Upstream>], settings: &ServerConf, metrics: &Metrics) {
    let is_new = |upstream: &&Arc<Upstream>| matches!(*upstream.care.lock(), Care::None);
    let new: Vec<&Arc<Upstream>> = upstreams.iter().filter(is_new).collect();
    for upstream in &new {
        let names = (0..upstream.servers.len()).map(|index| {
            let upstream = Arc::clone(upstream);
            let keep_resolved = async move {
                if let Some(server) = upstream.servers.get(index) {
                    server.keep_resolved(&upstream.rules, &upstream.dialing).await;
                }
            };
            tokio::spawn(keep_resolved).abort_handle()
        });
        *upstream.care.lock() = Care::By(names.collect());
        for (server, labels) in upstream.servers.iter().zip(upstream.labels()) {
            server.show(metrics.upstream_up.with_label_values(&[labels.0, labels.1]));
        }
    }
    let resolved = async {
        for server in new.iter().flat_map(|upstream| &upstream.servers) {
            server.await_looked_up().await;
        }
    };
    // The other sites need not wait for a name that takes long.
    let _late = tokio::time::timeout(PATIENCE, resolved).await;
    if new.iter().any(|upstream| upstream.questions.is_some()) {
        let connector = Arc::new(Connector::new(Some(ConnectorOptions::from_server_conf(settings))));
        for upstream in new.into_iter().filter(|upstream| upstream.questions.is_some()) {
            let asking = tokio::spawn(Arc::clone(upstream).keep_asking(Arc::clone(&connector))).abort_handle();
            match &mut *upstream.care.lock() {
                Care::By(tasks) => tasks.push(asking),
                Care::None | Care::Retired => asking.abort(),
            }
        }
    }
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

/// A file of authorities without any.
const NO_AUTHORITIES: &str = "/dev/null";
/// Between two warnings about one site.
const QUIET: Duration = Duration::from_secs(10);
/// How long the start waits for names.
const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
