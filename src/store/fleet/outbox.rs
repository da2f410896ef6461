//! Rows under way: who sends what, and what became of it.
//!
//! A lease is 60 seconds of the server's clock and the id of one attempt. Whoever settles or releases
//! with an id that is no longer in the row (it slept for too long, and another node has the row) changes
//! nothing. A settlement can be repeated when its answer was lost.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Fleet, FleetError, NOW_MS, value::Id};
use crate::{
    store::{LeasedRow, Settlement, clock, row::Place},
    tracking::{
        event::{Event, EventId, Payload},
        timestamp::Timestamp,
    },
};

mod settling;

use settling::settle;

/// Whether a settlement counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// It is in the database, now or from an earlier try.
    Done,
    /// Consent was withdrawn meanwhile, so that it ended instead of being tried again.
    Withdrawn,
    /// The lease had run out and another node has the row, or had: nothing was changed.
    Lost,
}

impl Fleet {
    /// Site, network and time (in ms of this node's clock) of the first row of each destination that
    /// nobody has in hand.
    pub async fn due(&self) -> Result<Vec<(String, String, i64)>, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = due(&session).await;
            session.end(result)
        })
        .await
    }

    /// Leases up to `room` rows (at most 100) of one destination whose time has come, for 60 seconds.
    pub async fn lease(&self, site: &str, network: &str, room: usize) -> Result<Vec<LeasedRow>, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = lease(&session, &self.0.instance, (site, network), room).await;
            session.end(result)
        })
        .await
    }

    /// Records the end of an attempt and gives the lease back; may be repeated when the answer was lost.
    pub async fn settle(&self, settlement: &Settlement) -> Result<Fenced, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = settle(&session, settlement).await;
            session.end(result)
        })
        .await
    }

    /// Gives a lease back unsent; with a time, the row is not due before it.
    pub async fn release(&self, row: &LeasedRow, at: Option<Timestamp>) -> Result<(), FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = release(&session, row, at).await;
            session.end(result)
        })
        .await
    }

    /// Makes rows of one destination due that wait for a later time; says how many, and 0 when all are due.
    pub async fn wake(&self, site: &str, network: &str) -> Result<u64, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = wake(&session, (site, network)).await;
            session.end(result)
        })
        .await
    }

    /// Begins leases anew, and answers with the events that are still ours and may be sent.
    pub async fn extend(&self, rows: &[&LeasedRow]) -> Result<Vec<EventId>, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = extend(&session, rows).await;
            session.end(result)
        })
        .await
    }
}

/// When the first row of each destination can be leased: one seek per destination.
async fn due(client: &ClientWrapper) -> Result<Vec<(String, String, i64)>, FleetError> {
    let statement = client
        .prepare_cached(&format!(
            "SELECT site, network, next_ms - {NOW_MS} FROM throughline_outbox
             WHERE verdict IS NULL AND missing IS NULL AND withdrawn_ms IS NULL
                 AND (lease_until_ms IS NULL OR lease_until_ms < {NOW_MS}) AND (site, network) > ($1, $2)
             ORDER BY site, network, next_ms LIMIT 1"
        ))
        .await?;
    let mut all = Vec::<(String, String, i64)>::new();
    while all.len() < MOST_DESTINATIONS {
        let (site, network) = all.last().map_or(("", ""), |(site, network, _)| (site.as_str(), network.as_str()));
        let Some(row) = client.query_opt(&statement, &[&site, &network]).await? else { break };
        // The server's clock may differ from ours; how long from now does not.
        let next = clock::now().as_millis().saturating_add(row.try_get(2)?);
        all.push((row.try_get(0)?, row.try_get(1)?, next));
    }
    Ok(all)
}

/// Leases rows of one destination that are due and in nobody's hands, the longest due first.
async fn lease(
    client: &ClientWrapper,
    node: &str,
    destination: (&str, &str),
    room: usize,
) -> Result<Vec<LeasedRow>, FleetError> {
    // A common table with row locks is evaluated once; as a subquery it might be several times, and lock more.
    let statement = client
        .prepare_cached(&format!(
            "WITH due AS (
                 SELECT event_id FROM throughline_outbox
                 WHERE site = $1 AND network = $2 AND verdict IS NULL AND missing IS NULL AND withdrawn_ms IS NULL
                     AND next_ms <= {NOW_MS} AND (lease_until_ms IS NULL OR lease_until_ms < {NOW_MS})
                 ORDER BY next_ms LIMIT $3 FOR UPDATE SKIP LOCKED
             )
             UPDATE throughline_outbox SET lease = $4, lease_node = $5, lease_until_ms = {NOW_MS} + {LEASE_MS}
             WHERE event_id IN (SELECT event_id FROM due)
             RETURNING event_id, site, conversion, network, event_ms, attempts, next_ms, revived_ms, payload"
        ))
        .await?;
    let attempt = Uuid::new_v4();
    let limit = i64::try_from(room.min(MOST_LEASED)).unwrap_or(0);
    let mut found =
        client.query(&statement, &[&destination.0, &destination.1, &limit, &Id::from(attempt), &node]).await?;
    found.sort_by_key(|row| row.try_get::<_, i64>("next_ms").unwrap_or_default());
    let mut rows = Vec::with_capacity(found.len());
    for row in found {
        match leased(&row, attempt)? {
            Some(row) => rows.push(row),
            None => bury_unreadable(client, row.try_get("event_id")?, attempt).await?,
        }
    }
    Ok(rows)
}

