//! The worker between two configurations, and at its end: every row keeps a place.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{Destination, Destinations, lane::Lane, worker::Worker};
use crate::store::clock;

impl Worker {
    /// Puts another configuration in force; what it has no destination for goes back to the store.
    pub(super) async fn replace(&mut self, destinations: Arc<Destinations>) {
        let old = std::mem::take(&mut self.lanes);
        let now = clock::instant();
        self.lanes = destinations.iter().map(|destination| Lane::new(Arc::clone(destination), now)).collect();
        self.sender.replace(&destinations);
        for destination in destinations.iter() {
            self.observer.left_alone(&destination.site, &destination.network, false);
        }
        self.destinations = destinations;
        self.turn = 0;
        for mut lane in old {
            let destination = Arc::clone(&lane.destination);
            let Destination { site, network, .. } = &*destination;
            self.observer.left_alone(site, network, false);
            if let Some(new) = self.lane_of(site, network) {
                new.succeed(&mut lane, now);
            }
            for row in lane.queue.drain(..) {
                self.take(row).await;
            }
        }
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
