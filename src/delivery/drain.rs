//! The worker between two configurations, and at its end: every row keeps a place.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{Destination, Replacement, lane::Lane, worker::Worker};
use crate::store::clock;

impl Worker {
    /// Puts another configuration in force; what it has no destination for goes back to the store.
    ///
    /// A network that is spoken to as before keeps its place in everything; of another one, all that waits
    /// is tried at once, because what it waits for may be what has changed.
    pub(super) async fn replace(&mut self, replacement: Replacement) {
        let Replacement { destinations, clients } = replacement;
        let now = clock::instant();
        self.sender.replace(&destinations, clients);
        let name = |lane: &Lane| (Arc::clone(&lane.destination.site), Arc::clone(&lane.destination.network));
        let mut old: BTreeMap<_, _> =
            std::mem::take(&mut self.lanes).into_iter().map(|lane| (name(&lane), lane)).collect();
        let mut waiting = Vec::new();
        for destination in destinations.iter() {
            let Destination { site, network, .. } = &**destination;
            let mut lane = Lane::new(Arc::clone(destination), now);
            let before = old.remove(&(Arc::clone(site), Arc::clone(network)));
            let is_like_before = before.as_ref().is_some_and(|it| destination.is_sent_like(&it.destination));
            if let Some(mut before) = before {
                waiting.extend(before.queue.drain(..));
                lane.succeed(before, now);
            }
            self.observer.left_alone(site, network, lane.breaker.is_down());
            if !is_like_before {
                self.wake(site, network);
            }
            self.lanes.push(lane);
        }
        self.destinations = destinations;
        self.turn = 0;
        for (_, lane) in old {
            let Destination { site, network, .. } = &*lane.destination;
            self.observer.gone(site, network);
            waiting.extend(lane.queue);
        }
        for row in waiting {
            self.take(row).await;
        }
    }

    /// Makes all rows of a destination due that wait for a better time.
    fn wake(&self, site: &Arc<str>, network: &Arc<str>) {
        let (store, site, network) = (self.store.clone(), Arc::clone(site), Arc::clone(network));
        tokio::spawn(async move { store.wake(&site, &network).await });
    }

    /// Waits for what is under way, then gives everything back.
    pub(super) async fn drain(mut self, within: Duration) {
        self.fresh.close();
        for lane in std::mem::take(&mut self.lanes) {
            for row in lane.queue {
                self.store.release(row).await;
            }
        }
        while let Some(row) = self.fresh.recv().await {
            self.store.release(row).await;
        }
        // Only the wait is cut short, never the record of an answer that has come.
        let deadline = Instant::now() + within;
        while let Ok(Some(finished)) = timeout_at(deadline, self.sending.join_next_with_id()).await {
            self.land(finished).await;
        }
        // What is still under way may have been received; it is sent again under its id.
        self.sending.abort_all();
        for row in self.flights.drain().flat_map(|(_, flight)| flight.rows) {
            self.store.release(row).await;
        }
        while let Some(leased) = self.leasing.join_next().await {
            for row in leased.map(|(_, rows)| rows).unwrap_or_default() {
                self.store.release(row).await;
            }
        }
        self.store.finish(FINISH).await;
    }
}

/// How long the last verdicts of a fleet may take to be written.
const FINISH: Duration = Duration::from_secs(3);
