//! The statements on rows that wait, and on those that are over.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{AnswerRecord, LeasedRow, Settled, Settlement, attempts, row::Place};
use crate::tracking::{
    event::{Event, EventId, Payload},
    timestamp::Timestamp,
    verdict::Verdict,
};

/// Stores a row and says where; `None` when this event is stored already.
pub(super) fn insert(connection: &Connection, event: &Event, lease: Option<&str>) -> rusqlite::Result<Option<i64>> {
    let changed = connection
        .prepare_cached(
            "INSERT INTO outbox (event_id, site, conversion, network, event_ms, next_ms, lease, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7) ON CONFLICT (event_id) DO NOTHING",
        )?
        .execute(params![
            event.id.as_bytes(),
            &*event.site,
            &*event.conversion,
            &*event.network,
            event.time.as_millis(),
            lease,
            json(&event.payload)?,
        ])?;
    Ok((changed > 0).then(|| connection.last_insert_rowid()))
}

/// Where a row of this event stands, if one waits.
pub(super) fn find(connection: &Connection, id: EventId) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM outbox WHERE event_id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()
}

/// Whether this event is in the history.
pub(super) fn is_over(connection: &Connection, id: EventId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM history WHERE event_id = ?1")?.exists([id.as_bytes()])
}

/// Whether this event ended because consent was withdrawn.
pub(super) fn is_withdrawn(connection: &Connection, id: EventId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM history WHERE event_id = ?1 AND verdict = 'withdrawn'")?
        .exists([id.as_bytes()])
}

/// Leases the rows of one destination that are due, the longest due first.
pub(super) fn lease(
    connection: &Connection,
    destination: (&str, &str),
    room: usize,
    now: Timestamp,
    owner: &str,
) -> rusqlite::Result<Vec<LeasedRow>> {
    let mut statement = connection.prepare_cached(
        "UPDATE outbox SET lease = ?1 WHERE id IN (
             SELECT id FROM outbox WHERE site = ?2 AND network = ?3 AND lease IS NULL AND verdict IS NULL AND next_ms <= ?4
             ORDER BY next_ms LIMIT ?5
         ) RETURNING id, event_id, site, conversion, network, event_ms, attempts, revived_ms, payload",
    )?;
    let limit = i64::try_from(room).unwrap_or(i64::MAX);
    let found = statement
        .query_map(params![owner, destination.0, destination.1, now.as_millis(), limit], |row| {
            Ok((row.get::<_, i64>("id")?, leased(row)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::with_capacity(found.len());
    for (id, row) in found {
        match row {
            Some(row) => rows.push(row),
            None => bury_unreadable(connection, id, now)?,
        }
    }
    Ok(rows)
}

/// Makes some of the rows of one destination due that wait for a later time.
pub(super) fn wake(connection: &Connection, destination: (&str, &str), now: Timestamp) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "UPDATE outbox SET next_ms = ?3 WHERE id IN (
                 SELECT id FROM outbox WHERE site = ?1 AND network = ?2 AND lease IS NULL AND verdict IS NULL
                     AND next_ms > ?3 LIMIT 500
             )",
        )?
        .execute(params![destination.0, destination.1, now.as_millis()])
}

/// When the first unleased row of a destination is due.
pub(super) fn next_due(connection: &Connection, site: &str, network: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT next_ms FROM outbox WHERE site = ?1 AND network = ?2 AND lease IS NULL AND verdict IS NULL
             ORDER BY next_ms LIMIT 1",
        )?
        .query_row((site, network), |row| row.get(0))
        .optional()
}

/// When the first unleased row of each destination is due: one seek per destination.
pub(super) fn all_due(connection: &Connection) -> rusqlite::Result<Vec<(String, String, i64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT site, network, next_ms FROM outbox
         WHERE lease IS NULL AND verdict IS NULL AND (site, network) > (?1, ?2)
         ORDER BY site, network, next_ms LIMIT 1",
    )?;
    let mut all = Vec::<(String, String, i64)>::new();
    loop {
        let (site, network) = all.last().map_or(("", ""), |(site, network, _)| (site.as_str(), network.as_str()));
        let next =
            statement.query_row((site, network), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
        match next {
            Some(next) => all.push(next),
            None => return Ok(all),
        }
    }
}

