//! The store as operators see it: read-only, beside the writer, from any process.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Row, params_from_iter, types::Value};
use serde::Serialize;

use super::{database::FILE, row::StoredAnswer, schema};
use crate::tracking::{
    event::{EventId, Payload},
    timestamp::Timestamp,
};

mod person;

pub use person::{Known, KnownJourney, Person};

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

/// Which rows to list; what is `None` does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Rows of this site.
    pub site: Option<String>,
    /// Rows of this network.
    pub network: Option<String>,
    /// Rows of this conversion.
    pub conversion: Option<String>,
    /// Rows in this state.
    pub state: Option<RowState>,
    /// At most so many; 0 means 100.
    pub limit: usize,
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// Still to be sent.
    Pending,
    /// A dead letter.
    Dead,
    /// Over, and in the history.
    Settled,
    /// Its page has not ended yet.
    Candidate,
    /// Something is missing that a person may add.
    Incomplete,
    /// Never sent: a browser is to fetch its pixels. Only a person's own data shows it.
    Owed,
}

impl RowState {
    /// The word that operators see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Dead => "dead",
            Self::Settled => "settled",
            Self::Candidate => "candidate",
            Self::Incomplete => "incomplete",
            Self::Owed => "owed",
        }
    }
}

/// A row without personal values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowSummary {
    /// The event id, or nothing when it is damaged.
    pub event_id: Option<EventId>,
    /// The site's name.
    pub site: String,
    /// The conversion's name.
    pub conversion: String,
    /// The network's key.
    pub network: String,
    /// When the thank-you page was answered.
    pub time: Timestamp,
    /// Where it stands.
    pub state: RowState,
    /// Attempts so far.
    pub attempts: u32,
    /// When the next attempt is due, of a pending row.
    pub next: Option<Timestamp>,
    /// Whether a process has it in its hands.
    pub leased: bool,
    /// The verdict's word.
    pub verdict: Option<String>,
    /// Why, of the verdict or of the last retry.
    pub reason: Option<String>,
    /// When the verdict fell.
    pub settled: Option<Timestamp>,
    /// The names without a value, of an incomplete row.
    pub missing: Vec<String>,
}

/// A row with everything that is stored of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowDetail {
    /// What lists show.
    pub summary: RowSummary,
    /// What came from the visitor's request.
    pub payload: Payload,
    /// The network's last answer.
    pub last_answer: Option<StoredAnswer>,
}