/// Gives a lease back unsent; with a time, the row is not due before it.
async fn release(client: &ClientWrapper, row: &LeasedRow, at: Option<Timestamp>) -> Result<(), FleetError> {
    let Place::Fleet(attempt) = row.place else { return Ok(()) };
    let delay = at.map(|at| i64::try_from(at.since(clock::now()).as_millis()).unwrap_or(i64::MAX));
    let statement = client
        .prepare_cached(&format!(
            "UPDATE throughline_outbox SET lease = NULL, lease_node = NULL, lease_until_ms = NULL,
                 next_ms = coalesce({NOW_MS} + $3::INT8, next_ms)
             WHERE event_id = $1 AND lease = $2"
        ))
        .await?;
    client.execute(&statement, &[&Id::from(row.event.id), &Id::from(attempt), &delay]).await?;
    Ok(())
}

/// Makes some of the rows due that wait for a later time.
async fn wake(client: &ClientWrapper, destination: (&str, &str)) -> Result<u64, FleetError> {
    let statement = client
        .prepare_cached(&format!(
            "UPDATE throughline_outbox SET next_ms = {NOW_MS} WHERE event_id IN (
                 SELECT event_id FROM throughline_outbox
                 WHERE site = $1 AND network = $2 AND verdict IS NULL AND missing IS NULL AND withdrawn_ms IS NULL
                     AND next_ms > {NOW_MS} AND (lease_until_ms IS NULL OR lease_until_ms < {NOW_MS})
                 LIMIT {MOST_WOKEN}
             ) AND (lease_until_ms IS NULL OR lease_until_ms < {NOW_MS})"
        ))
        .await?;
    Ok(client.execute(&statement, &[&destination.0, &destination.1]).await?)
}

/// Begins leases anew and says which are still ours.
async fn extend(client: &ClientWrapper, rows: &[&LeasedRow]) -> Result<Vec<EventId>, FleetError> {
    let (mut ids, mut attempts) = (Vec::new(), Vec::new());
    for row in rows {
        if let Place::Fleet(attempt) = row.place {
            ids.push(Id::from(row.event.id));
            attempts.push(Id::from(attempt));
        }
    }
    let statement = client
        .prepare_cached(&format!(
            "UPDATE throughline_outbox SET lease_until_ms = {NOW_MS} + {LEASE_MS}
             WHERE (event_id, lease) IN (SELECT * FROM unnest($1::UUID[], $2::UUID[])) AND withdrawn_ms IS NULL
             RETURNING event_id"
        ))
        .await?;
    let rows = client.query(&statement, &[&ids, &attempts]).await?;
    rows.iter().map(|row| Ok(row.try_get::<_, Id>(0)?.event())).collect()
}

/// A row whose columns don't make an event would be leased again and again; a person must see it.
async fn bury_unreadable(client: &ClientWrapper, id: Id, attempt: Uuid) -> Result<(), FleetError> {
    let statement = client
        .prepare_cached(&format!(
            "UPDATE throughline_outbox SET verdict = 'rejected', reason = 'unrenderable', settled_ms = {NOW_MS},
                 lease = NULL, lease_node = NULL, lease_until_ms = NULL
             WHERE event_id = $1 AND lease = $2"
        ))
        .await?;
    client.execute(&statement, &[&id, &Id::from(attempt)]).await?;
    Ok(())
}

fn leased(row: &Row, attempt: Uuid) -> Result<Option<LeasedRow>, FleetError> {
    let Some(event) = event(row)? else { return Ok(None) };
    let attempts = u32::try_from(row.try_get::<_, i32>("attempts")?).unwrap_or(0);
    let revived = row.try_get::<_, Option<i64>>("revived_ms")?.map(Timestamp::from_millis);
    Ok(Some(LeasedRow { event, attempts, revived, place: Place::Fleet(attempt) }))
}

/// The event that a row holds, from whichever table; `None` when it can't be read.
pub(super) fn event(row: &Row) -> Result<Option<Event>, FleetError> {
    let Ok(payload) = serde_json::from_str::<Payload>(row.try_get("payload")?) else { return Ok(None) };
    Ok(Some(Event {
        id: row.try_get::<_, Id>("event_id")?.event(),
        time: Timestamp::from_millis(row.try_get("event_ms")?),
        site: row.try_get::<_, &str>("site")?.into(),
        conversion: row.try_get::<_, &str>("conversion")?.into(),
        network: row.try_get::<_, &str>("network")?.into(),
        payload,
    }))
}

/// Four times what one attempt may last.
const LEASE_MS: i64 = 60_000;
/// Rows of one lease: more would not be sent within it.
const MOST_LEASED: usize = 100;
/// Rows of one transaction that are made due.
const MOST_WOKEN: usize = 500;
/// Names of sites and networks that are no longer configured count, too.
const MOST_DESTINATIONS: usize = 10_000;
