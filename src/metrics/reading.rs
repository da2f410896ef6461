//! What counters and gauges say at one moment, for pages that show them.

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::Metrics;

/// All counters and gauges of one moment.
#[derive(Debug)]
pub struct Reading(Vec<MetricFamily>);

/// One counter or gauge.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    metric: &'a Metric,
    kind: MetricType,
}

impl Metrics {
    /// Reads all of them.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading(self.registry.gather())
    }
}

impl Reading {
    /// The samples of a metric, by its name without the prefix.
    pub fn samples<'a>(&'a self, name: &str) -> impl Iterator<Item = Sample<'a>> + use<'a> {
        let family = self.0.iter().find(|family| family.name().strip_prefix("throughline_") == Some(name));
        family.into_iter().flat_map(|family| {
            let kind = family.get_field_type();
            family.get_metric().iter().map(move |metric| Sample { metric, kind })
        })
    }

    /// The value of a metric without labels.
    #[must_use]
    pub fn value(&self, name: &str) -> i64 {
        self.samples(name).map(|sample| sample.value()).sum()
    }
}

impl<'a> Sample<'a> {
    /// The value of a label; nothing when it has none of this name.
    #[must_use]
    pub fn label(&self, name: &str) -> &'a str {
        let label = self.metric.get_label().iter().find(|label| label.name() == name);
        label.map_or("", |label| label.value())
    }

    /// What it says; histograms say nothing.
    #[must_use]
    pub fn value(&self) -> i64 {
        let value = match self.kind {
            MetricType::COUNTER => self.metric.get_counter().get_value(),
            MetricType::GAUGE => self.metric.get_gauge().get_value(),
            MetricType::SUMMARY | MetricType::UNTYPED | MetricType::HISTOGRAM => 0.0,
        };
        #[expect(clippy::cast_possible_truncation, reason = "all our counters and gauges are whole numbers")]
        let whole = value as i64;
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_has_counters_and_gauges_by_their_labels() {
        let metrics = Metrics::new();
        metrics.clicks_total.with_label_values(&["shop", "exo", "accepted"]).inc_by(3);
        metrics.store_bytes.set(-7);
        metrics.commit_seconds.observe(2.0);
        let reading = metrics.reading();
        let clicks: Vec<_> = reading.samples("clicks_total").collect();
        assert_eq!(clicks.len(), 1);
        assert_eq!((clicks[0].label("network"), clicks[0].label("none"), clicks[0].value()), ("exo", "", 3));
        assert_eq!((reading.value("store_bytes"), reading.value("commit_seconds"), reading.value("none")), (-7, 0, 0));
    }
}