/// Ends an attempt. Doing it twice changes nothing, so that it may be repeated after a doubtful commit.
pub(super) fn settle(connection: &Connection, settlement: &Settlement, owner: &str) -> rusqlite::Result<()> {
    let Settlement { row, outcome, answer, now } = settlement;
    let record = answer.as_ref();
    let answer = record.map(json::<AnswerRecord>).transpose()?;
    match *outcome {
        Settled::Retry { at, reason } => {
            let counted = i64::from(reason.is_counted());
            let changed = connection
                .prepare_cached(
                    "UPDATE outbox SET attempts = attempts + ?1, next_ms = ?2, reason = ?3, last_answer = ?4, lease = NULL
                     WHERE id = ?5 AND event_id = ?6 AND lease = ?7",
                )?
                .execute(params![
                    counted,
                    at.as_millis(),
                    reason.as_str(),
                    answer,
                    row.local(),
                    row.event.id.as_bytes(),
                    owner
                ])?;
            match record.filter(|_| changed > 0) {
                Some(record) => attempts::note(connection, row.event.id, record),
                None => Ok(()),
            }
        }
        Settled::Final(verdict) if verdict.is_dead_letter() => connection
            .prepare_cached(
                "UPDATE outbox SET attempts = ?1, verdict = ?2, reason = ?3, last_answer = ?4, settled_ms = ?5, lease = NULL
                 WHERE id = ?6 AND event_id = ?7",
            )?
            .execute(params![
                attempts_with_this(row, answer.as_deref()),
                verdict.as_str(),
                verdict.reason(),
                answer,
                now.as_millis(),
                row.local(),
                row.event.id.as_bytes(),
            ])
            .map(drop),
        Settled::Final(verdict) => {
            remember(connection, row, verdict, answer.as_deref(), *now)?;
            connection
                .prepare_cached("DELETE FROM outbox WHERE id = ?1 AND event_id = ?2")?
                .execute((row.local(), row.event.id.as_bytes()))
                .map(drop)
        }
    }
}

/// Gives a lease back unsent; with a time, the row is not due before it.
pub(super) fn release(
    connection: &Connection,
    row: &LeasedRow,
    at: Option<Timestamp>,
    owner: &str,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE outbox SET lease = NULL, next_ms = coalesce(?4, next_ms)
             WHERE id = ?1 AND event_id = ?2 AND lease = ?3",
        )?
        .execute((row.local(), row.event.id.as_bytes(), owner, at.map(Timestamp::as_millis)))
        .map(drop)
}

/// Copies a row into the history; one that is gone already was remembered then.
fn remember(
    connection: &Connection,
    row: &LeasedRow,
    verdict: Verdict,
    answer: Option<&str>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO history
             (event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, reason, payload, last_answer)
             SELECT event_id, site, conversion, network, event_ms, ?3, ?4, ?5, ?6, payload, ?7
             FROM outbox WHERE id = ?1 AND event_id = ?2",
        )?
        .execute(params![
            row.local(),
            row.event.id.as_bytes(),
            now.as_millis(),
            attempts_with_this(row, answer),
            verdict.as_str(),
            verdict.reason(),
            answer,
        ])
        .map(drop)
}

/// An attempt leaves an answer, if only that there was none; a verdict without one ends no attempt.
fn attempts_with_this(row: &LeasedRow, answer: Option<&str>) -> u32 {
    row.attempts.saturating_add(u32::from(answer.is_some()))
}

/// A row whose columns don't make an event would be leased for ever; a person must see it.
fn bury_unreadable(connection: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE outbox SET verdict = 'rejected', reason = 'unrenderable', settled_ms = ?2, lease = NULL WHERE id = ?1",
        )?
        .execute((id, now.as_millis()))
        .map(drop)
}

fn leased(row: &Row<'_>) -> rusqlite::Result<Option<LeasedRow>> {
    let id = EventId::from_slice(row.get_ref("event_id")?.as_bytes().unwrap_or_default());
    let payload: Option<Payload> =
        row.get_ref("payload")?.as_bytes().ok().and_then(|json| serde_json::from_slice(json).ok());
    let (Some(id), Some(payload)) = (id, payload) else { return Ok(None) };
    let event = event(id, payload, row)?;
    let revived = row.get::<_, Option<i64>>("revived_ms")?.map(Timestamp::from_millis);
    Ok(Some(LeasedRow { event, attempts: row.get("attempts")?, revived, place: Place::Local(row.get("id")?) }))
}

/// The event that a row holds, from whichever table.
pub(super) fn event(id: EventId, payload: Payload, row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        id,
        time: Timestamp::from_millis(row.get("event_ms")?),
        site: row.get("site")?,
        conversion: row.get("conversion")?,
        network: row.get("network")?,
        payload,
    })
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