/// How much waits for one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueCounts {
    /// The site's name.
    pub site: String,
    /// The network's key.
    pub network: String,
    /// Rows still to be sent, those in a process' hands included.
    pub pending: u64,
    /// Of these, the rows whose next attempt is due.
    pub due: u64,
    /// The time of the oldest pending event.
    pub oldest_event: Option<Timestamp>,
    /// Dead letters.
    pub dead: u64,
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

    /// Rows that match, newest first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn list(&self, filter: &Filter) -> Result<Vec<RowSummary>, InspectError> {
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        let columns = [("site", &filter.site), ("network", &filter.network), ("conversion", &filter.conversion)];
        for (column, wanted) in columns {
            if let Some(wanted) = wanted {
                values.push(Value::Text(wanted.clone()));
                conditions.push(format!("{column} = ?{}", values.len()));
            }
        }
        match filter.state {
            Some(RowState::Pending) => conditions.push("settled_ms IS NULL AND held IS NULL".into()),
            Some(RowState::Dead) => conditions.push("dead = 1".into()),
            Some(RowState::Settled) => conditions.push("dead = 0 AND settled_ms IS NOT NULL".into()),
            Some(RowState::Candidate) => conditions.push("held = 'candidate'".into()),
            Some(RowState::Incomplete) => conditions.push("held = 'incomplete'".into()),
            Some(RowState::Owed) => conditions.push("held = 'owed'".into()),
            None => {}
        }
        let limit = if filter.limit == 0 { 100 } else { filter.limit };
        let details = self.select(&conditions.join(" AND "), values, limit)?;
        Ok(details.into_iter().map(|detail| detail.summary).collect())
    }

    /// Rows by event id, by the beginning of one (4 characters at least), or by order id.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn show(&self, text: &str) -> Result<Vec<RowDetail>, InspectError> {
        let hex: String = text.chars().filter(|c| *c != '-').collect::<String>().to_ascii_uppercase();
        let is_prefix = (4..=32).contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let prefix = if is_prefix { hex } else { "-".into() };
        let values = vec![Value::Text(prefix), Value::Text(text.to_owned())];
        let by_order = "json_extract(payload, '$.fields.order_id') = ?2";
        self.select(&format!("substr(hex(event_id), 1, length(?1)) = ?1 OR {by_order}"), values, 100)
    }

    /// How much waits, by destination.
    ///
    /// Reads the two small indexes, and the table for the few rows that are leased.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn counts(&self, now: Timestamp) -> Result<Vec<QueueCounts>, InspectError> {
        let read = |connection: &Connection| {
            connection
                .prepare(
                    "SELECT site, network, sum(pending), sum(due), min(oldest), sum(dead) FROM (
                         SELECT site, network, count(*) AS pending, sum(next_ms <= ?1) AS due, min(event_ms) AS oldest,
                                0 AS dead
                         FROM outbox WHERE lease IS NULL AND verdict IS NULL GROUP BY site, network
                         UNION ALL
                         SELECT site, network, count(*), count(*), min(event_ms), 0
                         FROM outbox WHERE lease IS NOT NULL AND verdict IS NULL GROUP BY site, network
                         UNION ALL
                         SELECT site, network, 0, 0, NULL, count(*)
                         FROM outbox WHERE verdict IS NOT NULL GROUP BY site, network
                     ) GROUP BY site, network",
                )?
                .query_map([now.as_millis()], |row| {
                    Ok(QueueCounts {
                        site: row.get(0)?,
                        network: row.get(1)?,
                        pending: count(row.get(2)?),
                        due: count(row.get(3)?),
                        oldest_event: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_millis),
                        dead: count(row.get(5)?),
                    })
                })?
                .collect()
        };
        self.read(read)
    }

    fn select(&self, conditions: &str, values: Vec<Value>, limit: usize) -> Result<Vec<RowDetail>, InspectError> {
        let conditions = if conditions.is_empty() { "1" } else { conditions };
        self.read(|connection| {
            // A process of the version before may have made the file.
            let held = if schema::is_current(connection)? { HELD } else { "" };
            let sql = format!(
                "SELECT * FROM ({OPEN_AND_OVER}{held}) WHERE held IS NOT 'owed' AND {conditions}
                 ORDER BY event_ms DESC LIMIT {limit}"
            );
            connection.prepare(&sql)?.query_map(params_from_iter(values), detail)?.collect()
        })
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, InspectError> {
        let connection = self.connect()?;
        read(&connection).map_err(|source| InspectError::Unreadable { path: self.path.clone(), source })
    }

    fn connect(&self) -> Result<Connection, InspectError> {
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

/// `SQLite` counts in signed numbers.
fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}

fn detail(row: &Row<'_>) -> rusqlite::Result<RowDetail> {
    let time = |column| row.get::<_, Option<i64>>(column).map(|millis| millis.map(Timestamp::from_millis));
    let settled = time("settled_ms")?;
    let state = match (row.get::<_, Option<String>>("held")?.as_deref(), row.get("dead")?, settled) {
        (Some("candidate"), ..) => RowState::Candidate,
        (Some("owed"), ..) => RowState::Owed,
        (Some(_), ..) => RowState::Incomplete,
        (None, true, _) => RowState::Dead,
        (None, false, Some(_)) => RowState::Settled,
        (None, false, None) => RowState::Pending,
    };
    let missing: String = row.get("missing")?;
    let answer: Option<String> = row.get("last_answer")?;
    Ok(RowDetail {
        summary: RowSummary {
            event_id: EventId::from_slice(row.get_ref("event_id")?.as_bytes().unwrap_or_default()),
            site: row.get("site")?,
            conversion: row.get("conversion")?,
            network: row.get("network")?,
            time: time("event_ms")?.unwrap_or_default(),
            state,
            attempts: row.get("attempts")?,
            next: time("next_ms")?.filter(|_| state == RowState::Pending),
            leased: row.get("leased")?,
            verdict: row.get("verdict")?,
            reason: row.get("reason")?,
            settled,
            missing: names(&missing),
        },
        payload: serde_json::from_str(&row.get::<_, String>("payload")?).unwrap_or_default(),
        last_answer: answer.and_then(|answer| serde_json::from_str(&answer).ok()),
    })
}

/// The names of a list as it is stored.
pub(super) fn names(list: &str) -> Vec<String> {
    list.split(',').filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect()
}

const OPEN_AND_OVER: &str =
    "SELECT event_id, site, conversion, network, event_ms, attempts, next_ms, lease IS NOT NULL AS leased,
            verdict, reason, settled_ms, payload, last_answer, verdict IS NOT NULL AS dead, NULL AS held, '' AS missing
     FROM outbox
     UNION ALL
     SELECT event_id, site, conversion, network, event_ms, attempts, NULL, 0,
            verdict, reason, settled_ms, payload, last_answer, 0, NULL, '' FROM history";
const HELD: &str = " UNION ALL
     SELECT event_id, site, conversion, network, event_ms, 0, NULL, 0,
            NULL, NULL, NULL, payload, NULL, 0, state, missing FROM held";
