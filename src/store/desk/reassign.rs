//! Adopting the rows of a site, conversion or network that was renamed.
//!
//! A dedup key holds the names it was made of, so it moves with its row; or else a reload of the
//! thank-you page under the new name would count again. A key is a hash: it is found by making it again
//! of what the row holds, and what the row does not hold (a visitor's id, say) can't be made again.

use rusqlite::{OptionalExtension, Transaction};

use super::{Desk, DeskError, Slice};
use crate::{
    store::{
        audit::Action,
        clock,
        dedup::{self, Renamed},
        inspector::{Names, RowId},
    },
    tracking::event::{DedupKey, EventId, Payload},
};

/// Rows that are to have other names.
#[derive(Clone, Debug)]
pub struct Rename {
    /// The names they have.
    pub from: Names,
    /// The names they shall have.
    pub to: Names,
    /// The rows.
    pub rows: Vec<RowId>,
}

/// What became of rows that were to be adopted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reassigned {
    /// They have their new names.
    pub adopted: usize,
    /// Of these, those whose dedup key has moved with them.
    pub with_key: usize,
    /// The same conversion was accepted under the new name; nothing was done to them.
    pub duplicates: usize,
    /// A process has them in its hands at this moment; nothing was done to them.
    pub leased: usize,
    /// Over already.
    pub gone: usize,
}

impl Desk {
    /// Gives rows other names.
    ///
    /// # Errors
    /// When the store can't be written; some slices may have been.
    pub fn reassign(&mut self, action: &Action, renames: &[Rename]) -> Result<Reassigned, DeskError> {
        let mut reassigned = Reassigned::default();
        for rename in renames {
            self.in_slices(action, &rename.rows, |slice, row| {
                match reassign(slice, rename, row)? {
                    Reassign::Adopted(key) => {
                        reassigned.adopted += 1;
                        reassigned.with_key += usize::from(key == Renamed::Moved);
                    }
                    Reassign::Duplicate => reassigned.duplicates += 1,
                    Reassign::Leased => reassigned.leased += 1,
                    Reassign::Gone => reassigned.gone += 1,
                }
                Ok(())
            })?;
        }
        Ok(reassigned)
    }
}

enum Reassign {
    Adopted(Renamed),
    Duplicate,
    Leased,
    Gone,
}

/// A row as far as it matters for its names.
struct Found {
    payload: Payload,
    is_leased: bool,
    /// A key that a held row is still to take.
    open_key: Option<DedupKey>,
}

fn reassign(slice: &mut Slice<'_>, rename: &Rename, row: &RowId) -> rusqlite::Result<Reassign> {
    let Some(found) = find(slice.transaction, &rename.from, row)? else { return Ok(Reassign::Gone) };
    if found.is_leased {
        return Ok(Reassign::Leased);
    }
    let (keys, now) = (renamed_keys(rename, &found.payload), clock::now());
    let mut renamed = Renamed::Absent;
    if let Some(id) = EventId::from_slice(&row.0) {
        for (from, to) in &keys {
            renamed = dedup::rename(slice.transaction, id, *from, *to, now)?;
            match renamed {
                Renamed::Moved => break,
                Renamed::Elsewhere => return Ok(Reassign::Duplicate),
                Renamed::Absent => {}
            }
        }
    }
    let open_key = found.open_key.and_then(|open| keys.iter().find(|(from, _)| *from == open)).map(|(_, to)| to);
    let Names { site, conversion, network } = &rename.to;
    slice
        .transaction
        .prepare_cached(
            "UPDATE outbox SET site = ?2, conversion = ?3, network = ?4, next_ms = min(next_ms, ?5) WHERE event_id = ?1",
        )?
        .execute((&row.0, site, conversion, network, now.as_millis()))?;
    slice
        .transaction
        .prepare_cached(
            "UPDATE held SET site = ?2, conversion = ?3, network = ?4, dedup_key = coalesce(?5, dedup_key)
             WHERE event_id = ?1",
        )?
        .execute((&row.0, site, conversion, network, open_key.map(DedupKey::as_bytes)))?;
    slice.changed += 1;
    let is_moved = renamed == Renamed::Moved || open_key.is_some();
    Ok(Reassign::Adopted(if is_moved { Renamed::Moved } else { Renamed::Absent }))
}

fn find(transaction: &Transaction<'_>, names: &Names, row: &RowId) -> rusqlite::Result<Option<Found>> {
    transaction
        .prepare_cached(
            "SELECT payload, lease IS NOT NULL, NULL FROM outbox
             WHERE event_id = ?1 AND site = ?2 AND conversion = ?3 AND network = ?4
             UNION ALL
             SELECT payload, state <> 'incomplete', dedup_key FROM held
             WHERE event_id = ?1 AND site = ?2 AND conversion = ?3 AND network = ?4",
        )?
        .query_row((&row.0, &names.site, &names.conversion, &names.network), |row| {
            let open_key: Option<Vec<u8>> = row.get(2)?;
            Ok(Found {
                payload: serde_json::from_str(&row.get::<_, String>(0)?).unwrap_or_default(),
                is_leased: row.get(1)?,
                open_key: open_key.as_deref().and_then(DedupKey::from_slice),
            })
        })
        .optional()
}

/// The keys that a row may have, each with its new name. Which of its fields tells orders apart, only
/// the configuration of its time knew.
/// The keys that a row with this payload may have, each under the old names and the new.
pub(in crate::store) fn renamed_keys(rename: &Rename, payload: &Payload) -> Vec<(DedupKey, DedupKey)> {
    let both = |make: &dyn Fn(&Names) -> DedupKey| (make(&rename.from), make(&rename.to));
    let once = payload
        .fields
        .values()
        .map(|value| both(&|names: &Names| DedupKey::once(&names.site, &names.conversion, &names.network, value)));
    let clicks = (!payload.clicks.is_empty()).then(|| {
        both(&|names: &Names| DedupKey::clicks(&names.site, &names.conversion, &names.network, &payload.clicks))
    });
    once.chain(clicks).collect()
}
