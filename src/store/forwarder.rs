//! The way of conversions from a node's own disk to its fleet.
//!
//! One loop on a thread of its own: read what waits, have the fleet take it over, remove it here, and
//! hear what it was. Whatever happens in between happens again, because the fleet knows an event by its
//! id. While the database is away everything waits on disk, and nobody waits for it. What a row means
//! to a network does not belong here.

use std::{collections::HashMap, io, sync::Arc, thread, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Fleet, Store, clock,
    command::Command,
    departure::{self, Departed, Departures},
    fleet::{FleetError, FleetHealth, desk::Notice},
    reader::Question,
};
use crate::tracking::{journey::JourneyKey, timestamp::Timestamp};

mod errands;
mod handing;

/// Brings what a store accepts to its fleet, until it is drained or its handle is gone.
#[derive(Debug)]
pub struct Forwarder {
    drain: mpsc::Sender<Drain>,
}

/// Hears how the forwarder fares, on its thread.
pub trait ForwardObserver: Send + Sync {
    /// The fleet has taken over so many rows at once.
    fn forwarded(&self, took: Duration, rows: usize);
    /// Whether the fleet could be reached just now.
    fn reached(&self, is_reached: bool);
    /// A postback of the fleet ended before it was sent, because consent to it was withdrawn.
    fn withdrawn(&self, site: &str, network: &str);
    /// An operator has changed rows of the fleet, which is counted by this node.
    fn told(&self, notice: &Notice);
}

/// Until when the last rows may take, and who waits for them.
type Drain = (Instant, oneshot::Sender<()>);

struct Loop {
    store: Store,
    fleet: Fleet,
    observer: Arc<dyn ForwardObserver>,
    /// Keys and journeys of the time before have gone.
    has_adopted: bool,
    /// How far other nodes were heard.
    heard: Timestamp,
    /// What was forgotten lately, and is not to be forgotten a second time: it may have come back.
    forgotten: HashMap<JourneyKey, Instant>,
    /// All keys of what was forgotten last.
    kin: Vec<JourneyKey>,
    next_news: Instant,
    next_tidying: Instant,
}

/// What one round has done.
enum Round {
    /// There may be more.
    Some,
    /// Nothing waits.
    Nothing,
}

/// Why a round did not do all it could.
#[derive(Debug, thiserror::Error)]
enum Hindrance {
    #[error("{0}")]
    Fleet(#[from] FleetError),
    #[error("this node's own store can't be used at present")]
    Store,
}

impl Store {
    /// How many conversions wait here for the fleet; `None` when that can't be read.
    #[must_use]
    pub fn departing(&self) -> Option<u64> {
        self.inspect().read(departure::count).ok()
    }

    /// Waits until the fleet has got something from this node.
    pub async fn forwarded(&self) {
        self.shared.forwarded.notified().await;
    }
}

impl Forwarder {
    /// Starts to forward what `store` has for its fleet; does nothing for a store that is alone.
    ///
    /// # Errors
    /// When the machine has no thread or no runtime for it.
    pub fn start(store: &Store, observer: Arc<dyn ForwardObserver>) -> io::Result<Self> {
        let (drain, draining) = mpsc::channel(1);
        if let Some(fleet) = store.fleet().cloned() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let forwarding = Loop::new(store.clone(), fleet, observer);
            thread::Builder::new()
                .name("forwarder".into())
                .spawn(move || runtime.block_on(forwarding.run(draining)))?;
        }
        Ok(Self { drain })
    }

    /// Forwards what is left, for as long as `within` at most, and ends.
    ///
    /// What is left after that waits on disk for the next process of this folder.
    pub async fn drain(&self, within: Duration) {
        let (done, drained) = oneshot::channel();
        if self.drain.send((Instant::now() + within, done)).await.is_ok() {
            // An error means that it ended in another way.
            drop(timeout(within, drained).await);
        }
    }
}

impl Loop {
    fn new(store: Store, fleet: Fleet, observer: Arc<dyn ForwardObserver>) -> Self {
        let now = Instant::now();
        Self {
            store,
            fleet,
            observer,
            has_adopted: false,
            heard: Timestamp::default(),
            forgotten: HashMap::new(),
            kin: Vec::new(),
            next_news: now,
            next_tidying: now,
        }
    }

    async fn run(mut self, mut draining: mpsc::Receiver<Drain>) {
        let mut failures = 0;
        loop {
            let round = tokio::select! {
                round = self.round_with_chores() => round,
                drain = draining.recv() => return self.finish(drain).await,
            };
            let pause = match round {
                Ok(Round::Some) => Duration::ZERO,
                Ok(Round::Nothing) => IDLE,
                Err(_) => back_off(failures),
            };
            failures = self.note(round, failures);
            tokio::select! {
                () = sleep(pause) => {}
                // An outage is not shortened by what comes meanwhile.
                () = self.store.shared.arrived.notified(), if failures == 0 => {}
                drain = draining.recv() => return self.finish(drain).await,
            }
        }
    }

