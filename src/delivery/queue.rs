//! Where the worker's rows come from, and where their verdicts go.
//!
//! A process that is alone works on its own store. A node of a fleet works on what any node has
//! accepted: it takes rows by leases, which end by themselves. What a row means to a network does not
//! belong here.

use std::{sync::Arc, time::Duration};

use super::DeliveryObserver;
use crate::{
    store::{LeasedRow, Settled, Settlement, Store},
    tracking::{event::EventId, timestamp::Timestamp},
};

mod shared;

use shared::SharedQueue;

/// Where the worker's rows come from.
#[derive(Clone)]
pub(super) enum Queue {
    /// This process' own store.
    Own(Store, Arc<dyn DeliveryObserver>),
    /// What the nodes of a fleet have in common.
    Shared(Arc<SharedQueue>),
}

impl Queue {
    /// The queue that belongs to a store; on a runtime, because a shared one has tasks of its own.
    pub(super) fn of(store: Store, observer: Arc<dyn DeliveryObserver>) -> Self {
        match store.fleet().cloned() {
            Some(fleet) => Self::Shared(SharedQueue::start(fleet, store, observer)),
            None => Self::Own(store, observer),
        }
    }

    /// Whether [`lease`](Self::lease) may find something: a hint without any input or output.
    pub(super) fn may_be_due(&self, site: &str, network: &str, now: Timestamp) -> bool {
        match self {
            Self::Own(store, _) => store.may_be_due(site, network, now),
            Self::Shared(queue) => queue.may_be_due(site, network, now),
        }
    }

    /// Waits until that hint has changed; a queue of one's own is only asked.
    pub(super) async fn changed(&self) {
        match self {
            Self::Own(..) => std::future::pending().await,
            Self::Shared(queue) => queue.changed().await,
        }
    }

    /// Leases up to `room` rows of one destination whose time has come.
    pub(super) async fn lease(&self, site: &str, network: &str, room: usize, now: Timestamp) -> Vec<LeasedRow> {
        match self {
            Self::Own(store, _) => store.lease(site, network, room, now).await,
            Self::Shared(queue) => queue.lease(site, network, room).await,
        }
    }

    /// Whether a row may be sent now: an attempt must end before its lease does.
    pub(super) fn is_ours(&self, row: &LeasedRow) -> bool {
        match self {
            Self::Own(..) => true,
            Self::Shared(queue) => queue.is_ours(row),
        }
    }

    /// Whether the store has ended an event, and nothing is to be said of it.
    pub(super) fn is_withdrawn(&self, id: EventId) -> bool {
        match self {
            Self::Own(store, _) => store.is_withdrawn(id),
            // Its lease is still to be given back.
            Self::Shared(_) => false,
        }
    }

    /// Records the end of an attempt, gives the lease back and counts a verdict that stands.
    pub(super) async fn settle(&self, settlement: Settlement) {
        match self {
            Self::Own(store, observer) => {
                if let Settled::Final(verdict) = settlement.outcome {
                    let event = &settlement.row.event;
                    observer.settled(&event.site, &event.network, verdict);
                }
                store.settle(settlement).await;
            }
            Self::Shared(queue) => queue.settle(settlement),
        }
    }

    /// Gives a lease back unsent.
    pub(super) async fn release(&self, row: LeasedRow) {
        match self {
            Self::Own(store, _) => store.release(row).await,
            Self::Shared(queue) => queue.release(row, None),
        }
    }

    /// Gives a lease back unsent, and keeps the row from being leased before `at`.
    pub(super) async fn park(&self, row: LeasedRow, at: Timestamp) {
        match self {
            Self::Own(store, _) => store.park(row, at).await,
            Self::Shared(queue) => queue.release(row, Some(at)),
        }
    }

    /// Makes all rows of a destination due that wait for a better time.
    pub(super) async fn wake(&self, site: &str, network: &str) {
        match self {
            Self::Own(store, _) => store.wake(site, network).await,
            Self::Shared(queue) => queue.wake(site, network).await,
        }
    }

    /// Waits until all that was settled and released is written, for as long as `within` at most.
    pub(super) async fn finish(&self, within: Duration) {
        match self {
            // The store is closed in order after the worker has ended.
            Self::Own(..) => {}
            Self::Shared(queue) => queue.finish(within).await,
        }
    }
}
