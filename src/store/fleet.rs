//! The store that several instances share: PostgreSQL.
//!
//! A [`Fleet`] is a cheap handle that connects when it is first used. It decides what counts once on the
//! whole fleet and who sends it; what a node has accepted is on its own disk before it comes here. Every
//! call ends within seconds, with an answer or an error, and a caller may stop waiting at any time.
//! When to call, and what to do while the database is away, does not belong here.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::Pool;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    Accepted, Claim, Fate, LeasedRow, Retention, Settlement, clock,
    dedup::Taken,
    inspector::QueueCounts,
    withdrawal::{Ended, Subject},
};
use crate::tracking::{
    event::{Dedup, DedupKey, Event, EventId},
    journey::{Journey, JourneyKey},
    timestamp::Timestamp,
};

mod counts;
mod error;
mod housekeeping;
mod inbox;
mod journeys;
mod keys;
mod outbox;
mod question;
mod schema;
mod session;
mod settings;
mod tls;
mod value;
mod withdrawal;

#[cfg(test)]
mod tests;

pub use error::{FleetError, SqlFailure};
pub use journeys::JourneyAddition;
pub use settings::{Encryption, FleetSettings};

use keys::Taking;
use session::Session;

/// A handle to the shared store.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

struct Shared {
    /// Who we are, for people who look into the database.
    instance: Arc<str>,
    /// For what nobody waits for but ourselves.
    work: Pool,
    /// For what pages wait for.
    pages: Pool,
    /// Pages that ask at the same time; more are told at once that there is no answer.
    questions: Arc<Semaphore>,
    is_prepared: AtomicBool,
    health: Mutex<FleetHealth>,
}

/// A row that a node has accepted.
#[derive(Clone, Copy, Debug)]
pub struct ForwardRow<'a> {
    /// What happened.
    pub event: &'a Event,
    /// What makes it the same conversion as another one.
    pub key: Option<Dedup>,
    /// The names without a value, of a row that waits for a person; empty sends it.
    pub missing: &'a [String],
}

/// What became of a [`ForwardRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// The fleet has it, since now.
    Queued,
    /// The fleet has it, since an earlier try.
    Known,
    /// Another conversion holds its key.
    Duplicate,
    /// The fleet had it, and it ended at once: its visitor withdrew consent at another node meanwhile.
    Withdrawn,
}

/// Whether a settlement counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// It is in the database, now or from an earlier try.
    Done,
    /// Consent was withdrawn meanwhile, so that it ended instead of being tried again.
    Withdrawn,
    /// The lease had run out and another node has the row, or had: nothing was changed.
    Lost,
}

/// Journeys that the nodes must forget in their own files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Their keys; some may have been told before.
    pub journeys: Vec<JourneyKey>,
    /// Where to go on, by the server's clock.
    pub until: Timestamp,
}

/// What a round of forgetting did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Postbacks that were withdrawn while a node had them in its hands that never came back.
    pub ended: Vec<Ended>,
    /// Whether there is more to forget right now.
    pub has_more: bool,
}

/// Whether the shared store can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetHealth {
    /// It answers.
    Ready,
    /// It does not.
    Away {
        /// What is wrong and what to do, for people.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
}

/// Moves what a node has accepted to the fleet.
impl Fleet {
    /// Reads the settings; connects only when something is asked.
    ///
    /// # Errors
    /// When the address or an authority can't be used.
    pub fn new(settings: &FleetSettings, instance: Arc<str>) -> Result<Self, FleetError> {
        let target = settings.target()?;
        let tls = tls::connector(settings, &target)?;
        let pool = |size| session::pool(target.config.clone(), tls.clone(), size);
        let health = FleetHealth::Away { reason: "the database has not been asked yet".into(), since: clock::now() };
        Ok(Self(Arc::new(Shared {
            instance,
            work: pool(WORKERS)?,
            pages: pool(PAGES)?,
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            is_prepared: AtomicBool::new(false),
            health: Mutex::new(health),
        })))
    }

