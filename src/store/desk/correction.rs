//! Completing an incomplete conversion: what the page did not show, a person may know.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior};

use super::{Desk, DeskError};
use crate::{
    store::{
        audit::{Action, Entry},
        clock,
        dedup::{self, Taken},
        held,
        inspector::names,
        lookup,
        outbox::json,
    },
    tracking::event::{Datum, Dedup, EventId, Payload},
};

/// What an operator knows about an incomplete conversion.
#[derive(Clone, Debug, Default)]
pub struct Correction {
    /// Fields and their new values.
    pub fields: BTreeMap<String, String>,
    /// A click ID, the newest.
    pub click: Option<String>,
    /// The names that no longer are missing.
    pub provided: Vec<String>,
    /// Tells it from other conversions, unless something does already.
    pub key: Option<Dedup>,
}

/// What a correction led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Corrected {
    /// These names are still missing.
    Incomplete(Vec<String>),
    /// It will be sent.
    Queued,
    /// Another conversion has this key; nothing was changed.
    Duplicate,
    /// No incomplete conversion has this event id.
    Unknown,
}

impl Desk {
    /// Completes an incomplete conversion; when nothing is missing any more, it will be sent.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn correct(&mut self, id: EventId, correction: &Correction) -> Result<Corrected, DeskError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let corrected = correct(&transaction, id, correction)?;
        if matches!(corrected, Corrected::Incomplete(_) | Corrected::Queued) {
            let names: Vec<_> = correction.provided.iter().map(String::as_str).collect();
            let action = Action { word: "set", arguments: format!("{id} {}", names.join(" ")) };
            Entry::new(&self.actor, &action).add(&transaction, 1, clock::now())?;
            transaction.commit()?;
        }
        Ok(corrected)
    }
}

fn correct(transaction: &Transaction<'_>, id: EventId, correction: &Correction) -> rusqlite::Result<Corrected> {
    let row = transaction
        .prepare(
            "SELECT missing, payload, key_taken, dedup_key, dedup_window_ms FROM held
             WHERE event_id = ?1 AND state = 'incomplete'",
        )?
        .query_row([id.as_bytes()], |row| {
            let (missing, payload): (String, String) = (row.get(0)?, row.get(1)?);
            Ok((missing, payload, row.get::<_, bool>(2)?, held::dedup_of(row.get(3)?, row.get(4)?)))
        })
        .optional()?;
    let Some((missing, payload, key_is_taken, open_key)) = row else { return Ok(Corrected::Unknown) };
    let payload = corrected_payload(serde_json::from_str(&payload).unwrap_or_default(), correction);
    let missing: Vec<_> = names(&missing).into_iter().filter(|name| !correction.provided.contains(name)).collect();
    // What the operator says about the order is better than what the page said before its end.
    let key = correction.key.or(open_key).filter(|_| !key_is_taken);
    if let Some(key) = key.filter(|_| missing.is_empty() || correction.key.is_some())
        && dedup::take(transaction, id, key, clock::now())? == Taken::Elsewhere
    {
        return Ok(Corrected::Duplicate);
    }
    let learnt = correction.fields.get("order_id").into_iter().chain(&correction.click);
    learnt.into_iter().try_for_each(|text| lookup::add(transaction, id, text))?;
    let takes_key = correction.key.is_some() && key.is_some();
    transaction
        .prepare(
            "UPDATE held SET missing = ?2, payload = ?3, key_taken = key_taken OR ?4,
                    dedup_key = CASE WHEN ?4 THEN NULL ELSE dedup_key END WHERE event_id = ?1",
        )?
        .execute((id.as_bytes(), missing.join(","), json(&payload)?, takes_key))?;
    if missing.is_empty() {
        held::queue(transaction, id)?;
        return Ok(Corrected::Queued);
    }
    Ok(Corrected::Incomplete(missing))
}

pub(in crate::store) fn corrected_payload(mut payload: Payload, correction: &Correction) -> Payload {
    for (name, text) in &correction.fields {
        // Parameters come first when names are looked up.
        match payload.parameters.get_mut(name) {
            Some(parameter) => *parameter = Datum::One(text.clone()),
            None => drop(payload.fields.insert(name.clone(), text.clone())),
        }
    }
    payload.clicks.extend(correction.click.clone());
    payload
}
