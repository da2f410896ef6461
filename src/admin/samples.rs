//! What was counted in each of the last sixty minutes: our own counters, looked at now and then.
//!
//! Kept by the admin thread alone, in memory. Nothing is asked of the request path: counters are read as
//! a scrape reads them. What never was counted takes no room.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    metrics::reading::{Reading, Sample},
    tracking::verdict::Verdict,
};

/// The last hour.
#[derive(Debug, Default)]
pub(super) struct Samples {
    series: BTreeMap<Key, Series>,
    /// Minutes since the epoch, of the newest.
    minute: i64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Count {
    /// Requests of a site.
    Requests,
    /// Clicks that were taken up.
    Clicks,
    /// Hits of a site, for each network.
    Hits,
    /// Postbacks that their network took or knew.
    Reported,
    /// Postbacks that ended otherwise.
    Failed,
}

/// Of which site and network; requests and hits as a whole have no network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    count: Count,
    site: String,
    network: String,
}

#[derive(Debug)]
struct Series {
    total: i64,
    /// The oldest first.
    minutes: VecDeque<i64>,
}

impl Samples {
    /// Adds what was counted since the last time to the minute that it is now.
    pub(super) fn take(&mut self, reading: &Reading, minute: i64) {
        let totals = totals(reading);
        let is_first = self.minute == 0;
        // After a longer pause, or when the clock was set, all minutes in between are empty.
        let passed = if is_first { 0 } else { usize::try_from(minute - self.minute).unwrap_or(0).min(MINUTES) };
        self.minute = minute;
        for series in self.series.values_mut() {
            series.minutes.drain(..passed);
            series.minutes.resize(MINUTES, 0);
        }
        for (key, total) in totals {
            let fresh = || Series { total: 0, minutes: VecDeque::from(vec![0; MINUTES]) };
            let series = self.series.entry(key).or_insert_with(fresh);
            // What was counted before the first look is spread over nobody knows which minutes.
            let added = if is_first { 0 } else { (total - series.total).max(0) };
            series.total = total;
            if let Some(newest) = series.minutes.back_mut() {
                *newest += added;
            }
        }
    }

    /// What was counted in each minute, the oldest first.
    pub(super) fn minutes(&self, count: Count, site: &str, network: &str) -> Vec<i64> {
        let key = Key { count, site: site.to_owned(), network: network.to_owned() };
        self.series.get(&key).map_or_else(|| vec![0; MINUTES], |series| series.minutes.iter().copied().collect())
    }
}

/// What was counted so far, and is not zero.
fn totals(reading: &Reading) -> BTreeMap<Key, i64> {
    let mut totals = BTreeMap::new();
    let mut add = |count, sample: Sample<'_>, network: &str| {
        if sample.value() > 0 {
            let key = Key { count, site: sample.label("site").to_owned(), network: network.to_owned() };
            *totals.entry(key).or_default() += sample.value();
        }
    };
    reading.samples("requests_total").for_each(|sample| add(Count::Requests, sample, ""));
    let clicks =
        reading.samples("clicks_total").filter(|sample| ["accepted", "held"].contains(&sample.label("result")));
    for sample in clicks {
        add(Count::Clicks, sample, "");
        add(Count::Clicks, sample, sample.label("network"));
    }
    for sample in reading.samples("conversions_total") {
        add(Count::Hits, sample, "");
        add(Count::Hits, sample, sample.label("network"));
    }
    for sample in reading.samples("postbacks_total") {
        let is_reported = REPORTED.map(Verdict::as_str).contains(&sample.label("verdict"));
        let count = if is_reported { Count::Reported } else { Count::Failed };
        add(count, sample, "");
        add(count, sample, sample.label("network"));
    }
    totals
}

/// How many minutes are kept.
pub(super) const MINUTES: usize = 60;
/// The network has it.
const REPORTED: [Verdict; 2] = [Verdict::Delivered, Verdict::AlreadyKnown];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn counted(metrics: &Metrics, clicks: u64) {
        metrics.clicks_total.with_label_values(&["shop", "exo", "accepted"]).inc_by(clicks);
    }

    #[test]
    fn what_is_counted_stands_in_its_minute_and_goes_after_an_hour() {
        let (metrics, mut samples) = (Metrics::new(), Samples::default());
        counted(&metrics, 100);
        samples.take(&metrics.reading(), 1000);
        let newest = |samples: &Samples| samples.minutes(Count::Clicks, "shop", "exo").split_off(MINUTES - 3);
        assert_eq!(newest(&samples), [0, 0, 0], "nobody saw when it was counted");
        counted(&metrics, 2);
        samples.take(&metrics.reading(), 1000);
        counted(&metrics, 1);
        samples.take(&metrics.reading(), 1000);
        counted(&metrics, 5);
        samples.take(&metrics.reading(), 1002);
        assert_eq!(newest(&samples), [3, 0, 5]);
        samples.take(&metrics.reading(), 1001);
        assert_eq!(newest(&samples), [3, 0, 5], "a clock that was set back");
        samples.take(&metrics.reading(), 1061);
        assert_eq!(samples.minutes(Count::Clicks, "shop", "exo").iter().sum::<i64>(), 0);
        assert_eq!(samples.minutes(Count::Clicks, "other", "").len(), MINUTES);
    }

    #[test]
    fn what_never_was_counted_takes_no_room() {
        let (metrics, mut samples) = (Metrics::new(), Samples::default());
        metrics.postbacks_total.with_label_values(&["shop", "exo", "rejected"]).inc_by(0);
        samples.take(&metrics.reading(), 1000);
        assert!(samples.series.is_empty());
        metrics.postbacks_total.with_label_values(&["shop", "exo", "rejected"]).inc();
        metrics.postbacks_total.with_label_values(&["shop", "exo", "already_known"]).inc();
        samples.take(&metrics.reading(), 1000);
        let of = |count| samples.minutes(count, "shop", "").iter().sum::<i64>();
        assert_eq!((of(Count::Failed), of(Count::Reported), of(Count::Requests)), (1, 1, 0));
    }
}