    /// Connects, looks whether commits are durable, and makes or extends the tables.
    ///
    /// Every other call does this, too, when it has not succeeded before.
    pub async fn prepare(&self) -> Result<(), FleetError> {
        self.attempt(|| async {
            self.0.is_prepared.store(false, Ordering::Release);
            let session = self.session().await?;
            session.end(Ok(()))
        })
        .await
    }

    /// Accepts rows, each once however often it is forwarded, in one transaction; the answers are in their order.
    pub async fn forward(&self, rows: &[ForwardRow<'_>]) -> Result<Vec<Forwarded>, FleetError> {
        self.attempt(|| async {
            let mut session = self.session().await?;
            let result = inbox::forward(&mut session, rows).await;
            session.end(result)
        })
        .await
    }

    /// Takes dedup keys without rows; the answers are in their order.
    pub async fn claim(&self, claims: &[Claim]) -> Result<Vec<Accepted>, FleetError> {
        let takings: Vec<_> = claims.iter().map(Taking::from).collect();
        let taken = self.take(&takings).await?;
        let accepted = taken.into_iter().map(|taken| match taken {
            Taken::Now | Taken::Before => Accepted::Queued,
            Taken::Elsewhere => Accepted::Duplicate,
        });
        Ok(accepted.collect())
    }

    /// Gives claimed keys back; those that another event has taken meanwhile stay taken.
    pub async fn give_back(&self, claims: &[(EventId, DedupKey)]) -> Result<(), FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = keys::give_back(&session, claims).await;
            session.end(result)
        })
        .await
    }

    /// Takes over keys that a node accepted before it joined: key, event, when accepted, until when (in ms).
    pub async fn adopt_keys(&self, keys: &[(DedupKey, EventId, i64, i64)]) -> Result<(), FleetError> {
        let taking = |(key, event_id, accepted_ms, expires_ms): &_| Taking {
            key: *key,
            event_id: *event_id,
            accepted_ms: *accepted_ms,
            expires_ms: *expires_ms,
        };
        self.take(&keys.iter().map(taking).collect::<Vec<_>>()).await.map(drop)
    }
}

/// Sends what the fleet has.
impl Fleet {
    /// Site, network and time (in ms of this node's clock) of the first row of each destination that
    /// nobody has in hand.
    pub async fn due(&self) -> Result<Vec<(String, String, i64)>, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = outbox::due(&session).await;
            session.end(result)
        })
        .await
    }

    /// Leases up to `room` rows (at most 100) of one destination whose time has come, for 60 seconds.
    pub async fn lease(&self, site: &str, network: &str, room: usize) -> Result<Vec<LeasedRow>, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = outbox::lease(&session, &self.0.instance, (site, network), room).await;
            session.end(result)
        })
        .await
    }

    /// Records the end of an attempt and gives the lease back; may be repeated when the answer was lost.
    pub async fn settle(&self, settlement: &Settlement) -> Result<Fenced, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = outbox::settle(&session, settlement).await;
            session.end(result)
        })
        .await
    }

    /// Gives a lease back unsent; with a time, the row is not due before it.
    pub async fn release(&self, row: &LeasedRow, at: Option<Timestamp>) -> Result<(), FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = outbox::release(&session, row, at).await;
            session.end(result)
        })
        .await
    }

    /// Begins leases anew, and answers with the events that are still ours and may be sent.
    pub async fn extend(&self, rows: &[&LeasedRow]) -> Result<Vec<EventId>, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = outbox::extend(&session, rows).await;
            session.end(result)
        })
        .await
    }

    /// How much waits, by destination.
    pub async fn gauges(&self) -> Result<Vec<QueueCounts>, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = counts::counts(&session).await;
            session.end(result)
        })
        .await
    }

    /// Works on one slice of what is too old; any node may do it.
    pub async fn tidy(&self, retention: Retention, now: Timestamp) -> Result<Tidied, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = housekeeping::tidy(&session, retention, now).await;
            session.end(result)
        })
        .await
    }
}

