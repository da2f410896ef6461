//! Records of hits on their way to the fleet: the oldest first, each removed when the fleet has it.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::tracking::{event::EventId, timestamp::Timestamp};

/// A record as a node hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepartingHit {
    /// Where it stands here.
    pub(in crate::store) id: i64,
    /// How many this node has forwarded before it, for good.
    pub(in crate::store) number: i64,
    pub(in crate::store) time: Timestamp,
    pub(in crate::store) site: String,
    pub(in crate::store) conversion: String,
    pub(in crate::store) network: String,
    pub(in crate::store) outcome: String,
    pub(in crate::store) reason: Option<String>,
    pub(in crate::store) event_id: Option<EventId>,
    pub(in crate::store) order_id: Option<String>,
    pub(in crate::store) clicks: Option<String>,
    pub(in crate::store) value: Option<String>,
    pub(in crate::store) currency: Option<String>,
    pub(in crate::store) details: Option<String>,
}

/// The next records.
pub(in crate::store) fn next(connection: &Connection, most: usize) -> rusqlite::Result<Vec<DepartingHit>> {
    let forwarded: i64 = connection
        .prepare_cached("SELECT value FROM node WHERE name = 'hits'")?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or_default();
    let mut hits = connection
        .prepare_cached(
            "SELECT id, at_ms, site, conversion, network, outcome, reason, event_id, order_id, clicks, value, currency,
                    details
             FROM hits ORDER BY id LIMIT ?1",
        )?
        .query_map([i64::try_from(most).unwrap_or(i64::MAX)], departing)?
        .collect::<Result<Vec<_>, _>>()?;
    for (number, hit) in (forwarded + 1..).zip(&mut hits) {
        hit.number = number;
    }
    Ok(hits)
}

/// By which the fleet tells this node's records from those of others.
pub(in crate::store) fn node(connection: &Connection) -> rusqlite::Result<[u8; 16]> {
    let id: Vec<u8> =
        connection.prepare_cached("SELECT value FROM node WHERE name = 'id'")?.query_row([], |row| row.get(0))?;
    Ok(id.try_into().unwrap_or_default())
}

/// Removes all up to this one.
pub(in crate::store) fn remove(connection: &Connection, (id, number): (i64, i64)) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM hits WHERE id <= ?1")?.execute([id])?;
    connection
        .prepare_cached(
            "INSERT INTO node (name, value) VALUES ('hits', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute([number])
        .map(drop)
}

fn departing(row: &Row<'_>) -> rusqlite::Result<DepartingHit> {
    Ok(DepartingHit {
        id: row.get(0)?,
        number: 0,
        time: Timestamp::from_millis(row.get(1)?),
        site: row.get(2)?,
        conversion: row.get(3)?,
        network: row.get(4)?,
        outcome: row.get(5)?,
        reason: row.get(6)?,
        event_id: EventId::from_slice(row.get_ref(7)?.as_bytes_or_null()?.unwrap_or_default()),
        order_id: row.get(8)?,
        clicks: row.get(9)?,
        value: row.get(10)?,
        currency: row.get(11)?,
        details: row.get(12)?,
    })
}
