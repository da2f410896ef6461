//! Ending what shall not be sent: that it was stays in the history, its values go.

use super::{
    super::{Fleet, FleetError, NOW_MS, hits, value::Id},
    Deed, Slice, Tally, ids,
};
use crate::tracking::event::EventId;

impl Fleet {
    /// Ends rows without sending them; their dedup keys stay.
    pub async fn purge(&self, deed: &Deed<'_>, rows: &[EventId]) -> Result<Tally, FleetError> {
        self.in_slices(deed, rows, purge).await
    }
}

async fn purge(slice: &mut Slice<'_>, rows: &[EventId]) -> Result<(), FleetError> {
    let select = format!(
        "SELECT event_id, site, network, lease_until_ms IS NOT NULL AND lease_until_ms >= {NOW_MS},
             verdict IS NULL AND missing IS NULL AND withdrawn_ms IS NULL
         FROM throughline_outbox WHERE event_id = ANY($1) FOR UPDATE"
    );
    let found = slice.transaction.query(&select, &[&ids(rows)]).await?;
    slice.tally.gone += rows.len() - found.len();
    let mut purged = Vec::<Id>::new();
    for row in &found {
        if row.try_get(3)? {
            slice.tally.leased += 1;
            continue;
        }
        purged.push(row.try_get(0)?);
        slice.tally.done += 1;
        // The verdict of the others has been counted, or they never were postbacks.
        if row.try_get(4)? {
            slice.tally.pending += 1;
            slice.tell(row.try_get(1)?, row.try_get(2)?);
        }
    }
    // Why it had been given up is told with it.
    let history = format!(
        "WITH gone AS (
             DELETE FROM throughline_outbox WHERE event_id = ANY($1)
             RETURNING event_id, site, conversion, network, event_ms, attempts, verdict, missing
         )
         INSERT INTO throughline_history
             (event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, reason, payload)
         SELECT event_id, site, conversion, network, event_ms, {NOW_MS}, attempts, 'purged',
             CASE WHEN missing IS NULL THEN verdict ELSE 'incomplete' END, '{{}}'
         FROM gone ON CONFLICT (event_id) DO NOTHING"
    );
    slice.transaction.execute(&history, &[&purged]).await?;
    slice.transaction.execute("DELETE FROM throughline_attempts WHERE event_id = ANY($1)", &[&purged]).await?;
    hits::empty(slice.transaction, &purged).await?;
    slice.touched.extend(purged);
    Ok(())
}
