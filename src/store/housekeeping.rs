//! Forgetting what is old, a slice at a time, so that no conversion waits behind it.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{
    Retention, StoreObserver,
    uptime::{GRACE, Jump, LONGEST_WAIT, Uptime},
};
use crate::tracking::timestamp::Timestamp;

/// When the next slice is due, and where the walk through the keys stands.
#[derive(Debug)]
pub(super) struct Housekeeping {
    due: Instant,
    retention: Retention,
    /// The last key that was looked at; empty at the beginning of a round.
    key: Vec<u8>,
    /// From the first look at the clocks.
    uptime: Option<Uptime>,
    /// What rows have still to follow the clock by.
    set_back: Option<SetBack>,
}

/// The clock was set back, and what waits would wait for the time to come again.
#[derive(Clone, Copy, Debug)]
enum SetBack {
    /// Perhaps while nobody was there to see it.
    Unknown,
    /// By so much.
    By(Duration),
}

impl Housekeeping {
    pub(super) const fn new(now: Instant, retention: Retention) -> Self {
        Self { due: now, retention, key: Vec::new(), uptime: None, set_back: Some(SetBack::Unknown) }
    }

    /// Compares the clocks, and lets rows follow one that was set back.
    pub(super) fn follow_clock(
        &mut self,
        connection: &Connection,
        instant: Instant,
        now: Timestamp,
        observer: &dyn StoreObserver,
    ) -> rusqlite::Result<()> {
        if let Some(jump) = self.uptime.get_or_insert_with(|| Uptime::new(now, instant, GRACE)).observe(now, instant) {
            observer.clock_jumped();
            self.heed(jump);
        }
        if let Some(set_back) = self.set_back {
            bring_forward(connection, set_back, now)?;
            self.set_back = None;
        }
        Ok(())
    }

    /// Works on one slice of everything when it is time to.
    pub(super) fn tick(&mut self, connection: &Connection, instant: Instant, now: Timestamp) -> rusqlite::Result<()> {
        // Nothing is forgotten by a clock that may be wrong.
        if instant < self.due || self.uptime.as_ref().is_some_and(|uptime| uptime.is_doubtful(instant)) {
            return Ok(());
        }
        let since =
            |kept: Duration| now.as_millis().saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
        let has_more = [
            self.expire_keys(connection, now.as_millis())?,
            expire_history(connection, since(self.retention.history))?,
            expire_dead(connection, since(self.retention.dead_letters))?,
            expire_incomplete(connection, since(self.retention.dead_letters))?,
            expire_owed(connection, since(OWED_KEPT))?,
            expire_journeys(connection, now.as_millis())?,
        ];
        expire_erased(connection, since(ERASED_KEPT))?;
        let pause = if has_more.contains(&true) { PAUSE_IN_BACKLOG } else { PAUSE };
        self.due = instant + pause;
        shrink(connection)
    }

    fn heed(&mut self, jump: Jump) {
        match jump {
            Jump::Forward(by) => tracing::warn!(
                seconds = by.as_secs(),
                "the system's clock was set forward, or the machine slept; nothing expires by it for an hour"
            ),
            Jump::Back(by) => {
                tracing::warn!(seconds = by.as_secs(), "the system's clock was set back; what waits follows it");
                self.set_back = Some(match self.set_back {
                    Some(SetBack::By(before)) => SetBack::By(before.saturating_add(by)),
                    Some(SetBack::Unknown) | None => SetBack::By(by),
                });
            }
        }
    }

    /// Deletes the expired keys among the next slice; says whether there were many.
    ///
    /// The walk needs no index on the time of expiry, which would cost every conversion.
    fn expire_keys(&mut self, connection: &Connection, now_ms: i64) -> rusqlite::Result<bool> {
        let (last, expired): (Option<Vec<u8>>, i64) = connection
            .prepare_cached(
                "SELECT max(key), total(expires_ms <= ?2)
                 FROM (SELECT key, expires_ms FROM dedup WHERE key > ?1 ORDER BY key LIMIT 2000)",
            )?
            .query_row((&self.key, now_ms), |row| {
                #[expect(clippy::cast_possible_truncation, reason = "total() answers a float; at most 2,000")]
                Ok((row.get(0)?, row.get::<_, f64>(1)? as i64))
            })?;
        let Some(last) = last else {
            self.key.clear();
            return Ok(false);
        };
        if expired > 0 {
            connection
                .prepare_cached("DELETE FROM dedup WHERE key > ?1 AND key <= ?2 AND expires_ms <= ?3")?
                .execute((&self.key, &last, now_ms))?;
        }
        self.key = last;
        Ok(expired > 500)
    }
}

