//! Putting dead letters back, to be sent once more under their event id and with their event time.

use super::{
    super::{Fleet, FleetError, NOW_MS, value::Id},
    Deed, Slice, Tally, ids,
};
use crate::{
    store::{clock, office::MaxAge},
    tracking::{event::EventId, timestamp::Timestamp},
};

impl Fleet {
    /// Puts dead letters back; with `even_if_old` also those that are too old, which then have as much time
    /// as new ones.
    pub async fn replay(
        &self,
        deed: &Deed<'_>,
        rows: &[EventId],
        even_if_old: bool,
        max_age: MaxAge<'_>,
    ) -> Result<Tally, FleetError> {
        self.in_slices(deed, rows, async |slice, rows| replay(slice, rows, even_if_old, max_age).await).await
    }
}

async fn replay(
    slice: &mut Slice<'_>,
    rows: &[EventId],
    even_if_old: bool,
    max_age: MaxAge<'_>,
) -> Result<(), FleetError> {
    let select = "SELECT event_id, site, conversion, network, event_ms FROM throughline_outbox
        WHERE event_id = ANY($1) AND verdict IS NOT NULL FOR UPDATE";
    let found = slice.transaction.query(select, &[&ids(rows)]).await?;
    slice.tally.gone += rows.len() - found.len();
    let now = clock::now();
    let (mut young, mut old) = (Vec::<Id>::new(), Vec::<Id>::new());
    for row in &found {
        let (site, conversion, network): (&str, &str, &str) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let Some(max_age) = max_age(site, conversion, network) else {
            slice.tally.parked += 1;
            continue;
        };
        if now.since(Timestamp::from_millis(row.try_get(4)?)) < max_age {
            young.push(row.try_get(0)?);
        } else if even_if_old {
            old.push(row.try_get(0)?);
        } else {
            slice.tally.too_old += 1;
            continue;
        }
        slice.tell(site, network);
    }
    for (ids, revived) in [(young, "NULL"), (old, NOW_MS)] {
        // What was answered last belongs to the attempts before; its slot is none that another attempt takes.
        let keep = "INSERT INTO throughline_attempts (event_id, slot, number, answer)
             SELECT event_id, -1 - attempts, attempts, last_answer FROM throughline_outbox
             WHERE event_id = ANY($1) AND last_answer IS NOT NULL
             ON CONFLICT (event_id, slot) DO UPDATE SET number = excluded.number, answer = excluded.answer";
        slice.transaction.execute(keep, &[&ids]).await?;
        let update = format!(
            "UPDATE throughline_outbox SET verdict = NULL, reason = NULL, settled_ms = NULL, settled_by = NULL,
                 attempts = 0, next_ms = {NOW_MS}, revived_ms = {revived}
             WHERE event_id = ANY($1)"
        );
        let changed = slice.transaction.execute(&update, &[&ids]).await?;
        slice.tally.done += usize::try_from(changed).unwrap_or(0);
        slice.touched.extend(ids);
    }
    Ok(())
}
