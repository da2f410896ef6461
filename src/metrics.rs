//! All metrics. The first line of a field's comment is the HELP text that operators read.
//!
//! Labels come from the configuration or from enums, never from requests. What is counted on the
//! request path is resolved once ([`site::SiteMetrics`]); the rest is looked up when it happens.

use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

mod observers;
pub mod reading;
pub mod site;

macro_rules! metrics {
    ($( $(#[doc = $help:literal])+ $name:ident: $kind:ident [$($label:literal),*] $(in $buckets:ident)?, )+) => {
        /// Every metric of the process.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            registry: Registry,
            $( $(#[doc = $help])+ pub $name: $kind, )+
        }

        impl Metrics {
            /// Name without prefix, labels and the lines of the HELP text of every metric.
            pub const DESCRIBED: &[(&str, &[&str], &[&str])] =
                &[$( (stringify!($name), &[$($label),*], &[$($help),+]), )+];

            /// Creates and registers everything.
            #[must_use]
            pub fn new() -> Self {
                let registry = Registry::new();
                $( let $name = registered(
                    &registry,
                    <$kind as Kind>::named(stringify!($name), [$($help),+], &[$($label),*], first(&[$($buckets,)?])),
                ); )+
                Self { registry, $($name),+ }
            }
        }
    };
}

metrics! {
    /// Requests that were answered, by status.
    requests_total: IntCounterVec ["site", "code"],
    /// From the head of a request to the end of its answer, in seconds.
    request_seconds: HistogramVec ["site"] in SECONDS,
    /// From asking the site's own server to the head of its answer, in seconds.
    upstream_seconds: HistogramVec ["site"] in SECONDS,
    /// What Throughline itself added before the answer could go on, in seconds.
    overhead_seconds: HistogramVec ["site"] in SECONDS,
    /// Click parameters that arrived, by what became of them.
    clicks_total: IntCounterVec ["site", "network", "result"],
    /// Sync pixels of a network that were to go into a page, by what became of them.
    injections_total: IntCounterVec ["site", "network", "result"],
    /// Answers to requests that match a conversion.
    conversion_hits_total: IntCounterVec ["site", "conversion"],
    /// Hits for each network, by outcome; their sum is hits times networks.
    conversions_total: IntCounterVec ["site", "conversion", "network", "outcome"],
    /// Requests that match a conversion and never got an answer from the site.
    unanswered_total: IntCounterVec ["site", "conversion"],
    /// Conversions that nothing tells apart from a repeat of themselves.
    undeduplicated_total: IntCounterVec ["site", "conversion"],
    /// Postbacks that are over, by verdict.
    postbacks_total: IntCounterVec ["site", "network", "verdict"],
    /// Attempts to deliver a postback, by verdict or `retry`.
    postback_attempts_total: IntCounterVec ["site", "network", "result"],
    /// How long a network took to answer an attempt, in seconds.
    postback_seconds: HistogramVec ["network"] in SECONDS,
    /// Connections to networks that were not made: the name stands for private or reserved addresses alone.
    refused_addresses_total: IntCounterVec ["site", "network"],
    /// Postbacks that wait or are under way.
    outbox_pending: IntGaugeVec ["site", "network"],
    /// Age of the oldest postback that waits, in seconds.
    outbox_oldest_seconds: IntGaugeVec ["site", "network"],
    /// Age at which a postback is given up, in seconds.
    outbox_age_limit_seconds: IntGaugeVec ["site", "network"],
    /// Conversions that lack a required field, which a person may add.
    outbox_incomplete: IntGaugeVec ["site", "network"],
    /// Postbacks whose site, conversion or network is no longer configured.
    outbox_parked: IntGaugeVec ["site", "network"],
    /// Postbacks that were given up and wait for a person.
    dead_letters: IntGaugeVec ["site", "network"],
    /// Whether a network gets nothing for now, because it fails or refuses our credentials: 1 or 0.
    breaker_open: IntGaugeVec ["site", "network"],
    /// Dead letters that an operator put back; each will have another verdict.
    replayed_total: IntCounterVec ["site", "network"],
    /// How long one transaction of the store took, fsync included, in seconds.
    commit_seconds: Histogram [] in FINE_SECONDS,
    /// Conversions that reached the disk after their page had left.
    late_commits_total: IntCounter [],
    /// Journeys that the store did not recall in time; their pages went on without them.
    late_recalls_total: IntCounter [],
    /// Times that the system's clock was set: by an hour forward or more, or by a minute back.
    clock_jumps_total: IntCounter [],
    /// Whether a fleet's database is reached: 1 or 0.
    fleet_up: IntGaugeVec [],
    /// Conversions on this node's disk that its fleet does not have yet.
    forward_pending: IntGaugeVec [],
    /// How long the fleet's database took to take over a batch of conversions, in seconds.
    forward_seconds: Histogram [] in SECONDS,
    /// Whether the store can be written: 1 or 0.
    store_up: IntGauge [],
    /// Failures of the store, by kind.
    store_errors_total: IntCounterVec ["kind"],
    /// Records of hits that were not written down, because too many came at once.
    history_dropped_total: IntCounter [],
    /// What the store takes on disk, its log included, in bytes.
    store_bytes: IntGauge [],
    /// Fields of conversions, by whether they had a value.
    fields_total: IntCounterVec ["site", "conversion", "field", "result"],
    /// Requests that match a capture, by what became of it.
    captures_total: IntCounterVec ["site", "capture", "result"],
    /// Requests of visitors whose consent is asked for, by what they have decided.
    consent_total: IntCounterVec ["site", "decision"],
    /// Whether tracking acts on a site: 1 or 0.
    tracking_enabled: IntGaugeVec ["site"],
    /// Whether a server of a site is reached and well, as far as is known: 1 or 0.
    upstream_up: IntGaugeVec ["site", "server"],
    /// Connections and requests that were refused, by reason.
    refused_total: IntCounterVec ["reason"],
    /// Requests to the admin port that were refused, by reason.
    admin_refused_total: IntCounterVec ["reason"],
    /// Requests that said whom they are forwarded for without being trusted.
    untrusted_forwarded_total: IntCounter [],
    /// Connections of visitors.
    connections: IntGaugeVec ["listener"],
    /// Until a certificate expires, in seconds; negative when it has expired.
    certificate_expires_seconds: IntGaugeVec ["name"],
    /// Changed certificate files, by whether the new ones could be used.
    certificate_reloads_total: IntCounterVec ["name", "result"],
    /// Times that the configuration was read again, by whether it could be used.
    config_reloads_total: IntCounterVec ["result"],
    /// Whether the configuration in force is the one of the file, as it was last read: 1 or 0.
    config_last_reload_successful: IntGauge [],
    /// Event records that a sink has written.
    events_written_total: IntCounterVec ["sink"],
    /// Event records and lines of the access log that are lost: their sink took them too slowly, or refused them.
    events_dropped_total: IntCounterVec ["sink"],
    /// Attempts of a sink to write event records that failed and are repeated.
    events_failures_total: IntCounterVec ["sink"],
    /// Always 1; the label says which version runs.
    build_info: IntGaugeVec ["version"],
}

impl Metrics {
    /// Everything in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::warn!(%error, "metrics could not be written");
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A kind of metric that is created by name.
trait Kind: Sized {
    fn named<const LINES: usize>(name: &str, help: [&str; LINES], labels: &[&str], buckets: &[f64]) -> Self;
}

impl Kind for IntCounter {
    fn named<const LINES: usize>(name: &str, help: [&str; LINES], _labels: &[&str], _buckets: &[f64]) -> Self {
        valid(Self::with_opts(options(name, &help)))
    }
}

impl Kind for IntCounterVec {
    fn named<const LINES: usize>(name: &str, help: [&str; LINES], labels: &[&str], _buckets: &[f64]) -> Self {
        valid(Self::new(options(name, &help), labels))
    }
}

impl Kind for IntGauge {
    fn named<const LINES: usize>(name: &str, help: [&str; LINES], _labels: &[&str], _buckets: &[f64]) -> Self {
        valid(Self::with_opts(options(name, &help)))
    }
}

impl Kind for IntGaugeVec {
    fn named<const LINES: usize>(name: &str, help: [&str; LINES], labels: &[&str], _buckets: &[f64]) -> Self {
        valid(Self::new(options(name, &help), labels))
    }
}

impl Kind for Histogram {
    fn named<const LINES: usize>(name: &str, help: [&str; LINES], _labels: &[&str], buckets: &[f64]) -> Self {
        let HistogramOpts { common_opts, .. } = HistogramOpts::from(options(name, &help));
        valid(Self::with_opts(HistogramOpts { common_opts, buckets: buckets.to_vec() }))
    }
}

impl Kind for HistogramVec {
    fn named<const LINES: usize>(name: &str, help: [&str; LINES], labels: &[&str], buckets: &[f64]) -> Self {
        let HistogramOpts { common_opts, .. } = HistogramOpts::from(options(name, &help));
        valid(Self::new(HistogramOpts { common_opts, buckets: buckets.to_vec() }, labels))
    }
}

fn options(name: &str, help: &[&str]) -> Opts {
    Opts::new(format!("throughline_{name}"), help.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "))
}

/// Names and labels stand in this file: a mistake in them shows in the first test that runs.
#[expect(clippy::expect_used, reason = "names and labels of metrics are constants of this file")]
fn valid<T>(created: prometheus::Result<T>) -> T {
    created.expect("a valid metric")
}

#[expect(clippy::expect_used, reason = "each metric of this file is registered once")]
fn registered<T: Collector + Clone + 'static>(registry: &Registry, metric: T) -> T {
    registry.register(Box::new(metric.clone())).expect("a new name");
    metric
}

fn first<'a>(buckets: &[&'a [f64]]) -> &'a [f64] {
    buckets.first().copied().unwrap_or_default()
}

/// Seconds as Prometheus counts them.
#[must_use]
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const FINE_SECONDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];
