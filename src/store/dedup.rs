//! The keys that make a conversion count once.

use rusqlite::{Connection, OptionalExtension};

use crate::tracking::{
    event::{Dedup, DedupKey, EventId},
    timestamp::Timestamp,
};

/// Who has a key now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// This event, since now.
    Now,
    /// This event, since before.
    Before,
    /// Another event.
    Elsewhere,
}

/// Takes a key for an event unless another one holds it; an expired key is free.
pub(super) fn take(connection: &Connection, id: EventId, dedup: Dedup, time: Timestamp) -> rusqlite::Result<Taken> {
    // One statement decides for nearly every conversion; nothing is changed when the key is held.
    let changed = connection
        .prepare_cached(
            "INSERT INTO dedup (key, event_id, accepted_ms, expires_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key) DO UPDATE
             SET event_id = excluded.event_id, accepted_ms = excluded.accepted_ms, expires_ms = excluded.expires_ms
             WHERE expires_ms <= excluded.accepted_ms AND event_id <> excluded.event_id",
        )?
        .execute((dedup.key.as_bytes(), id.as_bytes(), time.as_millis(), time.plus(dedup.window).as_millis()))?;
    if changed > 0 {
        return Ok(Taken::Now);
    }
    Ok(if holder(connection, dedup.key)? == Some(id) { Taken::Before } else { Taken::Elsewhere })
}

/// Gives a key back, if it is still this event's.
pub(super) fn release(connection: &Connection, id: EventId, key: DedupKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM dedup WHERE key = ?1 AND event_id = ?2")?
        .execute((key.as_bytes(), id.as_bytes()))
        .map(drop)
}

/// Gives a key back that [`take`] has just taken.
pub(super) fn give_back(connection: &Connection, key: DedupKey) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM dedup WHERE key = ?1")?.execute([key.as_bytes()]).map(drop)
}

/// Whether another event holds the key at this time.
pub(super) fn is_elsewhere(
    connection: &Connection,
    id: EventId,
    key: DedupKey,
    time: Timestamp,
) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM dedup WHERE key = ?1 AND event_id <> ?2 AND expires_ms > ?3")?.exists((
        key.as_bytes(),
        id.as_bytes(),
        time.as_millis(),
    ))
}

/// What became of a key that was to follow its event into another key space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renamed {
    /// It has the new name; its window goes on as it began.
    Moved,
    /// It is none of this event.
    Absent,
    /// Another event has the new key; nothing was changed.
    Elsewhere,
}

/// Gives an event's key another name.
pub(super) fn rename(
    connection: &Connection,
    id: EventId,
    from: DedupKey,
    to: DedupKey,
    now: Timestamp,
) -> rusqlite::Result<Renamed> {
    if holder(connection, from)? != Some(id) {
        return Ok(Renamed::Absent);
    }
    if is_elsewhere(connection, id, to, now)? {
        return Ok(Renamed::Elsewhere);
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO dedup (key, event_id, accepted_ms, expires_ms)
             SELECT ?2, event_id, accepted_ms, expires_ms FROM dedup WHERE key = ?1",
        )?
        .execute((from.as_bytes(), to.as_bytes()))?;
    connection.prepare_cached("DELETE FROM dedup WHERE key = ?1")?.execute([from.as_bytes()])?;
    Ok(Renamed::Moved)
}

fn holder(connection: &Connection, key: DedupKey) -> rusqlite::Result<Option<EventId>> {
    let id: Option<Vec<u8>> = connection
        .prepare_cached("SELECT event_id FROM dedup WHERE key = ?1")?
        .query_row([key.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(id.as_deref().and_then(EventId::from_slice))
}