    /// Forwards what is left.
    async fn finish(mut self, drain: Option<Drain>) {
        let Some((deadline, done)) = drain else { return };
        let forward_all = async {
            loop {
                match self.round().await {
                    Ok(Round::Some) => {}
                    Ok(Round::Nothing) => return,
                    Err(hindrance) => {
                        tracing::debug!(%hindrance, "not everything could be forwarded yet");
                        sleep(DRAIN_PAUSE).await;
                    }
                }
            }
        };
        if timeout_at(deadline, forward_all).await.is_err() {
            tracing::warn!("what the fleet does not have yet waits on disk for the next start");
        }
        // Whoever asked may have stopped waiting.
        done.send(()).ok();
    }

    /// Says how it fares when that has changed; yields the failures in a row.
    fn note(&self, round: Result<Round, Hindrance>, failures: u32) -> u32 {
        self.observer.reached(matches!(self.fleet.health(), FleetHealth::Ready));
        match round {
            Ok(_) => {
                if failures > 0 {
                    tracing::info!("the fleet's database is reached again; what waited here is forwarded");
                }
                0
            }
            Err(hindrance) => {
                if failures.is_multiple_of(COMPLAIN_EVERY) {
                    tracing::warn!(%hindrance, "conversions are kept on this node's disk until its fleet can be reached");
                }
                failures.saturating_add(1)
            }
        }
    }

    async fn round_with_chores(&mut self) -> Result<Round, Hindrance> {
        let round = self.round().await?;
        let now = Instant::now();
        if now >= self.next_news {
            self.hear().await?;
            self.next_news = now + NEWS;
        }
        if now >= self.next_tidying {
            let tidied = self.fleet.tidy(self.store.shared.retention(), clock::now()).await?;
            tidied.ended.iter().for_each(|ended| self.observer.withdrawn(&ended.site, &ended.network));
            self.next_tidying = now + if tidied.has_more { NEWS } else { TIDYING };
        }
        Ok(round)
    }

    /// Forwards one batch of everything.
    async fn round(&mut self) -> Result<Round, Hindrance> {
        let next = self.next().await?;
        let is_last =
            next.rows.is_empty() && next.errands.is_empty() && next.unreadable.is_empty() && next.hits.is_empty();
        if is_last {
            return self.adopt().await;
        }
        let mut departed = Departed { unreadable: next.unreadable, ..Departed::default() };
        let mut forwarded = self.forward(&next.rows, &mut departed).await;
        if forwarded.is_ok() {
            forwarded = self.forward_hits(next.node, &next.hits, &mut departed).await;
        }
        let run = match forwarded {
            Ok(()) => self.run_errands(next.errands, &mut departed).await,
            Err(error) => Err(error),
        };
        // What was done before a failure is done.
        let has_rows = !departed.rows.is_empty();
        self.depart(departed).await?;
        if has_rows {
            self.store.shared.forwarded.notify_one();
        }
        run.map(|()| Round::Some).map_err(Hindrance::from)
    }

    async fn next(&self) -> Result<Departures, Hindrance> {
        let question = |answer| Question::Departures { rows: ROWS, errands: ERRANDS, answer };
        let mut next = self.store.ask(question).await.ok_or(Hindrance::Store)?;
        // Their end is on its way to the disk.
        next.rows.retain(|row| !self.store.is_withdrawn(row.event.id));
        Ok(next)
    }

    /// Removes what the fleet has from this node's disk.
    async fn depart(&self, departed: Departed) -> Result<(), Hindrance> {
        let (done, written) = oneshot::channel();
        self.store.send(Command::Depart { departed, done }).await;
        written.await.map_err(|_| Hindrance::Store)
    }
}

/// 1 s, 2 s, 4 s … 30 s, as long as the database is away.
fn back_off(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(5)).min(LONGEST_PAUSE)
}

/// Rows and errands that go at once.
const ROWS: usize = 200;
const ERRANDS: usize = 50;
/// Between two looks for what other processes left here.
const IDLE: Duration = Duration::from_secs(1);
/// Between two looks for what other nodes forgot.
const NEWS: Duration = Duration::from_secs(1);
/// Between two slices of forgetting; every node does it.
const TIDYING: Duration = Duration::from_secs(10);
/// Between two tries at the end.
const DRAIN_PAUSE: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// About every five minutes of an outage.
const COMPLAIN_EVERY: u32 = 10;
