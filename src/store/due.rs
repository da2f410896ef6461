//! When each destination has something to send next: a hint that spares an idle worker all queries.
//!
//! The writer refreshes it from the database once a second, which also shows what another process
//! gave back; in between it is only ever made earlier. Too early costs one query, never a row.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::tracking::timestamp::Timestamp;

type Networks = BTreeMap<String, i64>;

/// By site and network: when the first unleased row is due, in milliseconds since the epoch.
#[derive(Debug, Default)]
pub(super) struct Due(Mutex<BTreeMap<String, Networks>>);

impl Due {
    /// Whether a row of this destination may be due.
    pub(super) fn is_due(&self, site: &str, network: &str, now: Timestamp) -> bool {
        let sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = sites.get(site).and_then(|networks| networks.get(network));
        next.is_some_and(|next| *next <= now.as_millis())
    }

    /// Replaces everything.
    pub(super) fn replace(&self, all: Vec<(String, String, i64)>) {
        let mut sites = BTreeMap::<String, Networks>::new();
        for (site, network, next) in all {
            sites.entry(site).or_default().insert(network, next);
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sites;
    }

    /// Notes that a row becomes due at `next`, if nothing else does earlier.
    pub(super) fn at(&self, site: &str, network: &str, next: i64) {
        self.with(site, network, |known| *known = (*known).min(next));
    }

    /// Notes what is due after a lease was taken: `None` when nothing is left.
    pub(super) fn set(&self, site: &str, network: &str, next: Option<i64>) {
        self.with(site, network, |known| *known = next.unwrap_or(i64::MAX));
    }

    fn with(&self, site: &str, network: &str, change: impl FnOnce(&mut i64)) {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sites.get_mut(site).and_then(|networks| networks.get_mut(network)) {
            return change(known);
        }
        let mut next = i64::MAX;
        change(&mut next);
        sites.entry(site.to_owned()).or_default().insert(network.to_owned(), next);
    }
}
