//! Putting dead letters back, to be sent once more under their event id and with their event time.

use std::time::Duration;

use rusqlite::OptionalExtension;

use super::{Desk, DeskError, Slice};
use crate::{
    store::{attempts, audit::Action, clock, inspector::RowId, notice::Deed},
    tracking::timestamp::Timestamp,
};

/// What becomes of a conversion that its network would not take any more for its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeLimit {
    /// It stays a dead letter.
    Respected,
    /// It is sent all the same, and has as much time for it as a new one.
    Waived,
}

/// What became of dead letters that were to be sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Put back; they are due at once.
    pub queued: usize,
    /// Too old.
    pub too_old: usize,
    /// Their site, conversion or network is no longer configured.
    pub parked: usize,
    /// No dead letters any more.
    pub gone: usize,
}

impl Desk {
    /// Puts dead letters back.
    ///
    /// `max_age` says how old a conversion of a site, conversion and network may become, and nothing
    /// about those that are no longer configured.
    ///
    /// # Errors
    /// When the store can't be written; some slices may have been.
    pub fn replay(
        &mut self,
        action: &Action,
        rows: &[RowId],
        limit: AgeLimit,
        max_age: &dyn Fn(&str, &str, &str) -> Option<Duration>,
    ) -> Result<Replayed, DeskError> {
        let mut replayed = Replayed::default();
        self.in_slices(action, rows, |slice, row| {
            *match replay(slice, row, limit, max_age)? {
                Replay::Queued => &mut replayed.queued,
                Replay::TooOld => &mut replayed.too_old,
                Replay::Parked => &mut replayed.parked,
                Replay::Gone => &mut replayed.gone,
            } += 1;
            Ok(())
        })?;
        Ok(replayed)
    }
}

enum Replay {
    Queued,
    TooOld,
    Parked,
    Gone,
}

fn replay(
    slice: &mut Slice<'_>,
    row: &RowId,
    limit: AgeLimit,
    max_age: &dyn Fn(&str, &str, &str) -> Option<Duration>,
) -> rusqlite::Result<Replay> {
    let found = slice
        .transaction
        .prepare_cached(
            "SELECT site, conversion, network, event_ms FROM outbox WHERE event_id = ?1 AND verdict IS NOT NULL",
        )?
        .query_row([&row.0], |row| {
            let names: [String; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
            Ok((names, Timestamp::from_millis(row.get(3)?)))
        })
        .optional()?;
    let Some(([site, conversion, network], time)) = found else { return Ok(Replay::Gone) };
    let Some(max_age) = max_age(&site, &conversion, &network) else { return Ok(Replay::Parked) };
    let now = clock::now();
    let is_too_old = now.since(time) >= max_age;
    if is_too_old && limit == AgeLimit::Respected {
        return Ok(Replay::TooOld);
    }
    attempts::keep_last(slice.transaction, &row.0)?;
    slice
        .transaction
        .prepare_cached(
            "UPDATE outbox SET verdict = NULL, reason = NULL, settled_ms = NULL, lease = NULL, attempts = 0, next_ms = ?2,
                    revived_ms = ?3 WHERE event_id = ?1",
        )?
        .execute((&row.0, now.as_millis(), is_too_old.then_some(now.as_millis())))?;
    slice.changed += 1;
    slice.tell(Deed::Replayed, &site, &network);
    Ok(Replay::Queued)
}
