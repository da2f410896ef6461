//! What the store and the delivery worker tell the metrics.

use std::time::Duration;

use super::{Metrics, seconds};
use crate::{
    delivery::{DeliveryObserver, Destinations},
    events::{Sink, SinkObserver},
    store::{ErrorKind, ForwardObserver, StoreObserver, fleet::desk::Notice, inspector::QueueCounts},
    tracking::{conversion::Outcome, timestamp::Timestamp, verdict::Verdict},
};

impl StoreObserver for Metrics {
    fn committed(&self, took: Duration, _rows: usize) {
        self.commit_seconds.observe(seconds(took));
    }

    fn failed(&self, kind: ErrorKind) {
        self.store_errors_total.with_label_values(&[kind.as_str()]).inc();
    }

    fn withdrawn(&self, site: &str, network: &str) {
        self.postbacks_total.with_label_values(&[site, network, Verdict::Withdrawn.as_str()]).inc();
    }

    fn clock_jumped(&self) {
        self.clock_jumps_total.inc();
    }

    fn purged(&self, site: &str, network: &str, count: u64) {
        self.postbacks_total.with_label_values(&[site, network, Verdict::Purged.as_str()]).inc_by(count);
    }

    fn replayed(&self, site: &str, network: &str, count: u64) {
        self.replayed_total.with_label_values(&[site, network]).inc_by(count);
    }

    fn dropped(&self, hits: u64) {
        self.history_dropped_total.inc_by(hits);
    }

    fn sized(&self, bytes: u64) {
        self.store_bytes.set(gauge(bytes));
    }

    fn decided(&self, site: &str, conversion: &str, network: &str, outcome: Outcome) {
        self.conversions_total.with_label_values(&[site, conversion, network, outcome.as_str()]).inc();
    }
}

impl ForwardObserver for Metrics {
    fn forwarded(&self, took: Duration, _rows: usize) {
        self.forward_seconds.observe(seconds(took));
    }

    fn reached(&self, is_reached: bool) {
        self.fleet_up.with_label_values(NO_LABELS).set(i64::from(is_reached));
    }

    fn withdrawn(&self, site: &str, network: &str) {
        StoreObserver::withdrawn(self, site, network);
    }

    fn told(&self, notice: &Notice) {
        let purged = Verdict::Purged.as_str();
        if notice.deed == purged {
            self.postbacks_total.with_label_values(&[&notice.site, &notice.network, purged]).inc_by(notice.count);
        } else if notice.deed == "replayed" {
            self.replayed_total.with_label_values(&[&notice.site, &notice.network]).inc_by(notice.count);
        }
    }
}

impl DeliveryObserver for Metrics {
    fn attempted(&self, site: &str, network: &str, result: &'static str, took: Duration) {
        self.postback_attempts_total.with_label_values(&[site, network, result]).inc();
        self.postback_seconds.with_label_values(&[network]).observe(seconds(took));
    }

    fn address_refused(&self, site: &str, network: &str) {
        self.refused_addresses_total.with_label_values(&[site, network]).inc();
    }

    fn settled(&self, site: &str, network: &str, verdict: Verdict) {
        self.postbacks_total.with_label_values(&[site, network, verdict.as_str()]).inc();
    }

    fn left_alone(&self, site: &str, network: &str, is_left_alone: bool) {
        self.breaker_open.with_label_values(&[site, network]).set(i64::from(is_left_alone));
    }

    fn gone(&self, site: &str, network: &str) {
        // Absent when it was never told of.
        self.breaker_open.remove_label_values(&[site, network]).ok();
    }
}

impl SinkObserver for Metrics {
    fn written(&self, sink: Sink, records: u64) {
        self.events_written_total.with_label_values(&[sink.as_str()]).inc_by(records);
    }

    fn dropped(&self, sink: Sink, records: u64) {
        self.events_dropped_total.with_label_values(&[sink.as_str()]).inc_by(records);
    }

    fn failed(&self, sink: Sink) {
        self.events_failures_total.with_label_values(&[sink.as_str()]).inc();
    }
}

impl Metrics {
    /// Shows how much waits on this node for its fleet.
    pub fn show_departures(&self, rows: u64) {
        self.forward_pending.with_label_values(NO_LABELS).set(gauge(rows));
    }

    /// Shows the queue as it is now: nothing waits for a network that isn't counted. Rows of what is not
    /// configured are parked.
    pub fn show_queue(&self, counts: &[QueueCounts], now: Timestamp, configured: &Destinations) {
        let gauges = [
            &self.outbox_pending,
            &self.outbox_oldest_seconds,
            &self.outbox_incomplete,
            &self.outbox_parked,
            &self.dead_letters,
        ];
        self.outbox_age_limit_seconds.reset();
        gauges.iter().for_each(|gauge| gauge.reset());
        for destination in configured.iter() {
            let labels = [&*destination.site, &*destination.network];
            gauges.iter().for_each(|gauge| gauge.with_label_values(&labels).set(0));
            self.outbox_age_limit_seconds.with_label_values(&labels).set(gauge(destination.max_age.as_secs()));
        }
        for count in counts {
            let labels = [count.site.as_str(), count.network.as_str()];
            let oldest = count.oldest_event.map_or(0, |oldest| now.since(oldest).as_secs());
            let is_configured = configured.find(&count.site, &count.network).is_some();
            let (pending, parked) = if is_configured { (count.pending, 0) } else { (0, count.pending) };
            self.outbox_pending.with_label_values(&labels).set(gauge(pending));
            self.outbox_parked.with_label_values(&labels).set(gauge(parked));
            self.outbox_oldest_seconds.with_label_values(&labels).set(gauge(oldest));
            self.outbox_incomplete.with_label_values(&labels).set(gauge(count.incomplete));
            self.dead_letters.with_label_values(&labels).set(gauge(count.dead));
        }
    }
}

const NO_LABELS: &[&str] = &[];

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
