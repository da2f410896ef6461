//! One server of a site: its addresses, resolved beside the requests and never within one.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;
use prometheus::IntGauge;

use super::{
    Attempts,
    dialing::{Dialing, Line},
    endpoint::{Endpoint, Standing},
    tls::InvalidUpstream,
};
use crate::config::{Scheme, ServerAddress, ServerRules, UpstreamRules};

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    index: usize,
    pub(super) rules: ServerRules,
    /// Its name as a `Host` header.
    pub(super) host: HeaderValue,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    next: AtomicUsize,
    /// Whether its name was looked up at least once, or needs no looking up.
    is_known: AtomicBool,
    shown: Mutex<Shown>,
}

/// What operators see of a server.
#[derive(Debug, Default)]
struct Shown {
    /// Absent as long as nobody looks after the server, and afterwards.
    gauge: Option<IntGauge>,
    /// Whether it is up, as they were last told.
    told: Option<bool>,
}

impl Server {
    /// Takes an address; a name must be resolved before the first request.
    pub(super) fn new(
        index: usize,
        upstream: &UpstreamRules,
        dialing: &Dialing,
    ) -> Result<Option<Self>, InvalidUpstream> {
        let Some(rules) = upstream.servers.get(index).cloned() else { return Ok(None) };
        let known: Vec<Line> = match &rules.address {
            ServerAddress::Unix(path) => vec![dialing.line_to_socket(path)?],
            ServerAddress::Tcp { host, port } => host
                .parse::<IpAddr>()
                .map_or_else(|_| Vec::new(), |ip| vec![dialing.line(upstream, &rules, SocketAddr::new(ip, *port))]),
        };
        let is_known = !known.is_empty();
        let endpoints = known.into_iter().map(|line| Arc::new(Endpoint::new(index, line))).collect();
        let host = HeaderValue::try_from(host_of(&rules)).unwrap_or(HeaderValue::from_static("localhost"));
        Ok(Some(Self {
            index,
            rules,
            host,
            endpoints: ArcSwap::from_pointee(endpoints),
            next: AtomicUsize::new(0),
            is_known: AtomicBool::new(is_known),
            shown: Mutex::default(),
        }))
    }

    /// Shows operators whether it is up, from now on.
    pub(super) fn show(&self, gauge: IntGauge) {
        let mut shown = self.shown.lock();
        gauge.set(self.is_up().into());
        shown.gauge = Some(gauge);
    }

    /// Shows nothing any more.
    pub(super) fn hide(&self) {
        self.shown.lock().gauge = None;
    }

    /// All its addresses.
    pub(super) fn endpoints(&self) -> arc_swap::Guard<Arc<Vec<Arc<Endpoint>>>> {
        self.endpoints.load()
    }

    /// Whether there is an address of this standing that this request has not tried.
    pub(super) fn has(&self, standing: Standing, attempts: &Attempts, now: Instant) -> bool {
        self.endpoints().iter().any(|endpoint| endpoint.standing(now) == standing && !attempts.has_tried(endpoint))
    }

    /// Such an address; they take turns.
    pub(super) fn take(&self, standing: Standing, attempts: &Attempts, now: Instant) -> Option<Arc<Endpoint>> {
        let endpoints = self.endpoints();
        let first = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(endpoints.len())?;
        let (before, after) = endpoints.split_at_checked(first)?;
        let mut in_turn = after.iter().chain(before);
        let found = in_turn.find(|endpoint| endpoint.standing(now) == standing && !attempts.has_tried(endpoint));
        found.cloned()
    }

    fn is_up(&self) -> bool {
        self.endpoints().iter().any(|endpoint| endpoint.is_up())
    }

    /// Tells operators whether it is up, when that has changed.
    pub(super) fn tell(&self, why: &dyn fmt::Display) {
        let mut shown = self.shown.lock();
        let Shown { gauge: Some(gauge), told } = &mut *shown else { return };
        let up = self.is_up();
        gauge.set(up.into());
        match told.replace(up) {
            Some(false) if up => tracing::info!(server = %self.rules.url, "the server is back"),
            Some(true) | None if !up => tracing::warn!(server = %self.rules.url, %why, "the server is down"),
            Some(_) | None => {}
        }
    }

