//! What became of hits that left no row: one record for each hit and network.
//!
//! A record holds the rule, the network, the time and the outcome, and nothing of the visitor. It is
//! written after the page, about once a second. Conversions come first: records that wait are few, and
//! what comes on top is dropped and counted.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use rusqlite::Connection;
use serde::Serialize;

use super::{InspectError, Inspector, Store, schema};
use crate::tracking::{conversion::Outcome, timestamp::Timestamp};

/// What became of a hit for one network.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The site's name.
    pub site: Arc<str>,
    /// The conversion's name.
    pub conversion: Arc<str>,
    /// The network's key.
    pub network: Arc<str>,
    /// When that was known.
    pub time: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
}

/// A [`Hit`] as it was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredHit {
    /// When its outcome was known.
    pub time: Timestamp,
    /// The site's name.
    pub site: String,
    /// The conversion's name.
    pub conversion: String,
    /// The network's key.
    pub network: String,
    /// The outcome's word.
    pub outcome: String,
}

/// Records on their way to the disk.
#[derive(Debug, Default)]
pub(super) struct Hits {
    waiting: Mutex<Vec<Hit>>,
    dropped: AtomicU64,
}

impl Store {
    /// Writes down what became of a hit, unless a row tells it or too many records wait. Never waits.
    pub fn note(&self, hit: Hit) {
        if !matches!(hit.outcome, Outcome::Queued | Outcome::Incomplete) {
            self.shared.hits.push(hit);
        }
    }
}

impl Inspector {
    /// What became of hits that left no row, the newest first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn hits(&self, limit: usize) -> Result<Vec<StoredHit>, InspectError> {
        self.read(|connection| {
            if !schema::has(connection, schema::WITH_DESK)? {
                return Ok(Vec::new());
            }
            connection
                .prepare("SELECT at_ms, site, conversion, network, outcome FROM hits ORDER BY id DESC LIMIT ?1")?
                .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                    Ok(StoredHit {
                        time: Timestamp::from_millis(row.get(0)?),
                        site: row.get(1)?,
                        conversion: row.get(2)?,
                        network: row.get(3)?,
                        outcome: row.get(4)?,
                    })
                })?
                .collect()
        })
    }
}

impl Hits {
    fn push(&self, hit: Hit) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING {
            waiting.push(hit);
        } else {
            drop(waiting);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were dropped since the last call.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Writes all that wait; after an error they wait again.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let batch = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if batch.is_empty() {
            return Ok(());
        }
        let written = insert(connection, &batch);
        if written.is_err() {
            batch.into_iter().for_each(|hit| self.push(hit));
        }
        written
    }
}

fn insert(connection: &Connection, hits: &[Hit]) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    for Hit { site, conversion, network, time, outcome } in hits {
        transaction
            .prepare_cached("INSERT INTO hits (at_ms, site, conversion, network, outcome) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((time.as_millis(), &**site, &**conversion, &**network, outcome.as_str()))?;
    }
    transaction.commit()
}

/// Records that may wait: what is written in one go, about once a second.
const WAITING: usize = 500;
