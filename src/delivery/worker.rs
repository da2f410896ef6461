//! Who is sent next, and what becomes of them.
//!
//! Everything happens on one thread. Requests and queries are tasks beside the loop; the rows that
//! are under way stay with the loop, so that a task that panics loses none.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc::UnboundedReceiver, oneshot},
    task::{self, JoinError, JoinSet},
    time::{MissedTickBehavior, interval},
};

use super::{
    Breakers, DeliveryObserver, Destination, Destinations, Replacement, breaker::Pass, client::Reply, lane::Lane,
    queue::Queue, sender::Sender,
};
use crate::{
    store::{
        LeasedRow, clock,
        uptime::{self, Uptime},
    },
    tracking::{
        event::{Event, EventId},
        postback::{Postback, PostbackRule, Unrenderable},
        verdict::{Answer, BatchJudgement, Judgement, RetryReason},
    },
};

/// Builds a request; a function so that tests can build theirs.
pub(super) type Render = Box<dyn Fn(&PostbackRule, &Event) -> Result<Postback, Unrenderable> + Send>;

/// What the worker is told from outside.
#[derive(Debug)]
pub(super) enum Control {
    Replace(Replacement),
    Breakers(oneshot::Sender<Breakers>),
    Drain { within: Duration, done: oneshot::Sender<()> },
}

pub(super) struct Worker {
    pub(super) store: Queue,
    pub(super) fresh: UnboundedReceiver<LeasedRow>,
    control: UnboundedReceiver<Control>,
    pub(super) observer: Arc<dyn DeliveryObserver>,
    pub(super) sender: Sender,
    pub(super) render: Render,
    pub(super) destinations: Arc<Destinations>,
    /// One for each destination, in the same order.
    pub(super) lanes: Vec<Lane>,
    /// The lane that is asked first.
    pub(super) turn: usize,
    pub(super) sending: JoinSet<Result<Reply, RetryReason>>,
    pub(super) flights: HashMap<task::Id, Flight>,
    pub(super) leasing: JoinSet<(Arc<Destination>, Vec<LeasedRow>)>,
    /// How often a row made us panic.
    pub(super) panics: BTreeMap<EventId, u32>,
    /// Rows that share no request, because one with others was refused.
    pub(super) alone: BTreeSet<EventId>,
    /// Whether the ages of rows can be believed.
    pub(super) uptime: Uptime,
}

/// The rows of one request under way.
pub(super) struct Flight {
    pub(super) rows: Vec<LeasedRow>,
    pub(super) destination: Arc<Destination>,
    pub(super) started: Instant,
    /// Gone once the network's breaker has heard how it ended.
    pub(super) pass: Option<Pass>,
}

impl Worker {
    pub(super) fn new(
        store: Queue,
        fresh: UnboundedReceiver<LeasedRow>,
        control: UnboundedReceiver<Control>,
        destinations: Arc<Destinations>,
        observer: Arc<dyn DeliveryObserver>,
        sender: Sender,
        render: Render,
    ) -> Self {
        let now = clock::instant();
        for destination in destinations.iter() {
            observer.left_alone(&destination.site, &destination.network, false);
        }
        Self {
            store,
            fresh,
            control,
            observer,
            sender,
            render,
            lanes: destinations.iter().map(|destination| Lane::new(Arc::clone(destination), now)).collect(),
            destinations,
            turn: 0,
            sending: JoinSet::new(),
            flights: HashMap::new(),
            leasing: JoinSet::new(),
            panics: BTreeMap::new(),
            alone: BTreeSet::new(),
            uptime: Uptime::new(clock::now(), now, DOUBT),
        }
    }

    /// Works until it is drained or its handle is gone.
    pub(super) async fn run(mut self) {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fresh = Vec::new();
        let mut is_fresh_open = true;
        loop {
            self.launch_ready().await;
            tokio::select! {
                control = self.control.recv() => match control {
                    Some(Control::Replace(replacement)) => self.replace(replacement).await,
                    // Whoever no longer waits for it needs no answer.
                    Some(Control::Breakers(answer)) => drop(answer.send(self.breakers())),
                    Some(Control::Drain { within, done }) => {
                        self.drain(within).await;
                        // Its end is the answer.
                        return drop(done);
                    }
                    None => return self.drain(Duration::ZERO).await,
                },
                count = self.fresh.recv_many(&mut fresh, 64), if is_fresh_open => {
                    is_fresh_open = count > 0;
                    for row in fresh.drain(..) {
                        self.take(row).await;
                    }
                }
                Some(finished) = self.sending.join_next_with_id(), if !self.sending.is_empty() => {
                    self.land(finished).await;
                }
                Some(Ok((destination, rows))) = self.leasing.join_next(), if !self.leasing.is_empty() => {
                    if let Some(lane) = self.lane_of(&destination.site, &destination.network) {
                        lane.is_leasing = false;
                    }
                    for row in rows {
                        self.take(row).await;
                    }
                }
                () = self.store.changed() => self.poll(),
                _ = poll.tick() => self.poll(),
            }
        }
    }