/// Lets rows follow a clock that was set back. What the new clock has set in the second before that was
/// noticed is due a little early.
fn bring_forward(connection: &Connection, set_back: SetBack, now: Timestamp) -> rusqlite::Result<()> {
    let (now_ms, latest) = (now.as_millis(), now.plus(LONGEST_WAIT).as_millis());
    // Leases of the dead are taken over first; rows of the living may be given back with their old time.
    let (from, by, stranded) = match set_back {
        SetBack::Unknown => (latest, 0, "lease IS NULL AND verdict IS NULL AND next_ms > ?1"),
        SetBack::By(by) => {
            (now_ms, i64::try_from(by.as_millis()).unwrap_or(i64::MAX), "verdict IS NULL AND next_ms > ?1")
        }
    };
    // Without this look, every start would write.
    if !connection.prepare_cached(&format!("SELECT 1 FROM outbox WHERE {stranded}"))?.exists([from])? {
        return Ok(());
    }
    connection
        .prepare_cached(&format!("UPDATE outbox SET next_ms = max(?2, min(?3, next_ms - ?4)) WHERE {stranded}"))?
        .execute((from, now_ms, latest, by))
        .map(drop)
}

/// Rows of the history stand in the order of their end, so the oldest come first.
fn expire_history(connection: &Connection, kept_from: i64) -> rusqlite::Result<bool> {
    let oldest = "SELECT settled_ms FROM history ORDER BY rowid LIMIT 1";
    let is_old = connection.prepare_cached(oldest)?.query_map([], |row| row.get::<_, i64>(0))?.next();
    if is_old.transpose()?.is_none_or(|settled| settled >= kept_from) {
        return Ok(false);
    }
    let deleted = connection
        .prepare_cached(
            "DELETE FROM history WHERE rowid IN (SELECT rowid FROM history ORDER BY rowid LIMIT 500) AND settled_ms < ?1",
        )?
        .execute([kept_from])?;
    Ok(deleted == 500)
}

fn expire_dead(connection: &Connection, kept_from: i64) -> rusqlite::Result<bool> {
    let old = "SELECT id FROM outbox WHERE verdict IS NOT NULL AND settled_ms < ?1 LIMIT 500";
    // Without this look, an idle store would write every ten seconds.
    if !connection.prepare_cached(old)?.exists([kept_from])? {
        return Ok(false);
    }
    let deleted =
        connection.prepare_cached(&format!("DELETE FROM outbox WHERE id IN ({old})"))?.execute([kept_from])?;
    Ok(deleted == 500)
}

/// Like the history: held rows stand in the order of their pages, and candidates do not stay.
fn expire_incomplete(connection: &Connection, kept_from: i64) -> rusqlite::Result<bool> {
    let oldest = "SELECT event_ms FROM held ORDER BY rowid LIMIT 1";
    let is_old = connection.prepare_cached(oldest)?.query_map([], |row| row.get::<_, i64>(0))?.next();
    if is_old.transpose()?.is_none_or(|event| event >= kept_from) {
        return Ok(false);
    }
    let deleted = connection
        .prepare_cached(
            "DELETE FROM held WHERE rowid IN (SELECT rowid FROM held ORDER BY rowid LIMIT 500)
             AND state = 'incomplete' AND event_ms < ?1",
        )?
        .execute([kept_from])?;
    Ok(deleted == 500)
}

/// Pixels that no browser has asked for in time.
fn expire_owed(connection: &Connection, kept_from: i64) -> rusqlite::Result<bool> {
    let old = "SELECT rowid FROM held WHERE state = 'owed' AND event_ms < ?1 LIMIT 500";
    if !connection.prepare_cached(old)?.exists([kept_from])? {
        return Ok(false);
    }
    let deleted =
        connection.prepare_cached(&format!("DELETE FROM held WHERE rowid IN ({old})"))?.execute([kept_from])?;
    Ok(deleted == 500)
}

fn expire_journeys(connection: &Connection, now_ms: i64) -> rusqlite::Result<bool> {
    let old = "SELECT key FROM journeys WHERE expires_ms <= ?1 LIMIT 500";
    if !connection.prepare_cached(old)?.exists([now_ms])? {
        return Ok(false);
    }
    let deleted =
        connection.prepare_cached(&format!("DELETE FROM journeys WHERE key IN ({old})"))?.execute([now_ms])?;
    Ok(deleted == 500)
}

/// What every living process has long forgotten.
fn expire_erased(connection: &Connection, kept_from: i64) -> rusqlite::Result<()> {
    let old = "SELECT id FROM erased WHERE at_ms < ?1 LIMIT 500";
    if connection.prepare_cached(old)?.exists([kept_from])? {
        connection.prepare_cached(&format!("DELETE FROM erased WHERE id IN ({old})"))?.execute([kept_from])?;
    }
    Ok(())
}

/// Gives pages back to the disk once many are free; a few are kept for the next conversions.
fn shrink(connection: &Connection) -> rusqlite::Result<()> {
    let free: i64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    if free > 4096 { connection.execute_batch("PRAGMA incremental_vacuum(512)") } else { Ok(()) }
}

/// A browser asks with a cookie that lives for an hour.
const OWED_KEPT: Duration = Duration::from_hours(2);
/// Every process looks once a second; one that slept for longer forgets by the age of its journeys.
const ERASED_KEPT: Duration = Duration::from_hours(24);
const PAUSE: Duration = Duration::from_secs(10);
const PAUSE_IN_BACKLOG: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
