//! What pages ask about postbacks that another node may have sent.

use std::collections::HashMap;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{Fleet, FleetError, outbox, value::Id};
use crate::{store::Fate, tracking::event::EventId};

impl Fleet {
    /// Which of these events must not be sent although somebody may have them in their hands.
    pub async fn withdrawn(&self, ids: &[EventId]) -> Result<Vec<EventId>, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = withdrawn(&session, ids).await;
            session.end(result)
        })
        .await
    }

    /// The verdicts of these events by their words, in their order; answers at once while the database is away.
    pub async fn verdicts(&self, ids: &[EventId]) -> Result<Vec<Option<String>>, FleetError> {
        let (fleet, ids) = (self.clone(), ids.to_vec());
        self.beside(async move {
            let session = fleet.page().await?;
            let result = verdicts(&session, &ids).await;
            session.end(result)
        })
        .await
    }

    /// What became of these events, in their order; answers at once while the database is away.
    pub async fn fates(&self, ids: &[EventId]) -> Result<Vec<Option<Fate>>, FleetError> {
        let (fleet, ids) = (self.clone(), ids.to_vec());
        self.beside(async move {
            let session = fleet.page().await?;
            let result = fates(&session, &ids).await;
            session.end(result)
        })
        .await
    }
}

/// The verdicts of these events by their words, in their order; `None` where there is none.
async fn verdicts(client: &ClientWrapper, ids: &[EventId]) -> Result<Vec<Option<String>>, FleetError> {
    let statement = client
        .prepare_cached(
            "SELECT event_id, verdict FROM throughline_outbox WHERE event_id = ANY($1) AND verdict IS NOT NULL
             UNION ALL SELECT event_id, verdict FROM throughline_history WHERE event_id = ANY($1)",
        )
        .await?;
    let mut found = by_id(client.query(&statement, &[&wanted(ids)]).await?, |row| Ok(Some(row.try_get("verdict")?)))?;
    Ok(ids.iter().map(|id| found.remove(id)).collect())
}

/// What became of these events, in their order; `None` for what the fleet does not know.
async fn fates(client: &ClientWrapper, ids: &[EventId]) -> Result<Vec<Option<Fate>>, FleetError> {
    let columns = "event_id, site, conversion, network, event_ms, verdict, payload";
    let statement = client
        .prepare_cached(&format!(
            "SELECT {columns} FROM throughline_outbox WHERE event_id = ANY($1)
             UNION ALL SELECT {columns} FROM throughline_history WHERE event_id = ANY($1)"
        ))
        .await?;
    let mut found = by_id(client.query(&statement, &[&wanted(ids)]).await?, |row| {
        let Some(event) = outbox::event(row)? else { return Ok(None) };
        Ok(Some(Fate { event, verdict: row.try_get("verdict")? }))
    })?;
    Ok(ids.iter().map(|id| found.remove(id)).collect())
}

/// Which of these events must not be sent although somebody may have them in their hands.
async fn withdrawn(client: &ClientWrapper, ids: &[EventId]) -> Result<Vec<EventId>, FleetError> {
    let statement = client
        .prepare_cached(
            "SELECT event_id FROM throughline_outbox WHERE event_id = ANY($1) AND withdrawn_ms IS NOT NULL
             UNION ALL
             SELECT event_id FROM throughline_history WHERE event_id = ANY($1) AND verdict IN ('withdrawn', 'purged')",
        )
        .await?;
    let rows = client.query(&statement, &[&wanted(ids)]).await?;
    rows.iter().map(|row| Ok(row.try_get::<_, Id>(0)?.event())).collect()
}

fn wanted(ids: &[EventId]) -> Vec<Id> {
    ids.iter().map(|id| (*id).into()).collect()
}

fn by_id<T>(
    rows: Vec<Row>,
    read: impl Fn(&Row) -> Result<Option<T>, FleetError>,
) -> Result<HashMap<EventId, T>, FleetError> {
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        if let Some(value) = read(&row)? {
            found.insert(row.try_get::<_, Id>("event_id")?.event(), value);
        }
    }
    Ok(found)
}
