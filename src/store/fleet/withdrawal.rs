//! Ending what must not be sent any more, wherever on the fleet it waits.
//!
//! A row in nobody's hands ends at once. One that a node has in its hands is marked: that node's
//! settlement ends it, or housekeeping when the node never comes back.

use deadpool_postgres::{ClientWrapper, Transaction};
use tokio_postgres::Row;

use super::{Fleet, FleetError, NOW_MS, hits, value::Id};
use crate::{
    store::withdrawal::{Ended, Subject},
    tracking::{
        event::{EventId, Payload},
        journey::JourneyKey,
    },
};

impl Fleet {
    /// The open rows of a site that have one of these clicks (by the network's key) or journeys.
    pub async fn open_rows_of(
        &self,
        site: &str,
        clicks: &[(&str, &str)],
        journeys: &[JourneyKey],
    ) -> Result<Vec<EventId>, FleetError> {
        let clicks = clicks.iter().map(|(network, click)| ((*network).to_owned(), (*click).to_owned())).collect();
        let subject = Subject { site: site.to_owned(), clicks, journeys: journeys.to_vec() };
        self.attempt(|| async {
            let session = self.session().await?;
            let result = find(&session, &subject).await;
            session.end(result)
        })
        .await
    }

    /// Ends open rows; answers with those that ended right now.
    ///
    /// A row that a node has in its hands is marked, and ends when that node settles it.
    pub async fn withdraw(&self, ids: &[EventId]) -> Result<Vec<Ended>, FleetError> {
        self.attempt(|| async {
            let mut session = self.session().await?;
            let result = end(&mut session, ids).await;
            session.end(result)
        })
        .await
    }
}

/// The open rows that tell of this visitor.
///
/// The server looks for texts that every such row holds, and what it finds is read exactly here.
async fn find(client: &ClientWrapper, subject: &Subject) -> Result<Vec<EventId>, FleetError> {
    let clicks = subject.clicks.iter().filter_map(|(_, click)| serde_json::to_string(click).ok());
    let journeys = subject.journeys.iter().filter_map(|key| serde_json::to_string(key).ok());
    let texts: Vec<String> = clicks.chain(journeys).collect();
    let statement = client
        .prepare_cached(&format!(
            "SELECT event_id, network, payload FROM throughline_outbox
             WHERE event_id > $1 AND site = $2 AND verdict IS NULL AND withdrawn_ms IS NULL
                 AND EXISTS (SELECT 1 FROM unnest($3::TEXT[]) AS told (part) WHERE strpos(payload, told.part) > 0)
             ORDER BY event_id LIMIT {SLICE}"
        ))
        .await?;
    let (mut found, mut last) = (Vec::new(), Id([0; 16]));
    loop {
        let rows = client.query(&statement, &[&last, &subject.site, &texts]).await?;
        for row in &rows {
            last = row.try_get(0)?;
            found.extend(is_told_of(subject, row)?.then(|| last.event()));
        }
        if rows.len() < SLICE {
            return Ok(found);
        }
    }
}

async fn end(client: &mut ClientWrapper, ids: &[EventId]) -> Result<Vec<Ended>, FleetError> {
    let ids: Vec<Id> = ids.iter().map(|id| (*id).into()).collect();
    let transaction = client.transaction().await?;
    let ended = end_in(&transaction, &ids).await?;
    transaction.commit().await?;
    Ok(ended)
}

/// Ends open rows and empties them; answers with the postbacks that counted and ended right now.
///
/// An incomplete conversion never was a postback. Doing it twice changes nothing.
pub(super) async fn end_in(transaction: &Transaction<'_>, ids: &[Id]) -> Result<Vec<Ended>, FleetError> {
    let mark = transaction
        .prepare_cached(&format!(
            "UPDATE throughline_outbox SET withdrawn_ms = {NOW_MS}, payload = '{{}}', last_answer = NULL
             WHERE event_id = ANY($1) AND verdict IS NULL AND withdrawn_ms IS NULL"
        ))
        .await?;
    transaction.execute(&mark, &[&ids]).await?;
    transaction.execute("DELETE FROM throughline_attempts WHERE event_id = ANY($1)", &[&ids]).await?;
    hits::empty(transaction, ids).await?;
    let finish = transaction.prepare_cached(&finish("event_id = ANY($1)")).await?;
    ended(&transaction.query(&finish, &[&ids]).await?)
}

/// Ends marked rows whose node never came back.
pub(super) async fn finish_abandoned(client: &ClientWrapper) -> Result<Vec<Ended>, FleetError> {
    let abandoned = format!(
        "event_id IN (SELECT event_id FROM throughline_outbox
             WHERE withdrawn_ms IS NOT NULL AND verdict IS NULL LIMIT {SLICE} FOR UPDATE SKIP LOCKED)"
    );
    let statement = client.prepare_cached(&finish(&abandoned)).await?;
    ended(&client.query(&statement, &[]).await?)
}

/// Moves marked rows that are in nobody's hands into the history.
fn finish(which: &str) -> String {
    format!(
        "WITH gone AS (
             DELETE FROM throughline_outbox WHERE {which} AND withdrawn_ms IS NOT NULL AND verdict IS NULL
                 AND (lease_until_ms IS NULL OR lease_until_ms < {NOW_MS})
             RETURNING event_id, site, conversion, network, event_ms, attempts, missing
         ), kept AS (
             INSERT INTO throughline_history
                 (event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, payload)
             SELECT event_id, site, conversion, network, event_ms, {NOW_MS}, attempts, 'withdrawn', '{{}}' FROM gone
             ON CONFLICT (event_id) DO NOTHING
         )
         SELECT site, network FROM gone WHERE missing IS NULL"
    )
}

fn ended(rows: &[Row]) -> Result<Vec<Ended>, FleetError> {
    rows.iter().map(|row| Ok(Ended { site: row.try_get(0)?, network: row.try_get(1)? })).collect()
}

fn is_told_of(subject: &Subject, row: &Row) -> Result<bool, FleetError> {
    let network: &str = row.try_get(1)?;
    let Ok(payload) = serde_json::from_str::<Payload>(row.try_get(2)?) else { return Ok(false) };
    Ok(subject.is_told_by(network, &payload))
}

/// Rows of one look.
const SLICE: usize = 1000;
