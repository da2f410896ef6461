//! Adopting the rows of a site, conversion or network that was renamed, with the dedup keys that can be
//! made again of what a row holds.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::Transaction;
use tokio_postgres::Row;

use super::{
    super::{Fleet, FleetError, NOW_MS, value::Id},
    Deed, Slice, Tally, ids,
};
use crate::tracking::event::{DedupKey, EventId, Payload};

/// The names that rows have, and those they shall have.
#[derive(Clone, Copy)]
pub struct Rename<'a> {
    /// Site, conversion and network.
    pub from: (&'a str, &'a str, &'a str),
    /// Site, conversion and network.
    pub to: (&'a str, &'a str, &'a str),
    /// The keys that a row with this payload may have, each under the old names and the new.
    pub keys: &'a (dyn Fn(&Payload) -> Vec<(DedupKey, DedupKey)> + Sync),
}

impl Fleet {
    /// Gives rows other names.
    pub async fn reassign(&self, deed: &Deed<'_>, rename: &Rename<'_>, rows: &[EventId]) -> Result<Tally, FleetError> {
        self.in_slices(deed, rows, async |slice, rows| reassign(slice, rename, rows).await).await
    }
}

async fn reassign(slice: &mut Slice<'_>, rename: &Rename<'_>, rows: &[EventId]) -> Result<(), FleetError> {
    let (site, conversion, network) = rename.from;
    let select = format!(
        "SELECT event_id, payload, lease_until_ms IS NOT NULL AND lease_until_ms >= {NOW_MS}
         FROM throughline_outbox
         WHERE event_id = ANY($1) AND site = $2 AND conversion = $3 AND network = $4 AND withdrawn_ms IS NULL FOR UPDATE"
    );
    let found = slice.transaction.query(&select, &[&ids(rows), &site, &conversion, &network]).await?;
    slice.tally.gone += rows.len() - found.len();
    let mut free = Vec::new();
    for row in &found {
        if row.try_get(2)? { slice.tally.leased += 1 } else { free.push(row) }
    }
    let moves = moves(slice.transaction, rename, &free).await?;
    let mut adopted = Vec::<Id>::new();
    let (mut old, mut new) = (Vec::<&[u8]>::new(), Vec::<&[u8]>::new());
    for row in free {
        let id = row.try_get(0)?;
        match moves.get(&id) {
            Some(Move::Taken) => {
                slice.tally.duplicates += 1;
                continue;
            }
            Some(Move::To(from, to)) => {
                old.push(from.as_bytes());
                new.push(to.as_bytes());
                slice.tally.with_key += 1;
            }
            None => {}
        }
        adopted.push(id);
    }
    rename_keys(slice.transaction, &old, &new).await?;
    let (site, conversion, network) = rename.to;
    let update = format!(
        "UPDATE throughline_outbox SET site = $2, conversion = $3, network = $4, next_ms = least(next_ms, {NOW_MS})
         WHERE event_id = ANY($1)"
    );
    slice.transaction.execute(&update, &[&adopted, &site, &conversion, &network]).await?;
    slice.tally.done += adopted.len();
    slice.touched.extend(adopted);
    Ok(())
}

/// What becomes of a row's key.
enum Move {
    To(DedupKey, DedupKey),
    /// Another conversion has it under its new name.
    Taken,
}

/// Which of the keys that rows may have are theirs, and whether these can follow them.
async fn moves(
    transaction: &Transaction<'_>,
    rename: &Rename<'_>,
    rows: &[&Row],
) -> Result<HashMap<Id, Move>, FleetError> {
    let mut possible = Vec::new();
    for row in rows {
        let payload = serde_json::from_str(row.try_get(1)?).unwrap_or_default();
        let id: Id = row.try_get(0)?;
        possible.extend((rename.keys)(&payload).into_iter().map(|(from, to)| (id, from, to)));
    }
    let select =
        format!("SELECT key, event_id, expires_ms > {NOW_MS} FROM throughline_dedup WHERE key = ANY($1) FOR UPDATE");
    let keys: HashSet<&[u8]> =
        possible.iter().flat_map(|(_, from, to)| [from.as_bytes().as_slice(), to.as_bytes().as_slice()]).collect();
    let keys: Vec<&[u8]> = keys.into_iter().collect();
    let rows = transaction.query(&select, &[&keys]).await?;
    let mut holders = HashMap::<Vec<u8>, (Id, bool)>::new();
    for row in rows {
        holders.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
    }
    let mut moves = HashMap::new();
    for (id, from, to) in possible {
        if holders.get(from.as_bytes().as_slice()).is_none_or(|(holder, _)| *holder != id) {
            continue;
        }
        let is_taken =
            holders.get(to.as_bytes().as_slice()).is_some_and(|(holder, is_valid)| *holder != id && *is_valid);
        moves.insert(id, if is_taken { Move::Taken } else { Move::To(from, to) });
    }
    Ok(moves)
}

/// Gives keys other names; their windows go on as they began.
async fn rename_keys(transaction: &Transaction<'_>, old: &[&[u8]], new: &[&[u8]]) -> Result<(), FleetError> {
    let copy = "INSERT INTO throughline_dedup (key, event_id, accepted_ms, expires_ms)
        SELECT names.new, event_id, accepted_ms, expires_ms FROM throughline_dedup
        JOIN unnest($1::BYTEA[], $2::BYTEA[]) AS names (old, new) ON key = names.old
        ON CONFLICT (key) DO UPDATE
        SET event_id = excluded.event_id, accepted_ms = excluded.accepted_ms, expires_ms = excluded.expires_ms";
    transaction.execute(copy, &[&old, &new]).await?;
    transaction.execute("DELETE FROM throughline_dedup WHERE key = ANY($1)", &[&old]).await?;
    Ok(())
}
