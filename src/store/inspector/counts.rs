//! How much waits, for gauges: counted along the indexes.

use serde::Serialize;

use super::{InspectError, Inspector};
use crate::{store::schema, tracking::timestamp::Timestamp};

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
    /// Conversions that a person may complete.
    pub incomplete: u64,
}

impl Inspector {
    /// How much waits, by destination.
    ///
    /// Reads the two small indexes, and the table for the few rows that are leased.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn counts(&self, now: Timestamp) -> Result<Vec<QueueCounts>, InspectError> {
        let read = |connection: &rusqlite::Connection| {
            // A process of the version before may have made the file.
            let held = if schema::has(connection, schema::WITH_JOURNEYS)? { INCOMPLETE } else { "" };
            connection
                .prepare(&format!(
                    "SELECT site, network, sum(pending), sum(due), min(oldest), sum(dead), sum(incomplete) FROM (
                         SELECT site, network, count(*) AS pending, sum(next_ms <= ?1) AS due, min(event_ms) AS oldest,
                                0 AS dead, 0 AS incomplete
                         FROM outbox WHERE lease IS NULL AND verdict IS NULL GROUP BY site, network
                         UNION ALL
                         SELECT site, network, count(*), count(*), min(event_ms), 0, 0
                         FROM outbox WHERE lease IS NOT NULL AND verdict IS NULL GROUP BY site, network
                         UNION ALL
                         SELECT site, network, 0, 0, NULL, count(*), 0
                         FROM outbox WHERE verdict IS NOT NULL GROUP BY site, network
                         {held}
                     ) GROUP BY site, network"
                ))?
                .query_map([now.as_millis()], |row| {
                    Ok(QueueCounts {
                        site: row.get(0)?,
                        network: row.get(1)?,
                        pending: count(row.get(2)?),
                        due: count(row.get(3)?),
                        oldest_event: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_millis),
                        dead: count(row.get(5)?),
                        incomplete: count(row.get(6)?),
                    })
                })?
                .collect()
        };
        self.read(read)
    }
}

const INCOMPLETE: &str = "UNION ALL
    SELECT site, network, 0, 0, NULL, 0, count(*) FROM held WHERE state = 'incomplete' GROUP BY site, network";

/// `SQLite` counts in signed numbers.
fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}
