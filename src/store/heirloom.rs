//! What a store that was alone brings into a fleet: dedup keys in their window, and journeys.
//!
//! It is handed over once, a slice at a time, beside everything else; how far it has come is noted in
//! the store, so that a restart goes on from there. Rows that wait are no heirlooms: they are forwarded.

use rusqlite::{Connection, OptionalExtension};

use crate::tracking::{
    event::{DedupKey, EventId},
    timestamp::Timestamp,
};

/// What a store that was alone brings into a fleet, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heirloom {
    Keys,
    Journeys,
}

impl Heirloom {
    const fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Journeys => "journeys",
        }
    }

    /// The next slice; `None` when all have gone.
    pub(super) fn next(self, connection: &Connection, now: Timestamp) -> rusqlite::Result<Option<Slice>> {
        let cursor: Vec<u8> = connection
            .prepare_cached("SELECT value FROM node WHERE name = ?1")?
            .query_row([self.name()], |row| row.get(0))
            .optional()?
            .unwrap_or_default();
        // Longer than any key: the end.
        if cursor.len() > KEY {
            return Ok(None);
        }
        let slice = match self {
            Self::Keys => Slice::Keys(keys_after(connection, &cursor, now)?),
            Self::Journeys => Slice::Journeys(journeys_after(connection, &cursor)?),
        };
        Ok(Some(slice))
    }

    /// Notes how far they have gone.
    pub(super) fn note(self, connection: &Connection, cursor: &[u8]) -> rusqlite::Result<()> {
        connection
            .prepare_cached("INSERT OR REPLACE INTO node (name, value) VALUES (?1, ?2)")?
            .execute((self.name(), cursor))
            .map(drop)
    }
}

/// Some of what a store brings along, in the order of its keys.
#[derive(Debug)]
pub(super) enum Slice {
    Keys(Vec<OldKey>),
    Journeys(Vec<OldJourney>),
}

/// A dedup key: its bytes, its event, and when it was accepted and expires, in milliseconds.
pub(super) type OldKey = (DedupKey, EventId, i64, i64);

/// A journey as it is stored.
#[derive(Debug)]
pub(super) struct OldJourney {
    pub(super) key: [u8; 16],
    pub(super) site: String,
    pub(super) expires: Timestamp,
    pub(super) data: String,
}

impl Slice {
    /// What is noted once it has gone.
    pub(super) fn cursor(&self) -> Vec<u8> {
        let last = match self {
            Self::Keys(keys) => keys.last().map(|(key, ..)| key.as_bytes().to_vec()),
            Self::Journeys(journeys) => journeys.last().map(|journey| journey.key.to_vec()),
        };
        last.unwrap_or_else(|| vec![0; KEY + 1])
    }
}

/// A row that still waits brings its own key: a key alone would make the fleet take it for known.
fn keys_after(connection: &Connection, cursor: &[u8], now: Timestamp) -> rusqlite::Result<Vec<OldKey>> {
    let mut statement = connection.prepare_cached(
        "SELECT key, event_id, accepted_ms, expires_ms FROM dedup WHERE key > ?1 AND expires_ms > ?2
             AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.event_id = dedup.event_id AND verdict IS NULL)
             AND NOT EXISTS (SELECT 1 FROM held WHERE held.event_id = dedup.event_id)
             ORDER BY key LIMIT 500",
    )?;
    let mut rows = statement.query((cursor, now.as_millis()))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_bytes().unwrap_or_default());
        let (key, id) = (DedupKey::from_slice(bytes(0)?), EventId::from_slice(bytes(1)?));
        if let (Some(key), Some(id)) = (key, id) {
            found.push((key, id, row.get(2)?, row.get(3)?));
        }
    }
    Ok(found)
}

fn journeys_after(connection: &Connection, cursor: &[u8]) -> rusqlite::Result<Vec<OldJourney>> {
    connection
        .prepare_cached("SELECT key, site, expires_ms, data FROM journeys WHERE key > ?1 ORDER BY key LIMIT 100")?
        .query_map([cursor], |row| {
            Ok(OldJourney {
                key: <[u8; 16]>::try_from(row.get_ref(0)?.as_bytes().unwrap_or_default()).unwrap_or([0xff; 16]),
                site: row.get(1)?,
                expires: Timestamp::from_millis(row.get(2)?),
                data: row.get(3)?,
            })
        })?
        .collect()
}

/// Bytes of a key.
const KEY: usize = 16;
