//! What was counted since the start, by site and network, gathered in one pass over a reading.

use std::collections::{BTreeMap, HashMap};

use crate::{
    metrics::reading::{Reading, Sample},
    store::inspector::QueueCounts,
};

/// Figures by site and network.
#[derive(Debug, Default)]
pub(super) struct Ledger<'a> {
    networks: HashMap<&'a str, HashMap<&'a str, Figures<'a>>>,
    servers: HashMap<&'a str, Vec<Sample<'a>>>,
}

/// The figures of one network of one site.
#[derive(Debug, Default)]
pub(super) struct Figures<'a> {
    /// Clicks by what became of them.
    pub(super) clicks: Sums<'a>,
    /// Hits by outcome.
    pub(super) outcomes: Sums<'a>,
    /// Postbacks by verdict.
    pub(super) verdicts: Sums<'a>,
    /// Whether the network gets nothing for now.
    pub(super) is_left_alone: bool,
    /// What waits; nothing if none does, or nobody knows.
    pub(super) waiting: Option<&'a QueueCounts>,
}

/// Counts by a word, without zeros.
pub(super) type Sums<'a> = BTreeMap<&'a str, u64>;

impl<'a> Ledger<'a> {
    /// Gathers everything.
    pub(super) fn new(reading: &'a Reading, waiting: &'a [QueueCounts]) -> Self {
        let mut ledger = Self::default();
        for sample in reading.samples("clicks_total") {
            add(&mut ledger.of(sample).clicks, sample, "result");
        }
        for sample in reading.samples("conversions_total") {
            add(&mut ledger.of(sample).outcomes, sample, "outcome");
        }
        for sample in reading.samples("postbacks_total") {
            add(&mut ledger.of(sample).verdicts, sample, "verdict");
        }
        for sample in reading.samples("breaker_open") {
            ledger.of(sample).is_left_alone = sample.value() == 1;
        }
        for sample in reading.samples("upstream_up") {
            ledger.servers.entry(sample.label("site")).or_default().push(sample);
        }
        for counts in waiting {
            ledger.network(&counts.site, &counts.network).waiting = Some(counts);
        }
        ledger
    }

    /// The figures of a network, if anything was counted.
    pub(super) fn figures(&self, site: &str, network: &str) -> Option<&Figures<'a>> {
        self.networks.get(site)?.get(network)
    }

    /// The servers of a site, and whether each is up.
    pub(super) fn servers(&self, site: &str) -> impl Iterator<Item = (&'a str, bool)> + '_ {
        let servers = self.servers.get(site).into_iter().flatten();
        servers.map(|sample| (sample.label("server"), sample.value() == 1))
    }

    fn of(&mut self, sample: Sample<'a>) -> &mut Figures<'a> {
        self.network(sample.label("site"), sample.label("network"))
    }

    fn network(&mut self, site: &'a str, network: &'a str) -> &mut Figures<'a> {
        self.networks.entry(site).or_default().entry(network).or_default()
    }
}

fn add<'a>(sums: &mut Sums<'a>, sample: Sample<'a>, label: &str) {
    if let Some(value) = u64::try_from(sample.value()).ok().filter(|value| *value > 0) {
        *sums.entry(sample.label(label)).or_default() += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn figures_are_found_by_site_and_network_and_conversions_add_up() {
        let metrics = Metrics::new();
        for conversion in ["purchase", "lead"] {
            metrics.conversions_total.with_label_values(&["shop", conversion, "exo", "queued"]).inc_by(2);
        }
        metrics.conversions_total.with_label_values(&["shop", "lead", "exo", "bot"]).inc_by(0);
        metrics.breaker_open.with_label_values(&["shop", "exo"]).set(1);
        metrics.upstream_up.with_label_values(&["shop", "http://10.0.0.1"]).set(1);
        let waiting =
            [QueueCounts { site: "shop".into(), network: "gone".into(), pending: 3, ..QueueCounts::default() }];
        let reading = metrics.reading();
        let ledger = Ledger::new(&reading, &waiting);
        let exo = ledger.figures("shop", "exo").unwrap();
        assert_eq!(exo.outcomes, Sums::from([("queued", 4)]));
        assert!(exo.is_left_alone && exo.waiting.is_none() && exo.clicks.is_empty());
        assert_eq!(ledger.figures("shop", "gone").unwrap().waiting.unwrap().pending, 3);
        assert!(ledger.figures("other", "exo").is_none());
        assert_eq!(ledger.servers("shop").collect::<Vec<_>>(), [("http://10.0.0.1", true)]);
    }
}
