//! What the handles, the writer and the reader of one store all see.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, atomic::AtomicU64},
};

use tokio::sync::{Notify, Semaphore};

use super::{Retention, due::Due, fleet::Fleet, hits::Hits, journeys::Journeys, withdrawal::Withdrawn};
use crate::tracking::timestamp::Timestamp;

/// Whether the store writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Everything is written.
    Ready,
    /// Nothing is written at present; the store tries again by itself.
    Degraded {
        /// What is wrong and what to do, for people.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
}

/// Who sends what a store has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// This process, or another one of its folder.
    Alone,
    /// Whoever of the fleet comes first.
    Node,
}

/// What the handles and the writer both see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) folder: PathBuf,
    pub(super) health: Mutex<Health>,
    pub(super) due: Due,
    /// How often the file was opened.
    pub(super) openings: AtomicU64,
    pub(super) journeys: Journeys,
    pub(super) hits: Hits,
    /// Journeys that were not written because too much was waiting; the writer counts them.
    pub(super) lost: AtomicU64,
    pub(super) withdrawn: Withdrawn,
    /// One search through the open rows at a time.
    pub(super) search: Semaphore,
    retention: Mutex<Retention>,
    /// What this store is a node of.
    pub(super) fleet: Option<Fleet>,
    /// Something waits for the fleet.
    pub(super) arrived: Notify,
    /// The fleet has got something.
    pub(super) forwarded: Notify,
}

impl Shared {
    pub(super) fn new(folder: &Path, retention: Retention, fleet: Option<Fleet>) -> Self {
        Self {
            folder: folder.to_owned(),
            health: Mutex::new(Health::Ready),
            due: Due::default(),
            openings: AtomicU64::new(0),
            journeys: Journeys::default(),
            hits: Hits::default(),
            lost: AtomicU64::new(0),
            withdrawn: Withdrawn::default(),
            search: Semaphore::new(1),
            retention: Mutex::new(retention),
            fleet,
            arrived: Notify::new(),
            forwarded: Notify::new(),
        }
    }

    pub(super) const fn role(&self) -> Role {
        if self.fleet.is_some() { Role::Node } else { Role::Alone }
    }

    /// How long what is over is kept.
    pub(super) fn retention(&self) -> Retention {
        *self.retention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps it for so long from now on.
    pub(super) fn retain(&self, retention: Retention) {
        *self.retention.lock().unwrap_or_else(PoisonError::into_inner) = retention;
    }

    /// Records the degraded mode; its beginning is kept while it lasts.
    pub(super) fn degrade(&self, why: &str, now: Timestamp) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match &*health {
            Health::Degraded { since, .. } => *since,
            Health::Ready => now,
        };
        *health = Health::Degraded { reason: why.to_owned(), since };
    }

    pub(super) fn is_ready(&self) -> bool {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) == Health::Ready
    }

    /// Records the end of the degraded mode and says whether there was one.
    pub(super) fn recover(&self) -> bool {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *health, Health::Ready) != Health::Ready
    }
}
