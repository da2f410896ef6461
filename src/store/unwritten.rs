//! Hits that are known in memory alone, because nothing can be written: what this process can still tell.
//!
//! As soon as the disk is there again they are records like all others, and found as such.

use super::{
    Hit, Store,
    inspector::Search,
    story::{HitFilter, HitRecord, Sources, Story},
};
use crate::tracking::grounds::Told;

impl Store {
    /// The stories that wait for the disk and are meant by a text, the oldest first.
    #[must_use]
    pub fn unwritten_stories(&self, text: &str) -> Vec<Story> {
        let search = Search::new(text);
        let mut found = Vec::new();
        self.shared.hits.waiting(|hit| {
            let told = self.told(hit);
            let record = record(hit, told);
            if search.means(&record) {
                let (details, outcome_reason) = (told.map(|told| told.details.clone()), hit.grounds.reason.clone());
                found.push(Story::of(Sources { hit: record, details, outcome_reason, ..Sources::default() }));
            }
        });
        found.sort_by_key(|story| story.hit.time);
        found
    }

    /// The hits that wait for the disk and match, the newest first.
    #[must_use]
    pub fn unwritten_hits(&self, filter: &HitFilter) -> Vec<HitRecord> {
        let mut found = Vec::new();
        self.shared.hits.waiting(|hit| found.push(record(hit, self.told(hit))));
        found.retain(|hit| filter.means(hit));
        found.sort_by_key(|hit| std::cmp::Reverse(hit.time));
        found
    }

    /// What may still be told of its visitor.
    fn told<'a>(&self, hit: &'a Hit) -> Option<&'a Told> {
        hit.grounds.told.as_deref().filter(|told| !self.shared.withdrawn.contains(told.event_id))
    }
}

fn record(hit: &Hit, told: Option<&Told>) -> HitRecord {
    let text = |of: fn(&Told) -> &Option<String>| told.and_then(|told| of(told).clone());
    HitRecord {
        time: hit.time,
        site: hit.site.to_string(),
        conversion: hit.conversion.to_string(),
        network: hit.network.to_string(),
        order_id: text(|told| &told.order_id),
        clicks: told.map(|told| told.clicks.clone()).unwrap_or_default(),
        event_id: told.map(|told| told.event_id),
        value: text(|told| &told.value),
        currency: text(|told| &told.currency),
        outcome: hit.outcome.as_str().to_owned(),
        reason: hit.grounds.reason.clone(),
        ..HitRecord::default()
    }
}
