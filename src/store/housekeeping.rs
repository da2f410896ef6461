//! Forgetting what is old, a slice at a time, so that no conversion waits behind it.
//!
//! Each slice is short. When those of one turn have taken long all the same, on a slow disk, the rest has
//! its turn a second later.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{
    Retention, StoreObserver, clock, lookup,
    uptime::{GRACE, Jump, LONGEST_WAIT, Uptime},
};
use crate::tracking::timestamp::Timestamp;

mod expiry;

pub(super) use expiry::HITS_KEPT;
#[cfg(test)]
pub(super) use expiry::KEPT_PAGES;
use expiry::{
    expire_announcements, expire_dead, expire_first, expire_history, expire_hits, expire_incomplete, expire_journeys,
    expire_owed, shrink,
};

/// When the next turn is due, and where the walks stand.
#[derive(Debug)]
pub(super) struct Housekeeping {
    due: Instant,
    retention: Retention,
    /// The chore that comes first.
    first: usize,
    /// The last dedup key that was looked at; empty at the beginning of a round.
    key: Vec<u8>,
    /// The last event whose attempts were looked at.
    attempted: Vec<u8>,
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

/// One kind of what becomes old.
#[derive(Clone, Copy, Debug)]
enum Chore {
    Keys,
    History,
    Dead,
    Incomplete,
    Owed,
    Journeys,
    Attempts,
    Hits,
    Announcements,
    Audit,
    Deeds,
    Lookup,
    FreePages,
}

/// What is left of a chore after a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    More,
}

impl Housekeeping {
    pub(super) const fn new(now: Instant, retention: Retention) -> Self {
        Self {
            due: now,
            retention,
            first: 0,
            key: Vec::new(),
            attempted: Vec::new(),
            uptime: None,
            set_back: Some(SetBack::Unknown),
        }
    }

    /// Keeps what is over for so long from now on.
    pub(super) const fn keep_for(&mut self, retention: Retention) {
        self.retention = retention;
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
        let began = clock::instant();
        let mut rest = Rest::Nothing;
        for (done, chore) in CHORES.iter().cycle().skip(self.first).take(CHORES.len()).enumerate() {
            if clock::instant().saturating_duration_since(began) > LONGEST {
                self.first = (self.first + done) % CHORES.len();
                rest = Rest::More;
                break;
            }
            if self.work(*chore, connection, now)? == Rest::More {
                rest = Rest::More;
            }
        }
        self.due = instant
            + match rest {
                Rest::Nothing => PAUSE,
                Rest::More => PAUSE_IN_BACKLOG,
            };
        Ok(())
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

    fn work(&mut self, chore: Chore, connection: &Connection, now: Timestamp) -> rusqlite::Result<Rest> {
        let since =
            |kept: Duration| now.as_millis().saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
        match chore {
            Chore::Keys => self.expire_keys(connection, now.as_millis()),
            Chore::History => expire_history(connection, since(self.retention.history)),
            Chore::Dead => expire_dead(connection, since(self.retention.dead_letters)),
            Chore::Incomplete => expire_incomplete(connection, since(self.retention.dead_letters)),
            Chore::Owed => expire_owed(connection, since(OWED_KEPT)),
            Chore::Journeys => expire_journeys(connection, now.as_millis()),
            Chore::Attempts => self.expire_attempts(connection),
            Chore::Hits => expire_hits(connection, since(self.retention.history)),
            Chore::Announcements => expire_announcements(connection, since(ANNOUNCED)),
            Chore::Audit => expire_first(connection, "audit", since(AUDIT_KEPT)),
            Chore::Deeds => expire_first(connection, "deeds", since(AUDIT_KEPT)),
            Chore::Lookup => lookup::catch_up(connection).map(|more| if more { Rest::More } else { Rest::Nothing }),
            Chore::FreePages => shrink(connection),
        }
    }

    /// Deletes the expired keys among the next slice.
    ///
    /// The walk needs no index on the time of expiry, which would cost every conversion.
    fn expire_keys(&mut self, connection: &Connection, now_ms: i64) -> rusqlite::Result<Rest> {
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
            return Ok(Rest::Nothing);
        };
        if expired > 0 {
            connection
                .prepare_cached("DELETE FROM dedup WHERE key > ?1 AND key <= ?2 AND expires_ms <= ?3")?
                .execute((&self.key, &last, now_ms))?;
        }
        self.key = last;
        Ok(if expired > 500 { Rest::More } else { Rest::Nothing })
    }

    /// Deletes the attempts, among the next slice, of events that are neither open nor in the history.
    fn expire_attempts(&mut self, connection: &Connection) -> rusqlite::Result<Rest> {
        let events = connection
            .prepare_cached("SELECT DISTINCT event_id FROM attempts WHERE event_id > ?1 ORDER BY event_id LIMIT 200")?
            .query_map([&self.attempted], |row| row.get::<_, Vec<u8>>(0))?
            .collect::<Result<Vec<_>, _>>()?;
        let mut is_known = connection.prepare_cached(
            "SELECT 1 FROM outbox WHERE event_id = ?1 UNION ALL SELECT 1 FROM history WHERE event_id = ?1",
        )?;
        let mut orphans = Vec::new();
        for event in &events {
            if !is_known.exists([event])? {
                orphans.push(event);
            }
        }
        let is_backlog = orphans.len() > 50;
        if !orphans.is_empty() {
            let transaction = connection.unchecked_transaction()?;
            for event in orphans {
                transaction.prepare_cached("DELETE FROM attempts WHERE event_id = ?1")?.execute([event])?;
            }
            transaction.commit()?;
        }
        self.attempted = events.into_iter().next_back().unwrap_or_default();
        Ok(if is_backlog { Rest::More } else { Rest::Nothing })
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

const CHORES: [Chore; 13] = [
    Chore::Keys,
    Chore::History,
    Chore::Dead,
    Chore::Incomplete,
    Chore::Owed,
    Chore::Journeys,
    Chore::Attempts,
    Chore::Hits,
    Chore::Announcements,
    Chore::Audit,
    Chore::Deeds,
    Chore::Lookup,
    Chore::FreePages,
];

/// A browser asks with a cookie that lives for an hour.
const OWED_KEPT: Duration = Duration::from_hours(2);
/// Every process looks once a second; one that slept for longer forgets by the age of its journeys.
const ANNOUNCED: Duration = Duration::from_hours(24);
const AUDIT_KEPT: Duration = Duration::from_hours(365 * 24);
/// A turn that has taken longer is broken off between two chores.
const LONGEST: Duration = Duration::from_millis(25);
const PAUSE: Duration = Duration::from_secs(10);
const PAUSE_IN_BACKLOG: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
