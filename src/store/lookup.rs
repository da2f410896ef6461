//! By what people look for hits: each order id and click ID leads to its event.
//!
//! A key is written with the record of its hit, once a second and beside the pages, and goes with it: the
//! file sees to that itself, so that a version before this one leaves no key behind either. Rows have no
//! keys of their own, or every conversion would pay for them.

use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use crate::tracking::event::EventId;

/// Keeps the keys of a hit.
pub(super) fn note<'a>(
    connection: &Connection,
    event_id: EventId,
    order_id: Option<&'a str>,
    clicks: impl Iterator<Item = &'a str>,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO lookup (key, event_id) VALUES (?1, ?2)")?;
    order_id.into_iter().chain(clicks).try_for_each(|text| insert.execute((key(text), event_id.as_bytes())).map(drop))
}

/// Keeps what was learnt of a hit later, if there is a record of it: a key without one would stay for good.
pub(super) fn add(connection: &Connection, event_id: EventId, text: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO lookup (key, event_id) SELECT ?1, event_id FROM hits WHERE event_id = ?2",
        )?
        .execute((key(text), event_id.as_bytes()))
        .map(drop)
}

/// Keeps the keys of some records that were written before there were keys; says whether there are more.
pub(super) fn catch_up(connection: &Connection) -> rusqlite::Result<bool> {
    let last: Option<i64> =
        connection.prepare_cached("SELECT last FROM unlisted")?.query_row([], |row| row.get(0)).optional()?;
    let Some(last) = last else { return Ok(false) };
    let transaction = connection.unchecked_transaction()?;
    let mut first = None;
    {
        let mut statement = transaction.prepare_cached(
            "SELECT id, event_id, order_id, clicks FROM hits WHERE id <= ?1 ORDER BY id DESC LIMIT ?2",
        )?;
        let mut hits = statement.query((last, SLICE))?;
        while let Some(hit) = hits.next()? {
            first = Some(hit.get::<_, i64>(0)?);
            let id = EventId::from_slice(hit.get_ref(1)?.as_bytes_or_null()?.unwrap_or_default());
            let order_id = hit.get_ref(2)?.as_str_or_null()?;
            let clicks = hit.get_ref(3)?.as_str_or_null()?.unwrap_or_default();
            if let Some(id) = id {
                note(&transaction, id, order_id, clicks.split(' ').filter(|click| !click.is_empty()))?;
            }
        }
    }
    match first {
        Some(first) => transaction.execute("UPDATE unlisted SET last = ?1", [first - 1])?,
        None => transaction.execute("DELETE FROM unlisted", [])?,
    };
    transaction.commit()?;
    Ok(first.is_some())
}

/// By what a text is kept: short, and nothing that can be read. What is meant is told by the hit itself.
pub(super) fn key(text: &str) -> [u8; 16] {
    let mut key = [0; 16];
    key.iter_mut().zip(Sha256::digest(text)).for_each(|(place, byte)| *place = byte);
    key
}

/// Records of one slice: a few milliseconds.
const SLICE: i64 = 500;
