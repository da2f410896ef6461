//! How much is kept of one journey, whoever sends it what: what is oldest goes first.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::{Journey, JourneyKey, RecalledClick};
use crate::tracking::timestamp::Timestamp;

impl Journey {
    /// Brings a merged journey back within its limits.
    pub(super) fn bound(&mut self) {
        keep_newest_clicks(&mut self.clicks);
        keep_newest_keys(&mut self.keys);
        let excess = length(self).saturating_sub(MAX_LENGTH);
        if excess > 0 {
            self.shed(excess);
        }
    }

    /// Lets the oldest go until so many bytes are gone.
    fn shed(&mut self, excess: usize) {
        let clicks = self.clicks.iter().map(|click| (click.time, length(click), Item::Click(click.clone())));
        let fields = self.fields.iter();
        let fields = fields.map(|(name, field)| (field.time, length(&(name, field)), Item::Field(name.clone())));
        let passed = self.passed.iter();
        let passed = passed.map(|(name, time)| (*time, name.len(), Item::Passed(name.clone())));
        let agent = self.user_agent.iter().map(|agent| (agent.time, length(agent), Item::UserAgent));
        let mut items: Vec<_> = clicks.chain(fields).chain(passed).chain(agent).collect();
        items.sort_by_key(|(time, _, _)| *time);
        let mut gone = 0;
        for (_, length, item) in items {
            if gone >= excess {
                break;
            }
            gone += length;
            match item {
                Item::Click(old) => self.clicks.retain(|click| *click != old),
                Item::Field(name) => drop(self.fields.remove(&name)),
                Item::Passed(name) => drop(self.passed.remove(&name)),
                Item::UserAgent => self.user_agent = None,
            }
        }
    }
}

/// What a journey can do without.
enum Item {
    Click(RecalledClick),
    Field(String),
    Passed(String),
    UserAgent,
}

/// Keeps the newest of each network, in their order.
fn keep_newest_clicks(clicks: &mut Vec<RecalledClick>) {
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    clicks.reverse();
    clicks.retain(|click| {
        let left = left.entry(click.network.clone()).or_insert(MAX_CLICKS);
        let is_kept = *left > 0;
        *left = left.saturating_sub(1);
        is_kept
    });
    clicks.reverse();
}

fn keep_newest_keys(keys: &mut BTreeMap<JourneyKey, Timestamp>) {
    if keys.len() <= MAX_KEYS {
        return;
    }
    let mut by_age: Vec<_> = keys.iter().map(|(key, time)| (Reverse(*time), *key)).collect();
    by_age.sort_unstable();
    for (_, key) in by_age.into_iter().skip(MAX_KEYS) {
        keys.remove(&key);
    }
}

/// How long it is when written down.
fn length(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |json| json.len())
}

/// Clicks of one network.
pub(super) const MAX_CLICKS: usize = 10;

/// Visitors who change their session with each request stay one journey.
pub(super) const MAX_KEYS: usize = 16;

/// Bytes of a journey as JSON.
pub(super) const MAX_LENGTH: usize = 8 * 1024;
