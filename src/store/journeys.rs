//! What is known of visitors: in memory at once, on disk soon.
//!
//! A page that captures something does not wait for the disk, and the next page of the same visitor
//! must find it all the same. So the memory holds what is not written yet, and beyond that what was
//! used last. It is only a part of what is known: the file has the rest.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension};

use super::outbox::json;
use crate::tracking::{
    journey::{Journey, JourneyKey},
    timestamp::Timestamp,
};

/// Journeys as this process remembers them.
#[derive(Debug, Default)]
pub(super) struct Journeys(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    entries: HashMap<JourneyKey, Entry>,
    /// The keys in the order in which they came.
    order: VecDeque<JourneyKey>,
}

#[derive(Debug)]
struct Entry {
    /// `None`: forgotten, although the file may still have it.
    journey: Option<Journey>,
    expires: Timestamp,
    /// How many writes of it are on their way.
    unwritten: usize,
}

impl Journeys {
    /// Adds to what is remembered under these keys.
    pub(super) fn remember(&self, keys: &[JourneyKey], journey: &Journey, expires: Timestamp) {
        let mut memory = self.lock();
        for key in keys {
            memory.entry(*key).remember(journey, expires);
        }
        memory.shrink();
    }

    /// Notes that a write of these keys is on its way.
    pub(super) fn writing(&self, keys: &[JourneyKey]) {
        let mut memory = self.lock();
        keys.iter().for_each(|key| memory.entry(*key).unwritten += 1);
    }

    /// Notes that a write of these keys has ended, one way or another.
    pub(super) fn written(&self, keys: &[JourneyKey]) {
        let mut memory = self.lock();
        for key in keys {
            let Some(entry) = memory.entries.get_mut(key) else { continue };
            entry.unwritten = entry.unwritten.saturating_sub(1);
            if entry.journey.is_none() && entry.unwritten == 0 {
                memory.entries.remove(key);
            }
        }
    }

    /// Hides these journeys until [`written`](Self::written) says that the file has forgotten them, too.
    ///
    /// Returns them with all other keys under which they are remembered.
    pub(super) fn hide(&self, keys: &[JourneyKey]) -> Vec<JourneyKey> {
        let mut memory = self.lock();
        let known = keys.iter().filter_map(|key| memory.entries.get(key)?.journey.as_ref());
        let all: BTreeSet<_> = known.flat_map(|journey| journey.keys.keys()).chain(keys).copied().collect();
        for key in &all {
            let entry = memory.entry(*key);
            entry.journey = None;
            entry.unwritten += 1;
        }
        all.into_iter().collect()
    }

    /// Drops what another process has erased from the file.
    pub(super) fn drop_erased<'a>(&self, keys: impl IntoIterator<Item = &'a JourneyKey>) {
        let mut memory = self.lock();
        for key in keys {
            // A hidden one goes when its own write has ended.
            if memory.entries.get(key).is_some_and(|entry| entry.journey.is_some()) {
                memory.entries.remove(key);
            }
        }
    }

    /// What is remembered under these keys, and the keys that the file may know more of.
    pub(super) fn recall(&self, keys: &[JourneyKey], now: Timestamp) -> (Option<Journey>, Vec<JourneyKey>) {
        let memory = self.lock();
        let known = keys.iter().filter_map(|key| memory.entries.get(key));
        let journeys = known.filter(|entry| entry.expires > now).filter_map(|entry| entry.journey.as_ref());
        let merged = merged(journeys.cloned());
        let is_hidden = |key: &JourneyKey| memory.entries.get(key).is_some_and(|entry| entry.journey.is_none());
        (merged, keys.iter().filter(|key| !is_hidden(key)).copied().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn entry(&mut self, key: JourneyKey) -> &mut Entry {
        self.entries.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            Entry { journey: None, expires: Timestamp::default(), unwritten: 0 }
        })
    }

    /// Lets the oldest go that are written; one that is not goes to the end of the queue.
    fn shrink(&mut self) {
        // Keys of entries that were removed otherwise are still in the queue.
        let mut tries = self.order.len().saturating_sub(CAPACITY).saturating_mul(2).min(LOOKED_AT);
        while self.order.len() > CAPACITY && tries > 0 {
            tries -= 1;
            let Some(key) = self.order.pop_front() else { return };
            if self.entries.get(&key).is_some_and(|entry| entry.unwritten > 0) {
                self.order.push_back(key);
            } else {
                self.entries.remove(&key);
            }
        }
    }
}

