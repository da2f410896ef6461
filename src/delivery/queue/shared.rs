//! The queue of a fleet, as one node works on it.
//!
//! What is due is asked every half second; verdicts and released rows are written beside the worker,
//! a few at a time, and again while the database is away. They are kept until their lease must have
//! ended: then the row is another node's, and is sent again under its id. While the fleet can't be
//! asked, nothing is leased and nothing is begun.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, Semaphore},
    time::{sleep, timeout},
};

use super::super::DeliveryObserver;
use crate::{
    store::{
        Fleet, LeasedRow, Settled, Settlement, Store, clock,
        fleet::{Fenced, FleetError},
    },
    tracking::{event::EventId, timestamp::Timestamp, verdict::Verdict},
};

/// The queue of a fleet.
pub(in super::super) struct SharedQueue {
    fleet: Fleet,
    store: Store,
    observer: Arc<dyn DeliveryObserver>,
    /// By site and network: when the first row is due that nobody has.
    due: Mutex<BTreeMap<String, BTreeMap<String, i64>>>,
    is_reached: AtomicBool,
    changed: Notify,
    /// Since when rows are ours, by our own clock and from before they were.
    leases: Mutex<HashMap<EventId, Instant>>,
    writing: Semaphore,
    unwritten: AtomicUsize,
    written: Notify,
}

/// What is written about a row.
enum End {
    Settled(Box<Settlement>),
    Released(Box<LeasedRow>, Option<Timestamp>),
}

impl SharedQueue {
    pub(super) fn start(fleet: Fleet, store: Store, observer: Arc<dyn DeliveryObserver>) -> Arc<Self> {
        let queue = Arc::new(Self {
            fleet,
            store,
            observer,
            due: Mutex::default(),
            is_reached: AtomicBool::new(false),
            changed: Notify::new(),
            leases: Mutex::default(),
            writing: Semaphore::new(AT_A_TIME),
            unwritten: AtomicUsize::new(0),
            written: Notify::new(),
        });
        let weak = Arc::downgrade(&queue);
        tokio::spawn(async move {
            // Ends with the worker.
            while let Some(queue) = weak.upgrade() {
                queue.look().await;
                let arrival = queue.store.forwarded();
                // Too early costs one query.
                drop(timeout(LOOK, arrival).await);
            }
        });
        queue
    }

    pub(super) fn may_be_due(&self, site: &str, network: &str, now: Timestamp) -> bool {
        let due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let next = due.get(site).and_then(|networks| networks.get(network));
        self.is_reached.load(Ordering::Acquire) && next.is_some_and(|next| *next <= now.as_millis())
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) async fn lease(&self, site: &str, network: &str, room: usize) -> Vec<LeasedRow> {
        // Before it is asked: the lease begins at the server later than that.
        let since = clock::instant();
        match self.fleet.lease(site, network, room.min(ROOM)).await {
            Ok(rows) => {
                let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
                leases.extend(rows.iter().map(|row| (row.event.id, since)));
                drop(leases);
                if rows.is_empty() {
                    // Until the next look.
                    let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
                    due.get_mut(site).and_then(|networks| networks.remove(network));
                }
                rows
            }
            Err(error) => {
                tracing::debug!(%error, "nothing could be leased");
                self.is_reached.store(false, Ordering::Release);
                Vec::new()
            }
        }
    }

    pub(super) fn is_ours(&self, row: &LeasedRow) -> bool {
        let id = row.event.id;
        self.is_reached.load(Ordering::Acquire) && self.left(id) > ATTEMPT && !self.store.is_withdrawn(id)
    }

    pub(super) fn settle(self: &Arc<Self>, settlement: Settlement) {
        self.write(End::Settled(Box::new(settlement)));
    }

    pub(super) fn release(self: &Arc<Self>, row: LeasedRow, at: Option<Timestamp>) {
        self.write(End::Released(Box::new(row), at));
    }

