//! Erasing a person: what is stored of them goes, and that an order was counted stays.
//!
//! The dedup keys are hashes that lead to nobody, and without them a reload of the thank-you page
//! would bring everything back.

use std::collections::BTreeMap;

use rusqlite::{Transaction, TransactionBehavior};

use super::{Desk, DeskError};
use crate::{
    store::{
        attempts,
        audit::{Action, Entry},
        clock, hits,
        inspector::{Known, RowDetail, RowState},
        journeys,
        withdrawal::{self, Announcement},
    },
    tracking::{event::EventId, journey::JourneyKey, timestamp::Timestamp},
};

/// What was erased, and what was beyond reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Conversions that had not been sent and will not be.
    pub unsent: usize,
    /// Conversions in the history and dead letters, of which only time, rule and verdict are left.
    pub emptied: usize,
    /// Hits without such a conversion, of which only time, rule and outcome are left.
    pub hits: usize,
    /// Keys under which journeys were kept.
    pub journeys: usize,
    /// Postbacks that networks may have, by network.
    pub sent: BTreeMap<String, usize>,
}

impl Desk {
    /// Erases what was found of a person, in one transaction; `by` says how they were found, not who it is.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn erase(&mut self, known: &Known, by: &str) -> Result<Receipt, DeskError> {
        self.delete_securely()?;
        let now = clock::now();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut receipt = Receipt::default();
        for row in &known.rows {
            erase(&transaction, row, now, &mut receipt)?;
        }
        receipt.hits = known.hits_alone();
        for hit in &known.hits {
            hits::empty(&transaction, hit.event_id.as_bytes())?;
        }
        let keys: Vec<JourneyKey> = known.journeys.iter().map(|known| known.key).collect();
        for key in journeys::with_other_keys(&transaction, &keys)? {
            journeys::forget(&transaction, key)?;
            Announcement::Journey(key).write(&transaction, now)?;
            receipt.journeys += 1;
        }
        let action = Action { word: "erase", arguments: by.to_owned() };
        let changed = receipt.unsent + receipt.emptied + receipt.hits + receipt.journeys;
        Entry::new(&self.actor, &action).add(&transaction, changed, now)?;
        transaction.commit()?;
        self.empty_log();
        Ok(receipt)
    }
}

fn erase(
    transaction: &Transaction<'_>,
    row: &RowDetail,
    now: Timestamp,
    receipt: &mut Receipt,
) -> rusqlite::Result<()> {
    // Without its id, a row can't be told from others; nothing reads it either.
    let Some(id) = row.summary.event_id else { return Ok(()) };
    match row.summary.state {
        // It may have been settled since it was found.
        RowState::Pending | RowState::Candidate | RowState::Incomplete => {
            let ended = withdrawal::end(transaction, id, NOBODY, now)?;
            if ended.is_some() {
                Announcement::Uncounted(id).write(transaction, now)?;
            }
            receipt.unsent += 1;
        }
        RowState::Owed => {
            withdrawal::end(transaction, id, NOBODY, now)?;
            receipt.emptied += 1;
        }
        RowState::Dead | RowState::Settled => receipt.emptied += 1,
    }
    empty(transaction, id)?;
    if row.summary.attempts > 0 {
        *receipt.sent.entry(row.summary.network.clone()).or_default() += 1;
    }
    Ok(())
}

/// Leaves of a dead letter, or of what is in the history, that it was.
fn empty(transaction: &Transaction<'_>, id: EventId) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO history (event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, reason, payload)
             SELECT event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, reason, '{}'
             FROM outbox WHERE event_id = ?1 AND verdict IS NOT NULL",
        )?
        .execute([id.as_bytes()])?;
    transaction.prepare_cached("DELETE FROM outbox WHERE event_id = ?1")?.execute([id.as_bytes()])?;
    transaction
        .prepare_cached("UPDATE history SET payload = '{}', last_answer = NULL WHERE event_id = ?1")?
        .execute([id.as_bytes()])?;
    hits::empty(transaction, id.as_bytes())?;
    attempts::empty(transaction, id.as_bytes())
}

/// No process has this id: whoever has a row in its hands must be told.
const NOBODY: &str = "";
