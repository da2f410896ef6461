//! The store as operators see it: read-only, beside the writer, from any process.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params_from_iter, types::Value};

use super::{
    audit::{self, AuditEntry},
    database::FILE,
    schema,
};

mod counts;
mod filter;
mod hits;
mod newest;
mod person;
mod row;
mod search;

#[cfg(test)]
mod tests;

pub use counts::QueueCounts;
pub use filter::{Filter, Names, RowId};
pub(super) use hits::{clicks, why};
pub use person::{Known, KnownHit, KnownJourney, Person};
pub(super) use row::names;
pub use row::{RowDetail, RowState, RowSummary};
pub(super) use search::Search;
use search::Tables;

/// Reads the store; each call opens it anew and sees the newest commit.
#[derive(Clone, Debug)]
pub struct Inspector {
    path: PathBuf,
}

/// Why the store can't be read.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// No store has been made there.
    #[error("there is no store in {0}; is `state.path` right, and has `throughline run` been started?")]
    Missing(PathBuf),
    /// It exists but can't be read.
    #[error("the store {path} can't be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What `SQLite` says.
        source: rusqlite::Error,
    },
}

impl Inspector {
    /// The store in a folder.
    ///
    /// # Errors
    /// When there is none or it can't be read.
    pub fn open(folder: &Path) -> Result<Self, InspectError> {
        let inspector = Self::at(folder);
        inspector.connect().map(|_| inspector)
    }

    pub(super) fn at(folder: &Path) -> Self {
        Self { path: folder.join(FILE) }
    }

    /// Rows by event id, by the beginning of one (4 characters at least), or by order id.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn show(&self, text: &str) -> Result<Vec<RowDetail>, InspectError> {
        let search = Search::new(text);
        self.read(|connection| {
            // Something may be done to what is found: all of it is looked for, however long it takes.
            let mut events = search.read(connection, Tables::Open, None)?.events;
            events.extend(search.known(connection)?);
            let rows = rows_of(connection, &search, text, search::newest(events))?;
            if !rows.is_empty() {
                return Ok(rows);
            }
            rows_of(connection, &search, text, search.read(connection, Tables::Over, None)?.events)
        })
    }

    /// What operators did, the newest first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, InspectError> {
        self.read(|connection| {
            if schema::has(connection, schema::WITH_DESK)? { audit::list(connection, limit) } else { Ok(Vec::new()) }
        })
    }

    fn select(&self, conditions: &str, values: Vec<Value>, limit: usize) -> Result<Vec<RowDetail>, InspectError> {
        self.read(|connection| {
            let all = row::all(connection)?;
            let sql = format!(
                "SELECT * FROM ({all}) WHERE held IS NOT 'owed' AND {conditions} ORDER BY event_ms DESC LIMIT {limit}"
            );
            connection.prepare(&sql)?.query_map(params_from_iter(values), row::detail)?.collect()
        })
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, InspectError> {
        let connection = self.connect()?;
        read(&connection).map_err(|source| InspectError::Unreadable { path: self.path.clone(), source })
    }

    pub(super) fn connect(&self) -> Result<Connection, InspectError> {
        if !self.path.exists() {
            return Err(InspectError::Missing(self.path.parent().unwrap_or(&self.path).to_owned()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let unreadable = |source| InspectError::Unreadable { path: self.path.clone(), source };
        let connection = Connection::open_with_flags(&self.path, flags).map_err(unreadable)?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(unreadable)?;
        // Opening alone reads nothing.
        connection.query_row("SELECT count(*) FROM instance", [], |_| Ok(())).map_err(unreadable)?;
        Ok(connection)
    }
}

/// The rows of those events that are meant, the newest first.
fn rows_of(
    connection: &Connection,
    search: &Search<'_>,
    text: &str,
    events: Vec<Value>,
) -> rusqlite::Result<Vec<RowDetail>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let (all, places) = (row::all(connection)?, search::places(&events));
    let sql =
        format!("SELECT * FROM ({all}) WHERE held IS NOT 'owed' AND event_id IN ({places}) ORDER BY event_ms DESC");
    let mut statement = connection.prepare(&sql)?;
    let is_meant = |row: &RowDetail| {
        row.summary.event_id.is_some_and(|id| search.begins(&id.to_string()))
            || row.payload.fields.get("order_id").is_some_and(|order| order == text)
    };
    let found = statement.query_map(params_from_iter(events), row::detail)?.collect::<Result<Vec<_>, _>>()?;
    found.into_iter().filter(is_meant).map(|row| row.with_attempts(connection)).collect()
}
