//! What an operator sees and changes of the whole fleet, from any node.
//!
//! Changes are made beside the running nodes, in slices of one transaction each, and every slice is
//! entered in the audit by its transaction. A row that a node has in its hands is left alone and counted.
//! Which rows are chosen is the operator's matter; personal values never reach the audit.

use std::{collections::BTreeMap, future::Future, time::Duration};

use deadpool_postgres::Transaction;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Fleet, FleetError, NOW_MS, session::Session, value::Id};
use crate::{
    store::audit::AuditEntry,
    tracking::{event::EventId, timestamp::Timestamp},
};

mod correction;
mod filter;
mod hits;
mod person;
mod purge;
mod reassign;
mod replay;
mod row;

pub use reassign::Rename;

/// Who does what, for the audit: without personal values.
#[derive(Clone, Copy, Debug)]
pub struct Deed<'a> {
    /// Who acts.
    pub who: &'a str,
    /// The command's word.
    pub word: &'a str,
    /// What it was told.
    pub arguments: &'a str,
}

/// What became of rows that were to be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Changed.
    pub done: usize,
    /// Of these, those that still were to be sent.
    pub pending: usize,
    /// Of these, those whose dedup key has moved with them.
    pub with_key: usize,
    /// A node has them in its hands at this moment; nothing was done to them.
    pub leased: usize,
    /// Too old to be sent; nothing was done to them.
    pub too_old: usize,
    /// Their site, conversion or network is not configured; nothing was done to them.
    pub parked: usize,
    /// The same conversion was accepted under the new name; nothing was done to them.
    pub duplicates: usize,
    /// In another state by now.
    pub gone: usize,
}

/// What an operator did to rows of one destination, for the counters of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `purged` or `replayed`.
    pub deed: String,
    /// The site's name.
    pub site: String,
    /// The network's key.
    pub network: String,
    /// How many rows.
    pub count: u64,
}

impl Fleet {
    /// What operators did, the newest first.
    pub async fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, FleetError> {
        let sql = format!(
            "SELECT at_ms, who, action, arguments, count FROM throughline_audit ORDER BY at_ms DESC LIMIT {limit}"
        );
        self.attempt(|| async {
            let session = self.session().await?;
            let result = session.query(&sql, &[]).await.map_err(FleetError::from);
            session.end(result)?.iter().map(entry).collect()
        })
        .await
    }

    /// Enters in the audit what changes no row.
    pub async fn enter(&self, deed: &Deed<'_>) -> Result<(), FleetError> {
        self.at_leisure(async {
            let mut session = self.session().await?;
            let result = async {
                let transaction = session.transaction().await?;
                enter(&transaction, deed, 1).await?;
                Ok(transaction.commit().await?)
            }
            .await;
            session.end(result)
        })
        .await
    }

    /// Takes out what operators did since anybody last asked: whoever gets it counts it, once on the fleet.
    pub async fn notices(&self) -> Result<Vec<Notice>, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = notices(&session).await;
            session.end(result)
        })
        .await
    }

    /// Changes rows in slices; each is entered in the audit by the transaction that changes it.
    async fn in_slices(
        &self,
        deed: &Deed<'_>,
        rows: &[EventId],
        change: impl AsyncFn(&mut Slice<'_>, &[EventId]) -> Result<(), FleetError>,
    ) -> Result<Tally, FleetError> {
        let mut tally = Tally::default();
        self.at_leisure(async {
            for rows in rows.chunks(SLICE) {
                let mut session = self.session().await?;
                let before = tally.done;
                let result = async {
                    let transaction = session.transaction().await?;
                    let mut slice = Slice {
                        transaction: &transaction,
                        tally: &mut tally,
                        told: BTreeMap::new(),
                        touched: Vec::new(),
                    };
                    change(&mut slice, rows).await?;
                    slice.end(deed, before).await?;
                    Ok(transaction.commit().await?)
                }
                .await;
                session.end(result)?;
            }
            Ok(())
        })
        .await?;
        Ok(tally)
    }

    /// Works longer than a page or a worker may: an operator waits.
    async fn at_leisure<T, F: Future<Output = Result<T, FleetError>>>(&self, work: F) -> Result<T, FleetError> {
        let result = timeout(LEISURE, work).await.unwrap_or_else(|_| Err(FleetError::late()));
        self.note(result.as_ref().err());
        result
    }
}

