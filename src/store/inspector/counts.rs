//! How much waits, for gauges: counted along the indexes.

use serde::Serialize;

use super::{InspectError, Inspector};
use crate::tracking::timestamp::Timestamp;

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
    /// How much waits, by destination.
    ///
    /// Reads the two small indexes, and the table for the few rows that are leased.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn counts(&self, now: Timestamp) -> Result<Vec<QueueCounts>, InspectError> {
        let read = |connection: &rusqlite::Connection| {
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
}

/// `SQLite` counts in signed numbers.
fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}