    /// Keeps its name resolved; on failure what was known before stays.
    pub(super) async fn keep_resolved(&self, upstream: &UpstreamRules, dialing: &Dialing) {
        let ServerAddress::Tcp { host, port } = &self.rules.address else { return };
        if host.parse::<IpAddr>().is_ok() {
            return;
        }
        let mut failures = 0;
        loop {
            match tokio::net::lookup_host((host.as_str(), *port)).await {
                Ok(found) => {
                    failures = 0;
                    self.move_to(found.collect(), |address| dialing.line(upstream, &self.rules, address));
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(server = %self.rules.url, %error, "the server's name cannot be resolved");
                    }
                    failures += 1;
                }
            }
            self.is_known.store(true, Ordering::Release);
            let nothing_known = self.endpoints().is_empty();
            let wait =
                if nothing_known { REFRESH.min(FIRST_RETRY * 2_u32.saturating_pow(failures.min(10))) } else { REFRESH };
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits until its name was looked up once, with or without success.
    pub(super) async fn await_looked_up(&self) {
        while !self.is_known.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn move_to(&self, mut addresses: Vec<SocketAddr>, line: impl Fn(SocketAddr) -> Line) {
        addresses.sort_unstable();
        addresses.dedup();
        let known = self.endpoints();
        let same = known.len() == addresses.len();
        if addresses.is_empty() || same && known.iter().zip(&addresses).all(|(known, new)| known.line.is_to(*new)) {
            return;
        }
        let endpoint = |address: &SocketAddr| {
            // What is thought of an address stays with it.
            let stays = known.iter().find(|known| known.line.is_to(*address));
            stays.map_or_else(|| Arc::new(Endpoint::new(self.index, line(*address))), Arc::clone)
        };
        self.endpoints.store(Arc::new(addresses.iter().map(endpoint).collect()));
        self.tell(&"none of its new addresses is well");
    }
}

/// The server's own name, with its port when it is not the scheme's.
fn host_of(server: &ServerRules) -> String {
    match &server.address {
        ServerAddress::Unix(_) => "localhost".to_owned(),
        ServerAddress::Tcp { host, port } => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            let usual = if server.scheme == Scheme::Https { 443 } else { 80 };
            if *port == usual { host } else { format!("{host}:{port}") }
        }
    }
}

const REFRESH: Duration = Duration::from_secs(30);
/// After the first failure to resolve a name of which nothing is known, half of it.
const FIRST_RETRY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn rules(host: &str) -> UpstreamRules {
        let address = ServerAddress::Tcp { host: host.into(), port: 8080 };
        UpstreamRules::new(vec![ServerRules { url: "http://x".into(), address, scheme: Scheme::Http, weight: 1 }])
    }

    fn server(rules: &UpstreamRules) -> (Server, Dialing, IntGauge) {
        let dialing = Dialing::new(rules).unwrap();
        let gauge = Metrics::new().upstream_up.with_label_values(&["shop", "http://x"]);
        let server = Server::new(0, rules, &dialing).unwrap().unwrap();
        server.show(gauge.clone());
        (server, dialing, gauge)
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn addresses_take_turns_and_keep_their_reputation_when_a_name_moves() {
        let rules = rules("shop.example");
        let (server, dialing, gauge) = server(&rules);
        let line = |address| dialing.line(&rules, &server.rules, address);
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let (now, mut attempts) = (Instant::now(), Attempts::default());
        assert!(server.take(Standing::Good, &attempts, now).is_none());
        assert_eq!(gauge.get(), 0, "before it is resolved");

        server.move_to(addresses(&["10.0.0.2:8080", "[2001:db8::1]:8080", "10.0.0.1:8080"]), line);
        assert_eq!(gauge.get(), 1);
        let take = |attempts: &Attempts| server.take(Standing::Good, attempts, now).map(|it| it.line.address());
        let turns: Vec<_> = (0..4).filter_map(|_| take(&attempts)).collect();
        assert_eq!(turns, ["10.0.0.2:8080", "[2001:db8::1]:8080", "10.0.0.1:8080", "10.0.0.2:8080"]);

        let v6 = server.endpoints().iter().find(|it| it.line.is_to("[2001:db8::1]:8080".parse().unwrap())).cloned();
        let v6 = v6.unwrap();
        v6.has_failed(now);
        attempts.failed.push(Arc::clone(&v6));
        server.move_to(addresses(&["[2001:db8::1]:8080", "10.0.0.9:8080"]), line);
        let turns: Vec<_> = (0..2).filter_map(|_| take(&attempts)).collect();
        assert_eq!(turns, ["10.0.0.9:8080", "10.0.0.9:8080"], "the one that fails is left out");
        assert!(server.take(Standing::Suspect, &Attempts::default(), now).is_some(), "but not forgotten");
        server.move_to(Vec::new(), line);
        assert_eq!(server.endpoints().len(), 2, "an empty answer changes nothing");
    }

    #[test]
    fn a_server_is_called_by_its_name_and_its_port_if_that_is_not_the_usual_one() {
        for (host, port, scheme, written) in [
            ("shop.example", 80, Scheme::Http, "shop.example"),
            ("shop.example", 443, Scheme::Https, "shop.example"),
            ("shop.example", 443, Scheme::Http, "shop.example:443"),
            ("2001:db8::1", 8080, Scheme::Http, "[2001:db8::1]:8080"),
            ("2001:db8::1", 80, Scheme::H2c, "[2001:db8::1]"),
        ] {
            let address = ServerAddress::Tcp { host: host.into(), port };
            assert_eq!(host_of(&ServerRules { url: String::new(), address, scheme, weight: 1 }), written);
        }
    }
}