impl Entry {
    fn remember(&mut self, journey: &Journey, expires: Timestamp) {
        match &mut self.journey {
            Some(known) => known.merge(journey.clone()),
            None => self.journey = Some(journey.clone()),
        }
        self.expires = self.expires.max(expires);
    }
}

/// What was learnt about a visitor of a site.
pub(super) struct Addition<'a> {
    pub(super) site: &'a str,
    pub(super) journey: &'a Journey,
    pub(super) now: Timestamp,
    pub(super) expires: Timestamp,
    /// What is older goes.
    pub(super) kept: Duration,
}

impl Addition<'_> {
    /// Adds it to a journey in the file.
    pub(super) fn write(&self, connection: &Connection, key: JourneyKey) -> rusqlite::Result<()> {
        let mut whole = find(connection, key, self.now)?.unwrap_or_default();
        whole.merge(self.journey.clone());
        whole.expire(self.now, self.kept);
        connection
            .prepare_cached(
                "INSERT INTO journeys (key, site, expires_ms, data) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key) DO UPDATE
             SET site = excluded.site, expires_ms = max(expires_ms, excluded.expires_ms), data = excluded.data",
            )?
            .execute((key.as_bytes(), self.site, self.expires.as_millis(), json(&whole)?))
            .map(drop)
    }
}

/// The journeys of the file under these keys as one.
pub(super) fn recall(
    connection: &Connection,
    keys: &[JourneyKey],
    now: Timestamp,
) -> rusqlite::Result<Option<Journey>> {
    let found = keys.iter().map(|key| find(connection, *key, now)).collect::<Result<Vec<_>, _>>()?;
    Ok(merged(found.into_iter().flatten()))
}

/// Deletes a journey from the file.
pub(super) fn forget(connection: &Connection, key: JourneyKey) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM journeys WHERE key = ?1")?.execute([key.as_bytes()]).map(drop)
}

/// These keys, and all others under which the journeys of the file are kept.
pub(super) fn with_other_keys(connection: &Connection, keys: &[JourneyKey]) -> rusqlite::Result<BTreeSet<JourneyKey>> {
    let mut all: BTreeSet<_> = keys.iter().copied().collect();
    for key in keys {
        // An expired one names its keys as well.
        let journey = find(connection, *key, Timestamp::from_millis(i64::MIN))?;
        all.extend(journey.into_iter().flat_map(|journey| journey.keys.into_keys()));
    }
    Ok(all)
}

/// Journeys as one.
pub(super) fn merged(journeys: impl Iterator<Item = Journey>) -> Option<Journey> {
    journeys.reduce(|mut whole, journey| {
        whole.merge(journey);
        whole
    })
}

/// What can't be read counts as unknown.
fn find(connection: &Connection, key: JourneyKey, now: Timestamp) -> rusqlite::Result<Option<Journey>> {
    let data: Option<String> = connection
        .prepare_cached("SELECT data FROM journeys WHERE key = ?1 AND expires_ms > ?2")?
        .query_row((key.as_bytes(), now.as_millis()), |row| row.get(0))
        .optional()?;
    Ok(data.and_then(|data| serde_json::from_str(&data).ok()))
}

/// Journeys in memory, those apart that can't be written at present.
const CAPACITY: usize = 10_000;
/// How much of the queue one call may turn over.
const LOOKED_AT: usize = 64;
