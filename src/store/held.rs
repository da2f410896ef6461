//! Conversions that are not to be sent yet: candidates, whose page has not shown its proof or its key,
//! and incomplete ones, which wait for a person; and those that never will be, whose pixels are owed to
//! a browser that asks for them within the hour.
//!
//! A candidate takes no dedup key: were its page cut off, a reload must find the key free. An
//! incomplete conversion takes it at once, so that a reload is a duplicate.

use rusqlite::{Connection, params};

use super::{
    Hold, NewRow,
    dedup::{self, Taken},
    outbox::{self, json},
};
use crate::tracking::{
    event::{Dedup, DedupKey, EventId},
    timestamp::Timestamp,
};

/// What became of the candidates of a process that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Into the outbox with their key as it stood.
    pub(super) accepted: usize,
    /// Their key was taken meanwhile.
    pub(super) duplicates: usize,
    /// They wait for a person, who may know what the page would have shown.
    pub(super) incomplete: usize,
}

/// Stores a conversion that is held; `false` when this event is held already.
pub(super) fn insert(connection: &Connection, row: &NewRow, hold: &Hold, owner: &str) -> rusqlite::Result<bool> {
    let NewRow { event, key, .. } = row;
    // What is still to be taken: the key of an incomplete conversion has been taken just before.
    let open_key = key.filter(|_| matches!(hold, Hold::Candidate { .. }));
    let (state, needs_proof, key_is_open, missing) = match hold {
        Hold::Candidate { needs_proof, key_is_open, needs_journey } => {
            let missing = if *needs_journey { JOURNEY } else { "" };
            (CANDIDATE, *needs_proof, *key_is_open, missing.to_owned())
        }
        Hold::Incomplete { missing } => (INCOMPLETE, false, false, missing.join(",")),
        Hold::Owed => (OWED, false, false, String::new()),
    };
    connection
        .prepare_cached(
            "INSERT INTO held (event_id, state, owner, site, conversion, network, event_ms, key_taken, dedup_key,
                               dedup_window_ms, needs_proof, key_is_open, missing, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT (event_id) DO NOTHING",
        )?
        .execute(params![
            event.id.as_bytes(),
            state,
            (state == CANDIDATE).then_some(owner),
            &*event.site,
            &*event.conversion,
            &*event.network,
            event.time.as_millis(),
            key.is_some() && open_key.is_none(),
            open_key.map(|dedup| *dedup.key.as_bytes()),
            open_key.map(|dedup| millis(dedup.window)),
            needs_proof,
            key_is_open,
            missing,
            json(&event.payload)?,
        ])
        .map(|changed| changed > 0)
}

/// Whether this event is a candidate.
pub(super) fn is_candidate(connection: &Connection, id: EventId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM held WHERE event_id = ?1 AND state = 'candidate'")?.exists([id.as_bytes()])
}

/// Removes a candidate; `false` when there is none.
pub(super) fn take_candidate(connection: &Connection, id: EventId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("DELETE FROM held WHERE event_id = ?1 AND state = 'candidate'")?
        .execute([id.as_bytes()])
        .map(|changed| changed > 0)
}

/// Decides about the candidates of a process that ended: none is lost, and none is sent without the
/// proof or under another key than its page would have had.
pub(super) fn resolve(connection: &Connection, owner: &str) -> rusqlite::Result<Resolved> {
    let candidates = connection
        .prepare_cached(
            "SELECT event_id, event_ms, needs_proof, key_is_open, missing <> '', dedup_key, dedup_window_ms
             FROM held WHERE owner = ?1",
        )?
        .query_map([owner], |row| {
            let id: Vec<u8> = row.get(0)?;
            let open: [bool; 3] = [row.get(2)?, row.get(3)?, row.get(4)?];
            Ok((id, row.get(1)?, open, dedup_of(row.get(5)?, row.get(6)?)))
        })?
        .collect::<Result<Vec<(Vec<u8>, i64, [bool; 3], Option<Dedup>)>, _>>()?;
    let mut resolved = Resolved::default();
    for (bytes, event_ms, open, dedup) in candidates {
        let names = open.into_iter().zip([PROOF, "order_id", JOURNEY]);
        let names: Vec<_> = names.filter_map(|(is_open, name)| is_open.then_some(name)).collect();
        // An id of another length is damaged; a person may still make sense of it.
        let id = EventId::from_slice(&bytes).filter(|_| names.is_empty());
        let Some(id) = id else {
            connection
                .prepare_cached("UPDATE held SET state = 'incomplete', owner = NULL, missing = ?2 WHERE event_id = ?1")?
                .execute((&bytes, names.join(",")))?;
            resolved.incomplete += 1;
            continue;
        };
        let taken =
            dedup.map(|dedup| dedup::take(connection, id, dedup, Timestamp::from_millis(event_ms))).transpose()?;
        if taken == Some(Taken::Elsewhere) {
            resolved.duplicates += 1;
            remove(connection, id)?;
        } else {
            resolved.accepted += 1;
            queue(connection, id)?;
        }
    }
    Ok(resolved)
}

/// Moves a held row into the outbox as it stands, for whoever leases it first.
pub(super) fn queue(connection: &Connection, id: EventId) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO outbox (event_id, site, conversion, network, event_ms, next_ms, payload)
             SELECT event_id, site, conversion, network, event_ms, event_ms, payload FROM held WHERE event_id = ?1
             ON CONFLICT (event_id) DO NOTHING",
        )?
        .execute([id.as_bytes()])?;
    remove(connection, id)
}

/// Whether this event is held, or over already.
pub(super) fn is_known(connection: &Connection, id: EventId) -> rusqlite::Result<bool> {
    let is_held = connection.prepare_cached("SELECT 1 FROM held WHERE event_id = ?1")?.exists([id.as_bytes()])?;
    Ok(is_held || outbox::is_over(connection, id)?)
}

/// A dedup key as it is stored.
pub(super) fn dedup_of(key: Option<Vec<u8>>, window_ms: Option<i64>) -> Option<Dedup> {
    let key = DedupKey::from_slice(&key?)?;
    Some(Dedup { key, window: std::time::Duration::from_millis(u64::try_from(window_ms?).unwrap_or(0)) })
}

pub(super) fn remove(connection: &Connection, id: EventId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM held WHERE event_id = ?1")?.execute([id.as_bytes()]).map(drop)
}

fn millis(window: std::time::Duration) -> i64 {
    i64::try_from(window.as_millis()).unwrap_or(i64::MAX)
}

/// What an incomplete conversion lacks whose page never showed its proof.
pub(super) const PROOF: &str = "proof";
/// What it lacks when its process ended before the visitor's journey was recalled.
pub(super) const JOURNEY: &str = "journey";
const OWED: &str = "owed";
const CANDIDATE: &str = "candidate";
const INCOMPLETE: &str = "incomplete";
