//! What a node has for its fleet besides conversions: keys that it took, journeys, what is to be
//! forgotten.
//!
//! Errands are written in the transaction that they come from and run in the order in which they were
//! written, each at least once: a key is given back after it was taken, and a journey is forgotten
//! after it was remembered. What the fleet does about them does not belong here.

use std::sync::Arc;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{Claim, outbox::json, withdrawal::Subject};
use crate::tracking::{
    event::{Dedup, DedupKey, EventId},
    journey::{Journey, JourneyKey},
    timestamp::Timestamp,
};

/// Something that the fleet is to be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Errand {
    /// Pixels took a dedup key.
    Claim(TakenKey),
    /// They did not go out.
    GiveBack(TakenKey),
    /// Something was learnt about a visitor.
    Remember {
        /// Of which site.
        site: Arc<str>,
        /// Under which keys.
        keys: Vec<JourneyKey>,
        /// What it was.
        journey: Box<Journey>,
        /// Not kept for longer.
        expires: Timestamp,
    },
    /// These journeys are to be forgotten.
    Forget(Vec<JourneyKey>),
    /// What is still to be sent of a visitor is not to be sent.
    Withdraw {
        /// Whose rows are meant.
        subject: Subject,
        /// Those that ended here already, and were counted.
        ended: Vec<EventId>,
    },
}

/// A dedup key without a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TakenKey {
    key: [u8; 16],
    event_id: EventId,
    /// When it was taken, in milliseconds since the epoch.
    taken: Timestamp,
    window_ms: u64,
}

impl TakenKey {
    pub(super) fn of(claim: &Claim) -> Self {
        let window_ms = u64::try_from(claim.dedup.window.as_millis()).unwrap_or(u64::MAX);
        Self { key: *claim.dedup.key.as_bytes(), event_id: claim.event_id, taken: claim.time, window_ms }
    }

    /// A key of which nothing but its owner matters any more.
    pub(super) fn given_back(event_id: EventId, key: DedupKey) -> Self {
        Self { key: *key.as_bytes(), event_id, taken: Timestamp::default(), window_ms: 0 }
    }

    pub(super) fn claim(self) -> Option<Claim> {
        let window = std::time::Duration::from_millis(self.window_ms);
        let dedup = Dedup { key: DedupKey::from_slice(&self.key)?, window };
        Some(Claim { event_id: self.event_id, dedup, time: self.taken })
    }
}

impl Errand {
    /// Writes it down as the last one.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.prepare_cached("INSERT INTO errand (what) VALUES (?1)")?.execute([json(self)?]).map(drop)
    }

    /// The oldest ones with their numbers; one that can't be read is `None`.
    pub(super) fn first(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<(i64, Option<Self>)>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        connection
            .prepare_cached("SELECT id, what FROM errand ORDER BY id LIMIT ?1")?
            .query_map([limit], |row| {
                let what = row.get_ref(1)?.as_bytes().unwrap_or_default();
                Ok((row.get(0)?, serde_json::from_slice(what).ok()))
            })?
            .collect()
    }

    /// Forgets all up to this number.
    pub(super) fn done(connection: &Connection, last: i64) -> rusqlite::Result<()> {
        connection.prepare_cached("DELETE FROM errand WHERE id <= ?1")?.execute([last]).map(drop)
    }
}
