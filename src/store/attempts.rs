//! The attempts that were followed by another one; the last of all stands in its row.
//!
//! Bounded for each event, because an operator may put a dead letter back as often as they like.

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{AnswerRecord, row::StoredAnswer};
use crate::tracking::{event::EventId, timestamp::Timestamp};

/// One attempt as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Counted from 1 over all attempts, those before a replay included.
    pub number: u32,
    /// What it met.
    #[serde(flatten)]
    pub answer: StoredAnswer,
}

/// Writes an attempt down and lets the oldest go.
pub(super) fn note(connection: &Connection, id: EventId, record: &AnswerRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO attempts (event_id, number, at_ms, status, result, millis, answer)
             SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5, ?6 FROM attempts WHERE event_id = ?1",
        )?
        .execute(params![
            id.as_bytes(),
            record.at.as_millis(),
            record.status,
            record.result,
            i64::try_from(record.millis).unwrap_or(i64::MAX),
            record.body,
        ])?;
    forget_oldest(connection, id.as_bytes())
}

/// Takes over the attempt that had ended a row which is to be sent again.
pub(super) fn keep_last(connection: &Connection, event_id: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO attempts (event_id, number, at_ms, status, result, millis, answer)
             SELECT event_id, (SELECT coalesce(max(number), 0) + 1 FROM attempts WHERE event_id = ?1),
                    last_answer ->> 'at', last_answer ->> 'status', last_answer ->> 'result',
                    last_answer ->> 'millis', last_answer ->> 'body'
             FROM outbox WHERE event_id = ?1 AND json_valid(last_answer) AND last_answer ->> 'at' IS NOT NULL",
        )?
        .execute([event_id])?;
    forget_oldest(connection, event_id)
}

/// Leaves of the attempts that they were.
pub(super) fn empty(connection: &Connection, event_id: &[u8]) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE attempts SET answer = '' WHERE event_id = ?1")?.execute([event_id]).map(drop)
}

/// The attempts of an event, the first first.
pub(super) fn of(connection: &Connection, id: EventId) -> rusqlite::Result<Vec<Attempt>> {
    connection
        .prepare_cached(
            "SELECT number, at_ms, status, result, millis, answer FROM attempts WHERE event_id = ?1 ORDER BY number",
        )?
        .query_map([id.as_bytes()], |row| {
            Ok(Attempt {
                number: row.get(0)?,
                answer: StoredAnswer {
                    at: Timestamp::from_millis(row.get(1)?),
                    status: row.get(2)?,
                    result: row.get(3)?,
                    millis: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
                    body: row.get(5)?,
                },
            })
        })?
        .collect()
}

fn forget_oldest(connection: &Connection, event_id: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM attempts WHERE event_id = ?1
             AND number <= (SELECT max(number) FROM attempts WHERE event_id = ?1) - ?2",
        )?
        .execute((event_id, KEPT))
        .map(drop)
}

/// Attempts that are kept of one event.
const KEPT: u32 = 20;
