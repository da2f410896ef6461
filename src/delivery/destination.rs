//! Where conversions go: one network of one site, with the rules of its postbacks.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc, time::Duration};

use super::{outbound::Outbound, rate::Rate};
use crate::tracking::{
    event::EventId,
    postback::{BatchRule, PostbackRule},
    verdict::{Answer, BatchJudgement, VerdictRules},
};

/// One network of one site.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The site's name.
    pub site: Arc<str>,
    /// The network's key.
    pub network: Arc<str>,
    /// Requests at the same time, at most.
    pub concurrency: usize,
    /// How old a conversion may become before it is given up.
    pub max_age: Duration,
    /// How it takes several events in one request, if it does.
    pub batch: Option<BatchRule>,
    /// How often a conversion is tried that a working network does not take.
    pub max_attempts: u32,
    /// Requests in a time, at most.
    pub rate: Option<Rate>,
    /// Whether conversions of one order are sent in the order of their event times.
    pub in_order: bool,
    /// What its answers mean.
    pub verdicts: VerdictRules,
    /// The postback of each conversion, by the conversion's name.
    pub routes: BTreeMap<Arc<str>, PostbackRule>,
    /// Nothing is sent; rows wait.
    pub paused: bool,
    /// How its requests get there.
    pub outbound: Outbound,
}

/// All destinations, found by site and network.
#[derive(Clone, Debug, Default)]
pub struct Destinations(Vec<Arc<Destination>>);

impl Destinations {
    /// Takes them in any order; of two with one name, the first stays.
    #[must_use]
    pub fn new(destinations: Vec<Destination>) -> Self {
        let mut sorted: Vec<_> = destinations.into_iter().map(Arc::new).collect();
        sorted.sort_by(|one, other| one.compare(&other.site, &other.network));
        sorted.dedup_by(|later, first| later.compare(&first.site, &first.network) == Ordering::Equal);
        Self(sorted)
    }

    /// The destination of this site and network.
    #[must_use]
    pub fn find(&self, site: &str, network: &str) -> Option<&Arc<Destination>> {
        self.position(site, network).and_then(|position| self.0.get(position))
    }

    /// All of them, by site and network.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Destination>> {
        self.0.iter()
    }

    /// The place in [`iter`](Self::iter)'s order.
    pub(super) fn position(&self, site: &str, network: &str) -> Option<usize> {
        self.0.binary_search_by(|destination| destination.compare(site, network)).ok()
    }
}

impl Destination {
    /// What the answer to a request with these events means for each of them.
    pub(super) fn judge(&self, answer: Answer<'_>, events: &[EventId]) -> BatchJudgement {
        let failed = self.batch.as_ref().and_then(|batch| batch.failed.as_ref());
        self.verdicts.judge_batch(failed, answer, events)
    }

    /// Whether nothing has changed that the network might notice, or that tells what its answers mean.
    ///
    /// If so, what it was found to be under the other configuration holds for this one, too.
    pub(super) fn is_sent_like(&self, other: &Self) -> bool {
        // Patterns are compared as they are written; there are no secrets in them.
        let judges_alike = || format!("{:?}", self.verdicts) == format!("{:?}", other.verdicts);
        self.batch == other.batch
            && self.routes == other.routes
            && self.outbound.route == other.outbound.route
            && self.outbound.token == other.outbound.token
            && judges_alike()
    }

    fn compare(&self, site: &str, network: &str) -> Ordering {
        (&*self.site, &*self.network).cmp(&(site, network))
    }
}
