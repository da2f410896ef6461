//! Hits in order of time, the newest first, without reading more of the store than is asked for.
//!
//! Rows stand in the order of their event ids, which begin with the time, and records in that of their
//! ids. Both are read in slices, each beginning where the last one ended, and merged.

use std::collections::VecDeque;

use rusqlite::{Connection, params_from_iter, types::Value};

use super::hits::{self, Part};
use crate::{
    store::{
        schema,
        story::{HitFilter, HitRecord, Show},
    },
    tracking::{conversion::Outcome, timestamp::Timestamp},
};

/// Shows hits that match until the other side has seen enough.
pub(super) fn each(connection: &Connection, filter: &HitFilter, show: Show<'_>) -> rusqlite::Result<()> {
    // One moment of the store, though it is read in slices.
    let moment = connection.unchecked_transaction()?;
    let is_of_rows = |outcome: &String| [Outcome::Queued, Outcome::Incomplete].iter().any(|it| it.as_str() == outcome);
    let mut rows = Slices::of(&moment, Part::Rows, filter)?;
    rows.is_over = !filter.outcome.as_ref().is_none_or(is_of_rows);
    let mut records = Slices::of(&moment, Part::Records, filter)?;
    for _ in 0..filter.limit.unwrap_or(usize::MAX) {
        let is_row_next = match (rows.peek()?, records.peek()?) {
            (None, None) => break,
            (row, record) => row >= record,
        };
        let next = if is_row_next { rows.ready.pop_front() } else { records.ready.pop_front() };
        if next.is_some_and(|hit| show(hit).is_break()) {
            break;
        }
    }
    Ok(())
}

/// One of the two, slice by slice.
struct Slices<'a> {
    connection: &'a Connection,
    part: Part,
    /// The hits of a slice.
    sql: String,
    /// What the filter asks for.
    values: Vec<Value>,
    /// What is older ends it.
    since: Option<i64>,
    /// Where the next slice ends.
    before: Value,
    ready: VecDeque<HitRecord>,
    is_over: bool,
}

/// What a slice holds, from its first to its last key, and how new it is.
struct Bounds {
    first: Value,
    last: Value,
    newest_ms: i64,
}

impl<'a> Slices<'a> {
    fn of(connection: &'a Connection, part: Part, filter: &HitFilter) -> rusqlite::Result<Self> {
        let (conditions, values) = hits::conditions(filter);
        let place = values.len();
        let conditions = format!("{conditions} AND key >= ?{} AND key <= ?{}", place + 1, place + 2);
        let sql = hits::select(connection, part, "NULL", &conditions)?;
        let since = filter.since.map(|since| since.as_millis().saturating_sub(MARGIN_MS));
        let is_over = part == Part::Records && !schema::has(connection, schema::WITH_DESK)?;
        let before = match part {
            Part::Rows => Value::Blob(vec![u8::MAX; 17]),
            Part::Records => Value::Integer(i64::MAX),
        };
        Ok(Self { connection, part, sql, values, since, before, ready: VecDeque::new(), is_over })
    }

    /// The time of the next hit.
    fn peek(&mut self) -> rusqlite::Result<Option<Timestamp>> {
        while self.ready.is_empty() && !self.is_over {
            self.fill()?;
        }
        Ok(self.ready.front().map(|hit| hit.time))
    }

    fn fill(&mut self) -> rusqlite::Result<()> {
        let bounds = match self.part {
            Part::Rows => self.rows()?,
            Part::Records => self.records()?,
        };
        let is_wanted = |bounds: &Bounds| self.since.is_none_or(|since| bounds.newest_ms >= since);
        let Some(Bounds { first, last, .. }) = bounds.filter(is_wanted) else {
            self.is_over = true;
            return Ok(());
        };
        let values = self.values.iter().chain([&first, &last]);
        let mut statement = self.connection.prepare_cached(&self.sql)?;
        let mut found = statement.query(params_from_iter(values))?;
        while let Some(row) = found.next()? {
            self.ready.push_back(hits::record(row)?);
        }
        self.before = first;
        Ok(())
    }

    /// The next rows, by their event ids alone.
    fn rows(&self) -> rusqlite::Result<Option<Bounds>> {
        let held = if schema::has(self.connection, schema::WITH_JOURNEYS)? { HELD } else { "" };
        let sql = format!("{OPEN_AND_OVER}{held} ORDER BY event_id DESC LIMIT {SLICE}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let ids =
            statement.query_map([&self.before], |row| row.get::<_, Vec<u8>>(0))?.collect::<Result<Vec<_>, _>>()?;
        Ok(ids.first().zip(ids.last()).map(|(last, first)| Bounds {
            newest_ms: millis(last),
            first: Value::Blob(first.clone()),
            last: Value::Blob(last.clone()),
        }))
    }

    /// The next records, of bots and all.
    fn records(&self) -> rusqlite::Result<Option<Bounds>> {
        let sql = format!(
            "SELECT min(id), max(id), max(at_ms) FROM (SELECT id, at_ms FROM hits WHERE id < ?1 ORDER BY id DESC LIMIT {SLICE})"
        );
        self.connection.prepare_cached(&sql)?.query_row([&self.before], |row| {
            let newest: Option<i64> = row.get(2)?;
            newest.map(|newest_ms| Ok(Bounds { first: row.get(0)?, last: row.get(1)?, newest_ms })).transpose()
        })
    }
}

/// When an event was, by its id (RFC 9562, section 5.7).
fn millis(event_id: &[u8]) -> i64 {
    event_id.iter().take(6).fold(0, |millis, byte| (millis << 8) | i64::from(*byte))
}

const OPEN_AND_OVER: &str = "SELECT event_id FROM outbox WHERE event_id < ?1
     UNION ALL SELECT event_id FROM history WHERE event_id < ?1";
const HELD: &str = " UNION ALL SELECT event_id FROM held WHERE event_id < ?1";
/// Rows and records that are read at once: a page of a list needs few.
const SLICE: usize = 200;
/// By how much the order of ids and that of times may differ: clocks are set, too.
const MARGIN_MS: i64 = 24 * 3600 * 1000;
