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

use super::clock;
use crate::tracking::timestamp::Timestamp;

mod counts;
pub mod desk;
mod error;
mod hits;
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
pub use housekeeping::Tidied;
pub use inbox::{ForwardRow, Forwarded};
pub use journeys::{JourneyAddition, News};
pub use outbox::Fenced;
pub use settings::{Encryption, FleetSettings};

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
        let since = match &*health {
            FleetHealth::Away { since, .. } => *since,
            FleetHealth::Ready => clock::now(),
        };
        match error {
            None => *health = FleetHealth::Ready,
            Some(error) if error.is_away() => *health = FleetHealth::Away { reason: error.to_string(), since },
            Some(_) => {}
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
