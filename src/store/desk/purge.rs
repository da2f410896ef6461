//! Ending what shall not be sent: that it was stays in the history, its values go.

use rusqlite::OptionalExtension;

use super::{Desk, DeskError, Slice};
use crate::store::{attempts, audit::Action, clock, hits, inspector::RowId, notice::Deed};

/// What became of rows that were to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Postbacks that waited.
    pub pending: usize,
    /// Dead letters, and incomplete conversions: nothing would have been sent of them.
    pub dead: usize,
    /// A process has them in its hands at this moment; nothing was done to them.
    pub leased: usize,
    /// Over already.
    pub gone: usize,
}

impl Desk {
    /// Ends rows without sending them.
    ///
    /// # Errors
    /// When the store can't be written; some slices may have been.
    pub fn purge(&mut self, action: &Action, rows: &[RowId]) -> Result<Purged, DeskError> {
        self.delete_securely()?;
        let mut purged = Purged::default();
        self.in_slices(action, rows, |slice, row| {
            *match purge(slice, row)? {
                Purge::Pending => &mut purged.pending,
                Purge::Dead => &mut purged.dead,
                Purge::Leased => &mut purged.leased,
                Purge::Gone => &mut purged.gone,
            } += 1;
            Ok(())
        })?;
        self.empty_log();
        Ok(purged)
    }
}

enum Purge {
    Pending,
    Dead,
    Leased,
    Gone,
}

fn purge(slice: &mut Slice<'_>, row: &RowId) -> rusqlite::Result<Purge> {
    let found = slice
        .transaction
        .prepare_cached(
            "SELECT site, network, lease IS NOT NULL, verdict IS NOT NULL FROM outbox WHERE event_id = ?1
             UNION ALL
             SELECT site, network, state <> 'incomplete', 1 FROM held WHERE event_id = ?1",
        )?
        .query_row([&row.0], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?, row.get::<_, bool>(3)?))
        })
        .optional()?;
    let Some((site, network, is_leased, is_dead)) = found else { return Ok(Purge::Gone) };
    if is_leased {
        return Ok(Purge::Leased);
    }
    // Why it had been given up is told with it.
    slice
        .transaction
        .prepare_cached(
            "INSERT INTO history (event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, reason, payload)
             SELECT event_id, site, conversion, network, event_ms, ?2, attempts, 'purged', verdict, '{}'
             FROM outbox WHERE event_id = ?1
             UNION ALL
             SELECT event_id, site, conversion, network, event_ms, ?2, 0, 'purged', state, '{}'
             FROM held WHERE event_id = ?1",
        )?
        .execute((&row.0, clock::now().as_millis()))?;
    slice.transaction.prepare_cached("DELETE FROM outbox WHERE event_id = ?1")?.execute([&row.0])?;
    slice.transaction.prepare_cached("DELETE FROM held WHERE event_id = ?1")?.execute([&row.0])?;
    attempts::empty(slice.transaction, &row.0)?;
    hits::empty(slice.transaction, &row.0)?;
    slice.changed += 1;
    if is_dead {
        // Its verdict has been counted, or it never was a postback.
        return Ok(Purge::Dead);
    }
    slice.tell(Deed::Purged, &site, &network);
    Ok(Purge::Pending)
}