    /// What cannot be woken now is tried at the time that was set for it.
    pub(super) async fn wake(&self, site: &str, network: &str) {
        loop {
            match self.fleet.wake(site, network).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%site, %network, %error, "what waits for this network could not be made due at once");
                    break;
                }
            }
        }
        self.look().await;
    }

    pub(super) async fn finish(&self, within: Duration) {
        let all_written = async {
            loop {
                let written = self.written.notified();
                if self.unwritten.load(Ordering::Acquire) == 0 {
                    return;
                }
                written.await;
            }
        };
        if timeout(within, all_written).await.is_err() {
            tracing::warn!("some verdicts could not be written; other nodes send those postbacks again");
        }
    }

    /// Asks what is due.
    async fn look(&self) {
        let found = self.fleet.due().await;
        self.is_reached.store(found.is_ok(), Ordering::Release);
        match found {
            Ok(all) => {
                let mut due = BTreeMap::<String, BTreeMap<String, i64>>::new();
                for (site, network, next) in all {
                    due.entry(site).or_default().insert(network, next);
                }
                *self.due.lock().unwrap_or_else(PoisonError::into_inner) = due;
                self.changed.notify_one();
                self.hear().await;
            }
            Err(error) => tracing::debug!(%error, "the fleet's queue can't be asked"),
        }
    }

    /// Learns which of the rows in our hands were withdrawn at another node.
    async fn hear(&self) {
        let ours: Vec<EventId> = self.leases.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        if ours.is_empty() {
            return;
        }
        match self.fleet.withdrawn(&ours).await {
            Ok(withdrawn) => self.store.note_withdrawn(withdrawn),
            Err(error) => tracing::debug!(%error, "withdrawals can't be asked for"),
        }
    }

    /// Writes beside the worker. There are never more of these than rows were leased.
    fn write(self: &Arc<Self>, end: End) {
        self.unwritten.fetch_add(1, Ordering::AcqRel);
        let queue = Arc::clone(self);
        tokio::spawn(async move {
            queue.write_until_lost(end).await;
            queue.unwritten.fetch_sub(1, Ordering::AcqRel);
            queue.written.notify_waiters();
        });
    }

    async fn write_until_lost(&self, end: End) {
        let id = match &end {
            End::Settled(settlement) => settlement.row.event.id,
            End::Released(row, _) => row.event.id,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let written = match self.writing.acquire().await {
                Ok(_one_of_few) => self.write_once(&end).await,
                // It is never closed.
                Err(_) => Ok(()),
            };
            match written {
                Ok(()) => break,
                Err(error) if error.is_transient() && !self.left(id).is_zero() => {
                    tracing::debug!(%error, "a verdict could not be written yet");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    tracing::warn!(%error, event = %id, "a verdict could not be written; the postback is sent again under its id");
                    break;
                }
            }
        }
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    async fn write_once(&self, end: &End) -> Result<(), FleetError> {
        let settlement = match end {
            End::Released(row, at) => return self.fleet.release(row, *at).await,
            End::Settled(settlement) => settlement,
        };
        let event = &settlement.row.event;
        match (self.fleet.settle(settlement).await?, settlement.outcome) {
            (Fenced::Done, Settled::Final(verdict)) => {
                self.observer.settled(&event.site, &event.network, verdict);
            }
            (Fenced::Done, Settled::Retry { .. }) => {}
            (Fenced::Withdrawn, _) => self.observer.settled(&event.site, &event.network, Verdict::Withdrawn),
            (Fenced::Lost, _) => {
                tracing::warn!(event = %event.id, "a lease ended before its postback did; another node sends it again");
            }
        }
        Ok(())
    }

    /// How much of a lease is left at least.
    fn left(&self, id: EventId) -> Duration {
        let since = self.leases.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
        since.map_or(Duration::ZERO, |since| LEASE.saturating_sub(clock::instant().saturating_duration_since(since)))
    }
}

/// As the fleet grants it.
const LEASE: Duration = Duration::from_mins(1);
/// What one attempt may take at most, and a little more.
const ATTEMPT: Duration = Duration::from_secs(20);
/// Rows of one destination that are leased at a time: they are to be sent well within the lease.
const ROOM: usize = 100;
const LOOK: Duration = Duration::from_millis(500);
/// Verdicts that are written at the same time.
const AT_A_TIME: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
