//! Who did what to the store, and when: for people, after the fact.

use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::{inspector::RowId, schema};
use crate::tracking::{event::EventId, timestamp::Timestamp};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(String);

/// What is about to be done, without personal values.
#[derive(Clone, Debug)]
pub struct Action {
    /// The command's word.
    pub word: &'static str,
    /// What it was told; cut to what is kept.
    pub arguments: String,
}

/// One entry as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// When it began.
    pub at: Timestamp,
    /// Who did it.
    pub who: String,
    /// The command's word.
    pub action: String,
    /// What it was told.
    pub arguments: String,
    /// How many rows it changed.
    pub count: u64,
}

impl Actor {
    /// Takes a name as the system or a token gives it; what is not printable is left out.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(printable(name, MAX_NAME))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An entry under way: it grows with each slice of the work, in that slice's transaction.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    actor: &'a Actor,
    action: &'a Action,
    id: Option<i64>,
}

impl<'a> Entry<'a> {
    pub(super) const fn new(actor: &'a Actor, action: &'a Action) -> Self {
        Self { actor, action, id: None }
    }

    /// Adds to the number of changed rows; the first time begins the entry.
    pub(super) fn add(&mut self, connection: &Connection, count: usize, now: Timestamp) -> rusqlite::Result<()> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if let Some(id) = self.id {
            let sql = "UPDATE audit SET count = count + ?2 WHERE id = ?1";
            return connection.prepare_cached(sql)?.execute((id, count)).map(drop);
        }
        let arguments = printable(&self.action.arguments, MAX_ARGUMENTS);
        connection
            .prepare_cached("INSERT INTO audit (at_ms, who, action, arguments, count) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((now.as_millis(), &self.actor.0, self.action.word, arguments, count))?;
        self.id = Some(connection.last_insert_rowid());
        Ok(())
    }

    /// Notes which rows were changed, after [`add`](Self::add): so the story of each can tell of it.
    pub(super) fn touch(&self, connection: &Connection, rows: &[&RowId], now: Timestamp) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached("INSERT INTO deeds (at_ms, event_id, audit) VALUES (?1, ?2, ?3)")?;
        rows.iter().try_for_each(|row| insert.execute((now.as_millis(), &row.0, self.id)).map(drop))
    }
}

/// What was done to an event: by an entry that touched its row, or that names it.
pub(super) fn about(connection: &Connection, id: EventId) -> rusqlite::Result<Vec<AuditEntry>> {
    let touched = if schema::has(connection, schema::WITH_LOOKUP)? { TOUCHED } else { "" };
    connection
        .prepare(&format!(
            "SELECT at_ms, who, action, arguments, count FROM audit WHERE (instr(arguments, ?1) > 0 AND ?2 IS NOT NULL) {touched}
             ORDER BY id DESC LIMIT 100"
        ))?
        .query_map(params![id.to_string(), id.as_bytes()], entry)?
        .collect()
}

/// The newest entries, newest first.
pub(super) fn list(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<AuditEntry>> {
    connection
        .prepare("SELECT at_ms, who, action, arguments, count FROM audit ORDER BY id DESC LIMIT ?1")?
        .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], entry)?
        .collect()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        at: Timestamp::from_millis(row.get(0)?),
        who: row.get(1)?,
        action: row.get(2)?,
        arguments: row.get(3)?,
        count: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
    })
}

fn printable(text: &str, most: usize) -> String {
    text.chars().filter(|char| !char.is_control()).take(most).collect()
}

const TOUCHED: &str = "OR id IN (SELECT audit FROM deeds WHERE event_id = ?2)";
const MAX_NAME: usize = 80;
const MAX_ARGUMENTS: usize = 500;