    /// Asks the store for rows where there is room and something due.
    fn poll(&mut self) {
        // The store counts and tells of a clock that was set.
        self.uptime.observe(clock::now(), clock::instant());
        for position in 0..self.lanes.len() {
            self.poll_lane(position);
        }
    }

    fn poll_lane(&mut self, position: usize) {
        let Some(lane) = self.lanes.get_mut(position) else { return };
        let (now, room) = (clock::now(), lane.room(clock::instant()));
        let destination = &lane.destination;
        if room > 0 && self.store.may_be_due(&destination.site, &destination.network, now) {
            lane.is_leasing = true;
            let (store, destination) = (self.store.clone(), Arc::clone(destination));
            self.leasing.spawn(async move {
                let rows = store.lease(&destination.site, &destination.network, room, now).await;
                (destination, rows)
            });
        }
    }

    /// Queues a row, or gives it back when it has no destination, no route or no room.
    pub(super) async fn take(&mut self, row: LeasedRow) {
        let Some(lane) = self.lane_of(&row.event.site, &row.event.network) else {
            return self.store.release(row).await;
        };
        let now = clock::instant();
        if lane.destination.paused || lane.is_full() || !lane.takes_conversions(now) {
            self.store.release(row).await;
        } else if lane.destination.routes.contains_key(&row.event.conversion) {
            lane.push(row, now);
        } else {
            // Its destination is polled, so it must not be due again at once.
            self.store.park(row, clock::now().plus(PARKED)).await;
        }
    }

    /// Judges an answer and settles the rows that it is about.
    pub(super) async fn land(&mut self, finished: Result<(task::Id, Result<Reply, RetryReason>), JoinError>) {
        let id = finished.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(flight) = self.flights.remove(&id) else { return };
        let Destination { site, network, .. } = &*flight.destination;
        if let Some(position) = self.destinations.position(site, network) {
            if let Some(lane) = self.lanes.get_mut(position) {
                lane.landed(matches!(finished, Ok((_, Ok(_)))), clock::instant());
            }
            // A backlog moves as fast as its network, not as fast as the clock ticks.
            self.poll_lane(position);
        }
        let events: Vec<EventId> = flight.rows.iter().map(|row| row.event.id).collect();
        match finished {
            Ok((_, Ok(reply))) => {
                let answer = Answer { status: reply.status, body: reply.body.as_deref() };
                match catch_unwind(AssertUnwindSafe(|| flight.destination.judge(answer, &events))) {
                    Ok(judgement) => self.conclude(flight, judgement, Some(&reply)).await,
                    Err(_) => self.panicked(flight).await,
                }
            }
            Ok((_, Err(reason))) => {
                self.conclude(flight, BatchJudgement::of_all(Judgement::Retry(reason), &events), None).await;
            }
            Err(_) => self.panicked(flight).await,
        }
    }

    fn breakers(&self) -> Breakers {
        let state = |lane: &Lane| {
            let Destination { site, network, .. } = &*lane.destination;
            (Arc::clone(site), Arc::clone(network), lane.breaker.state())
        };
        self.lanes.iter().map(state).collect()
    }

    pub(super) fn lane_of(&mut self, site: &str, network: &str) -> Option<&mut Lane> {
        self.destinations.position(site, network).and_then(|position| self.lanes.get_mut(position))
    }
}

/// Between two looks for rows that have become due.
const POLL: Duration = Duration::from_millis(500);
/// How long a row waits whose conversion has no route, before it is looked at again.
pub(super) const PARKED: Duration = Duration::from_mins(5);
/// How long after the start a clock is doubted that calls a conversion too old.
const DOUBT: Duration = if cfg!(test) { Duration::from_secs(2) } else { uptime::GRACE };