/// What is known of visitors.
impl Fleet {
    /// Adds to what is known of a visitor, under each of the keys.
    pub async fn remember(
        &self,
        site: &str,
        keys: &[JourneyKey],
        journey: &Journey,
        expires: Timestamp,
        kept: Duration,
    ) -> Result<(), FleetError> {
        self.remember_all(&[JourneyAddition { site, keys, journey, expires, kept }]).await
    }

    /// Adds to what is known of several visitors in one transaction.
    pub async fn remember_all(&self, additions: &[JourneyAddition<'_>]) -> Result<(), FleetError> {
        self.attempt(|| async {
            let mut session = self.session().await?;
            let result = journeys::remember(&mut session, additions).await;
            session.end(result)
        })
        .await
    }

    /// What is known under any of these keys; answers at once while the database is away.
    pub async fn recall(&self, keys: &[JourneyKey], now: Timestamp) -> Result<Option<Journey>, FleetError> {
        let (fleet, keys) = (self.clone(), keys.to_vec());
        self.beside(async move {
            let session = fleet.page().await?;
            let result = journeys::recall(&session, &keys, now).await;
            session.end(result)
        })
        .await
    }

    /// Forgets journeys, tells the other nodes, and answers with all keys under which they were kept.
    pub async fn forget(&self, keys: &[JourneyKey]) -> Result<Vec<JourneyKey>, FleetError> {
        self.attempt(|| async {
            let mut session = self.session().await?;
            let result = journeys::forget(&mut session, keys).await;
            session.end(result)
        })
        .await
    }

    /// What any node forgot since then; begin with the epoch.
    pub async fn news(&self, since: Timestamp) -> Result<News, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = journeys::news(&session, since).await;
            session.end(result)
        })
        .await
    }

    /// The open rows of a site that have one of these clicks (by the network's key) or journeys.
    pub async fn open_rows_of(
        &self,
        site: &str,
        clicks: &[(&str, &str)],
        journeys: &[JourneyKey],
    ) -> Result<Vec<EventId>, FleetError> {
        let clicks = clicks.iter().map(|(network, click)| ((*network).to_owned(), (*click).to_owned())).collect();
        let subject = Subject { site: site.to_owned(), clicks, journeys: journeys.to_vec() };
        self.attempt(|| async {
            let session = self.session().await?;
            let result = withdrawal::find(&session, &subject).await;
            session.end(result)
        })
        .await
    }

    /// Ends open rows; answers with those that ended right now.
    ///
    /// A row that a node has in its hands is marked, and ends when that node settles it.
    pub async fn withdraw(&self, ids: &[EventId]) -> Result<Vec<Ended>, FleetError> {
        self.attempt(|| async {
            let mut session = self.session().await?;
            let result = withdrawal::end(&mut session, ids).await;
            session.end(result)
        })
        .await
    }

    /// Which of these events must not be sent although somebody may have them in their hands.
    pub async fn withdrawn(&self, ids: &[EventId]) -> Result<Vec<EventId>, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = question::withdrawn(&session, ids).await;
            session.end(result)
        })
        .await
    }

    /// The verdicts of these events by their words, in their order; answers at once while the database is away.
    pub async fn verdicts(&self, ids: &[EventId]) -> Result<Vec<Option<String>>, FleetError> {
        let (fleet, ids) = (self.clone(), ids.to_vec());
        self.beside(async move {
            let session = fleet.page().await?;
            let result = question::verdicts(&session, &ids).await;
            session.end(result)
        })
        .await
    }

    /// What became of these events, in their order; answers at once while the database is away.
    pub async fn fates(&self, ids: &[EventId]) -> Result<Vec<Option<Fate>>, FleetError> {
        let (fleet, ids) = (self.clone(), ids.to_vec());
        self.beside(async move {
            let session = fleet.page().await?;
            let result = question::fates(&session, &ids).await;
            session.end(result)
        })
        .await
    }
}