/// Some of the rows, the transaction that changes them, and what was done so far.
struct Slice<'a> {
    transaction: &'a Transaction<'a>,
    tally: &'a mut Tally,
    /// Site and network of rows that the nodes must count.
    told: BTreeMap<(String, String), i64>,
    /// Rows that were changed.
    touched: Vec<Id>,
}

impl Slice<'_> {
    fn tell(&mut self, site: &str, network: &str) {
        *self.told.entry((site.to_owned(), network.to_owned())).or_default() += 1;
    }

    /// Enters the slice in the audit and has its rows counted.
    async fn end(self, deed: &Deed<'_>, before: usize) -> Result<(), FleetError> {
        for ((site, network), count) in &self.told {
            let statement = self
                .transaction
                .prepare_cached(
                    "INSERT INTO throughline_notices (id, deed, site, network, count) VALUES ($1, $2, $3, $4, $5)",
                )
                .await?;
            let word = if deed.word == "purge" { "purged" } else { "replayed" };
            self.transaction.execute(&statement, &[&Id::from(Uuid::new_v4()), &word, site, network, count]).await?;
        }
        let Some(entry) = enter(self.transaction, deed, self.tally.done - before).await? else { return Ok(()) };
        let statement = format!(
            "INSERT INTO throughline_deeds (audit, event_id, at_ms)
             SELECT $1::UUID, event_id, {NOW_MS} FROM unnest($2::UUID[]) AS touched (event_id)
             ON CONFLICT (audit, event_id) DO NOTHING"
        );
        self.transaction.execute(&statement, &[&entry, &self.touched]).await?;
        Ok(())
    }
}

async fn notices(session: &Session) -> Result<Vec<Notice>, FleetError> {
    let statement = session
        .prepare_cached(
            "DELETE FROM throughline_notices WHERE id IN (
                 SELECT id FROM throughline_notices LIMIT 1000 FOR UPDATE SKIP LOCKED
             ) RETURNING deed, site, network, count",
        )
        .await?;
    let rows = session.query(&statement, &[]).await?;
    let notice = |row: &tokio_postgres::Row| {
        let count = u64::try_from(row.try_get::<_, i64>(3)?).unwrap_or(0);
        Ok(Notice { deed: row.try_get(0)?, site: row.try_get(1)?, network: row.try_get(2)?, count })
    };
    rows.iter().map(notice).collect()
}

fn entry(row: &tokio_postgres::Row) -> Result<AuditEntry, FleetError> {
    Ok(AuditEntry {
        at: Timestamp::from_millis(row.try_get(0)?),
        who: row.try_get(1)?,
        action: row.try_get(2)?,
        arguments: row.try_get(3)?,
        count: u64::try_from(row.try_get::<_, i64>(4)?).unwrap_or(0),
    })
}

/// Lets the statements of a transaction read all there is.
async fn take_time(transaction: &Transaction<'_>) -> Result<(), FleetError> {
    Ok(transaction.batch_execute("SET LOCAL statement_timeout = '30s'").await?)
}

/// Enters a deed in the audit, unless nothing was changed, and yields the entry's id.
async fn enter(transaction: &Transaction<'_>, deed: &Deed<'_>, count: usize) -> Result<Option<Id>, FleetError> {
    if count == 0 {
        return Ok(None);
    }
    let statement = transaction
        .prepare_cached(&format!(
            "INSERT INTO throughline_audit (id, at_ms, who, action, arguments, count)
             VALUES ($1, {NOW_MS}, $2, $3, $4, $5)"
        ))
        .await?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let (who, arguments) = (printable(deed.who, 100), printable(deed.arguments, 1000));
    let id = Id::from(Uuid::new_v4());
    transaction.execute(&statement, &[&id, &who, &deed.word, &arguments, &count]).await?;
    Ok(Some(id))
}

fn printable(text: &str, most: usize) -> String {
    text.chars().filter(|char| !char.is_control()).take(most).collect()
}

fn ids(events: &[EventId]) -> Vec<Id> {
    events.iter().map(|id| (*id).into()).collect()
}

/// Rows of one transaction: a few milliseconds.
const SLICE: usize = 500;
const LEISURE: Duration = Duration::from_mins(10);
