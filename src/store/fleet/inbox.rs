//! Accepting what a node has accepted: dedup key and row are one transaction.

use std::collections::BTreeSet;

use deadpool_postgres::{ClientWrapper, Transaction};
use serde_json::to_string;

use super::{
    Fleet, FleetError, NOW_MS,
    keys::{self, Taking},
    value::Id,
};
use crate::{
    store::dedup::Taken,
    tracking::event::{Dedup, Event},
};

/// A row that a node has accepted.
#[derive(Clone, Copy, Debug)]
pub struct ForwardRow<'a> {
    /// What happened.
    pub event: &'a Event,
    /// What makes it the same conversion as another one.
    pub key: Option<Dedup>,
    /// The names without a value, of a row that waits for a person; empty sends it.
    pub missing: &'a [String],
}

/// What became of a [`ForwardRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// The fleet has it, since now.
    Queued,
    /// The fleet has it, since an earlier try.
    Known,
    /// Another conversion holds its key.
    Duplicate,
    /// The fleet had it, and it ended at once: its visitor withdrew consent at another node meanwhile.
    Withdrawn,
}

impl Fleet {
    /// Accepts rows, each once however often it is forwarded, in one transaction; the answers are in their order.
    pub async fn forward(&self, rows: &[ForwardRow<'_>]) -> Result<Vec<Forwarded>, FleetError> {
        self.attempt(|| async {
            let mut session = self.session().await?;
            let result = forward(&mut session, rows).await;
            session.end(result)
        })
        .await
    }
}

/// Accepts rows, each once, however often they are forwarded. The answers are in their order.
pub(super) async fn forward(client: &mut ClientWrapper, rows: &[ForwardRow<'_>]) -> Result<Vec<Forwarded>, FleetError> {
    let transaction = client.transaction().await?;
    let keyed = rows.iter().filter_map(|row| Some(Taking::new(row.event.id, row.key?, row.event.time)));
    let mut taken = keys::take(&transaction, &keyed.collect::<Vec<_>>()).await?.into_iter();
    let is_duplicate: Vec<bool> =
        rows.iter().map(|row| row.key.is_some() && taken.next() == Some(Taken::Elsewhere)).collect();
    let welcome: Vec<_> = rows.iter().zip(&is_duplicate).filter(|(_, is)| !**is).map(|(row, _)| row).collect();
    let mut new = if welcome.is_empty() { BTreeSet::new() } else { insert(&transaction, &welcome).await? };
    // Only now: a row that was inserted, sent and settled meanwhile is in the history for sure.
    for over in remove_known(&transaction, &new).await? {
        new.remove(&over);
    }
    let withdrawn = withdraw(&transaction, rows, &new).await?;
    transaction.commit().await?;
    let forwarded = rows.iter().zip(is_duplicate).map(|(row, is_duplicate)| {
        let id = Id::from(row.event.id);
        match (is_duplicate, new.remove(&id)) {
            (true, _) => Forwarded::Duplicate,
            (false, true) if withdrawn.contains(&id) => Forwarded::Withdrawn,
            (false, true) => Forwarded::Queued,
            (false, false) => Forwarded::Known,
        }
    });
    Ok(forwarded.collect())
}

/// Inserts rows and says which were not there. A page of a node whose clock is ahead is due now.
async fn insert(transaction: &Transaction<'_>, rows: &[&ForwardRow<'_>]) -> Result<BTreeSet<Id>, FleetError> {
    let ids: Vec<Id> = rows.iter().map(|row| row.event.id.into()).collect();
    let sites: Vec<&str> = rows.iter().map(|row| &*row.event.site).collect();
    let conversions: Vec<&str> = rows.iter().map(|row| &*row.event.conversion).collect();
    let networks: Vec<&str> = rows.iter().map(|row| &*row.event.network).collect();
    let times: Vec<i64> = rows.iter().map(|row| row.event.time.as_millis()).collect();
    let missing: Vec<Option<String>> =
        rows.iter().map(|row| (!row.missing.is_empty()).then(|| row.missing.join(","))).collect();
    let payloads = rows.iter().map(|row| to_string(&row.event.payload).map_err(|_| unwritable()));
    let payloads = payloads.collect::<Result<Vec<_>, _>>()?;
    let statement = transaction
        .prepare_cached(&format!(
            "INSERT INTO throughline_outbox (event_id, site, conversion, network, event_ms, next_ms, missing, payload)
             SELECT id, site, conversion, network, event_ms, least(event_ms, {NOW_MS}), missing, payload
             FROM unnest($1::UUID[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::INT8[], $6::TEXT[], $7::TEXT[])
                 AS new (id, site, conversion, network, event_ms, missing, payload)
             ON CONFLICT (event_id) DO NOTHING RETURNING event_id"
        ))
        .await?;
    let found =
        transaction.query(&statement, &[&ids, &sites, &conversions, &networks, &times, &missing, &payloads]).await?;
    Ok(found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Removes again what is over already, and says what it was.
async fn remove_known(transaction: &Transaction<'_>, new: &BTreeSet<Id>) -> Result<Vec<Id>, FleetError> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Id> = new.iter().copied().collect();
    let statement = transaction
        .prepare_cached(
            "DELETE FROM throughline_outbox WHERE event_id = ANY($1)
                 AND event_id IN (SELECT event_id FROM throughline_history WHERE event_id = ANY($1))
             RETURNING event_id",
        )
        .await?;
    let rows = transaction.query(&statement, &[&ids]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Ends new rows of visitors who withdrew their consent at another node before the rows came here.
async fn withdraw(
    transaction: &Transaction<'_>,
    rows: &[ForwardRow<'_>],
    new: &BTreeSet<Id>,
) -> Result<BTreeSet<Id>, FleetError> {
    let (mut ids, mut journeys, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows.iter().filter(|row| new.contains(&row.event.id.into())) {
        for journey in &row.event.payload.visitor {
            ids.push(Id::from(row.event.id));
            journeys.push(journey.as_bytes().as_slice());
            times.push(row.event.time.as_millis());
        }
    }
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let statement = transaction
        .prepare_cached(&format!(
            "WITH gone AS (
                 DELETE FROM throughline_outbox WHERE event_id IN (
                     SELECT new.id FROM unnest($1::UUID[], $2::BYTEA[], $3::INT8[]) AS new (id, journey, event_ms)
                     JOIN throughline_erased ON throughline_erased.journey = new.journey
                     WHERE at_ms >= new.event_ms
                 ) RETURNING event_id, site, conversion, network, event_ms
             )
             INSERT INTO throughline_history
                 (event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, payload)
             SELECT event_id, site, conversion, network, event_ms, {NOW_MS}, 0, 'withdrawn', '{{}}' FROM gone
             RETURNING event_id"
        ))
        .await?;
    let found = transaction.query(&statement, &[&ids, &journeys, &times]).await?;
    Ok(found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

fn unwritable() -> FleetError {
    FleetError::refused("a conversion can't be written as JSON")
}