/// The way to the database.
impl Fleet {
    /// Whether the database answered when it was last asked.
    #[must_use]
    pub fn health(&self) -> FleetHealth {
        self.0.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection for work, to a database that is ready for it.
    async fn session(&self) -> Result<Session, FleetError> {
        let mut session = Session::of(&self.0.work).await?;
        if !self.0.is_prepared.load(Ordering::Acquire) {
            schema::migrate(&mut session).await?;
            self.0.is_prepared.store(true, Ordering::Release);
        }
        Ok(session)
    }

    async fn page(&self) -> Result<Session, FleetError> {
        Session::of(&self.0.pages).await
    }

    async fn take(&self, takings: &[Taking]) -> Result<Vec<Taken>, FleetError> {
        self.attempt(|| async {
            let mut session = self.session().await?;
            let result = keys::claim(&mut session, takings).await;
            session.end(result)
        })
        .await
    }

    /// Tries a few times while other transactions are in the way.
    async fn attempt<T, F: Future<Output = Result<T, FleetError>>>(
        &self,
        mut once: impl FnMut() -> F,
    ) -> Result<T, FleetError> {
        let mut tries = 0_u32;
        loop {
            let result = timeout(PATIENCE, once()).await.unwrap_or_else(|_| Err(FleetError::late()));
            if let Err(error) = &result {
                if error.is_missing_table() {
                    // Somebody made the database anew.
                    self.0.is_prepared.store(false, Ordering::Release);
                }
                if error.is_conflict() && tries < CONFLICTS {
                    tries += 1;
                    // Two losers that wait equally long would meet again.
                    tokio::time::sleep(jitter(tries)).await;
                    continue;
                }
            }
            self.note(result.as_ref().err());
            return result;
        }
    }

    /// Answers a page, beside the caller: one that stops waiting closes no connection.
    async fn beside<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, FleetError>> + Send + 'static,
    ) -> Result<T, FleetError> {
        if let FleetHealth::Away { reason, .. } = self.health() {
            return Err(FleetError::Unreachable(reason));
        }
        let Ok(permit) = Arc::clone(&self.0.questions).try_acquire_owned() else {
            return Err(FleetError::Unreachable("too many pages ask the database at once".into()));
        };
        let answer = tokio::spawn(async move {
            let _permit = permit;
            timeout(PATIENCE, question).await.unwrap_or_else(|_| Err(FleetError::late()))
        });
        // A panic in there is told by the runtime.
        answer.await.unwrap_or_else(|_| Err(FleetError::late()))
    }

    /// Remembers how the database fares; the beginning of its absence is kept while it lasts.
    fn note(&self, error: Option<&FleetError>) {
        let mut health = self.0.health.lock().unwrap_or_else(PoisonError::into_inner);
        match (error, &*health) {
            (None, FleetHealth::Ready) => {}
            (None, FleetHealth::Away { .. }) => *health = FleetHealth::Ready,
            (Some(error), FleetHealth::Ready) if error.is_away() => {
                *health = FleetHealth::Away { reason: error.to_string(), since: clock::now() };
            }
            (Some(error), FleetHealth::Away { since, .. }) if error.is_away() => {
                *health = FleetHealth::Away { reason: error.to_string(), since: *since };
            }
            (Some(_), _) => {}
        }
    }
}

/// Neither the address nor the settings.
impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("instance", &self.0.instance).field("health", &self.health()).finish()
    }
}

/// Between 10 and 20 ms at first, twice that each time.
fn jitter(tries: u32) -> Duration {
    let random = u64::from(uuid::Uuid::new_v4().as_bytes().first().copied().unwrap_or_default());
    Duration::from_micros((10_000 + random * 40) << tries.min(6))
}

/// The server's clock in milliseconds, as it stood when the transaction began.
const NOW_MS: &str = "(extract(epoch FROM now()) * 1000)::INT8";
/// Connections of a node for its own work.
const WORKERS: usize = 6;
/// Connections of a node for questions of pages.
const PAGES: usize = 4;
const QUESTIONS: usize = 64;
/// Longer than any statement may take, and the opening of a connection before it.
const PATIENCE: Duration = Duration::from_secs(12);
/// Attempts after one that another transaction has ended.
const CONFLICTS: u32 = 6;
