//! What is too old, kind by kind: each call deletes one slice, and says whether there is more.
//!
//! Most tables are in the order of their age, so the oldest stand in front and no index is needed.

use rusqlite::{Connection, OptionalExtension};

use super::Rest;

/// Rows of the history stand in the order of their end, so the oldest come first.
pub(super) fn expire_history(connection: &Connection, kept_from: i64) -> rusqlite::Result<Rest> {
    let oldest = "SELECT settled_ms FROM history ORDER BY rowid LIMIT 1";
    let is_old = connection.prepare_cached(oldest)?.query_map([], |row| row.get::<_, i64>(0))?.next();
    if is_old.transpose()?.is_none_or(|settled| settled >= kept_from) {
        return Ok(Rest::Nothing);
    }
    let deleted = connection
        .prepare_cached(
            "DELETE FROM history WHERE rowid IN (SELECT rowid FROM history ORDER BY rowid LIMIT 500) AND settled_ms < ?1",
        )?
        .execute([kept_from])?;
    Ok(rest_after(deleted, 500))
}

/// Dead letters, destination by destination: the index has the oldest of each in front.
pub(super) fn expire_dead(connection: &Connection, kept_from: i64) -> rusqlite::Result<Rest> {
    let mut oldest = connection.prepare_cached(
        "SELECT site, network, settled_ms FROM outbox WHERE verdict IS NOT NULL AND (site, network) > (?1, ?2)
         ORDER BY site, network, settled_ms LIMIT 1",
    )?;
    let mut delete = connection.prepare_cached(
        "DELETE FROM outbox WHERE id IN (
             SELECT id FROM outbox WHERE verdict IS NOT NULL AND site = ?1 AND network = ?2 AND settled_ms < ?3 LIMIT 500)",
    )?;
    let mut last = (String::new(), String::new());
    loop {
        let next = oldest
            .query_row((&last.0, &last.1), |row| Ok(((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)?)))
            .optional()?;
        let Some((names, settled)) = next else { return Ok(Rest::Nothing) };
        last = names;
        if settled < kept_from {
            // One destination in a slice; the next has its turn soon.
            let deleted = delete.execute((&last.0, &last.1, kept_from))?;
            return Ok(if deleted > 0 { Rest::More } else { Rest::Nothing });
        }
    }
}

/// Like the history: held rows stand in the order of their pages, and candidates do not stay.
pub(super) fn expire_incomplete(connection: &Connection, kept_from: i64) -> rusqlite::Result<Rest> {
    let oldest = "SELECT event_ms FROM held ORDER BY rowid LIMIT 1";
    let is_old = connection.prepare_cached(oldest)?.query_map([], |row| row.get::<_, i64>(0))?.next();
    if is_old.transpose()?.is_none_or(|event| event >= kept_from) {
        return Ok(Rest::Nothing);
    }
    let deleted = connection
        .prepare_cached(
            "DELETE FROM held WHERE rowid IN (SELECT rowid FROM held ORDER BY rowid LIMIT 500)
             AND state = 'incomplete' AND event_ms < ?1",
        )?
        .execute([kept_from])?;
    Ok(rest_after(deleted, 500))
}

/// Pixels that no browser has asked for in time.
pub(super) fn expire_owed(connection: &Connection, kept_from: i64) -> rusqlite::Result<Rest> {
    let old = "SELECT rowid FROM held WHERE state = 'owed' AND event_ms < ?1 LIMIT 500";
    if !connection.prepare_cached(old)?.exists([kept_from])? {
        return Ok(Rest::Nothing);
    }
    let deleted =
        connection.prepare_cached(&format!("DELETE FROM held WHERE rowid IN ({old})"))?.execute([kept_from])?;
    Ok(rest_after(deleted, 500))
}

/// Their keys lie anywhere, so that each may be on a page of its own: a smaller slice.
pub(super) fn expire_journeys(connection: &Connection, now_ms: i64) -> rusqlite::Result<Rest> {
    let old = "SELECT key FROM journeys WHERE expires_ms <= ?1 LIMIT 200";
    if !connection.prepare_cached(old)?.exists([now_ms])? {
        return Ok(Rest::Nothing);
    }
    let deleted =
        connection.prepare_cached(&format!("DELETE FROM journeys WHERE key IN ({old})"))?.execute([now_ms])?;
    Ok(rest_after(deleted, 200))
}

/// By age, and by number: a flood of bots must not fill the disk. Those of buyers take their keys along.
pub(super) fn expire_hits(connection: &Connection, kept_from: i64) -> rusqlite::Result<Rest> {
    let edge = "SELECT id <= (SELECT max(id) FROM hits) - ?1 OR at_ms < ?2 FROM hits ORDER BY id LIMIT 1";
    let is_old =
        connection.prepare_cached(edge)?.query_map((HITS_KEPT, kept_from), |row| row.get::<_, bool>(0))?.next();
    if !is_old.transpose()?.unwrap_or(false) {
        return Ok(Rest::Nothing);
    }
    let deleted = connection
        .prepare_cached(
            "DELETE FROM hits WHERE id IN (SELECT id FROM hits ORDER BY id LIMIT 1000)
             AND (id <= (SELECT max(id) FROM hits) - ?1 OR at_ms < ?2)",
        )?
        .execute((HITS_KEPT, kept_from))?;
    Ok(rest_after(deleted, 1000))
}

/// What every living process has long heard of.
pub(super) fn expire_announcements(connection: &Connection, kept_from: i64) -> rusqlite::Result<Rest> {
    let erased = expire_first(connection, "erased", kept_from)?;
    let notices = expire_first(connection, "notices", kept_from)?;
    Ok(if erased == Rest::More { erased } else { notices })
}

/// The first rows of a table whose rows stand in the order of their `at_ms`.
pub(super) fn expire_first(connection: &Connection, table: &str, kept_from: i64) -> rusqlite::Result<Rest> {
    let first = format!("SELECT at_ms < ?1 FROM {table} ORDER BY id LIMIT 1");
    let is_old = connection.prepare_cached(&first)?.query_map([kept_from], |row| row.get::<_, bool>(0))?.next();
    if !is_old.transpose()?.unwrap_or(false) {
        return Ok(Rest::Nothing);
    }
    let deleted = connection
        .prepare_cached(&format!(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT 500) AND at_ms < ?1"
        ))?
        .execute([kept_from])?;
    Ok(rest_after(deleted, 500))
}

/// Gives pages back to the disk once many are free; a few are kept for the next conversions.
pub(super) fn shrink(connection: &Connection) -> rusqlite::Result<Rest> {
    let free: i64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    if free <= KEPT_PAGES {
        return Ok(Rest::Nothing);
    }
    let mut statement = connection.prepare("PRAGMA incremental_vacuum(256)")?;
    // Each step gives one page back.
    let mut steps = statement.query([])?;
    while steps.next()?.is_some() {}
    Ok(Rest::More)
}

pub(super) const fn rest_after(deleted: usize, slice: usize) -> Rest {
    if deleted < slice { Rest::Nothing } else { Rest::More }
}

/// Records of hits: about 80 MB of bots, or some hundred of buyers.
pub(in crate::store) const HITS_KEPT: i64 = 1_000_000;
/// Free pages that stay in the file: 16 MiB.
pub(in crate::store) const KEPT_PAGES: i64 = 4096;
