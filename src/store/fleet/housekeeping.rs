//! Forgetting what is old, a slice at a time; any node may do it, and several at once.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;

use super::{Fleet, FleetError, withdrawal};
use crate::{
    store::{Ended, Retention},
    tracking::timestamp::Timestamp,
};

/// What a round of forgetting did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Postbacks that were withdrawn while a node had them in its hands that never came back.
    pub ended: Vec<Ended>,
    /// Whether there is more to forget right now.
    pub has_more: bool,
}

impl Fleet {
    /// Works on one slice of what is too old; any node may do it.
    pub async fn tidy(&self, retention: Retention, now: Timestamp) -> Result<Tidied, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = tidy(&session, retention, now).await;
            session.end(result)
        })
        .await
    }
}

/// Works on one slice of everything.
async fn tidy(client: &ClientWrapper, retention: Retention, now: Timestamp) -> Result<Tidied, FleetError> {
    let since = |kept: Duration| now.as_millis().saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let dead = since(retention.dead_letters);
    let mut has_more = false;
    for (table, key, condition, limit) in [
        ("throughline_dedup", "key", "expires_ms <= $1", now.as_millis()),
        ("throughline_journeys", "key", "expires_ms <= $1", now.as_millis()),
        ("throughline_history", "event_id", "settled_ms < $1", since(retention.history)),
        ("throughline_outbox", "event_id", "verdict IS NOT NULL AND settled_ms < $1", dead),
        ("throughline_outbox", "event_id", "missing IS NOT NULL AND event_ms < $1", dead),
        ("throughline_erased", "journey", "at_ms < $1", since(retention.journeys)),
        ("throughline_audit", "id", "at_ms < $1", since(AUDIT)),
        ("throughline_deeds", "audit", "at_ms < $1", since(AUDIT)),
        // Records go by this time, too.
        ("throughline_lookup", "event_id", "at_ms < $1", since(retention.history)),
    ] {
        // Rows that another node is about to delete are left to it.
        let statement = client
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE {key} IN (
                     SELECT {key} FROM {table} WHERE {condition} LIMIT {SLICE} FOR UPDATE SKIP LOCKED
                 )"
            ))
            .await?;
        has_more |= client.execute(&statement, &[&limit]).await? >= SLICE;
    }
    has_more |= forget_attempts(client).await? >= SLICE;
    has_more |= forget_hits(client, since(retention.history)).await? >= SLICE;
    Ok(Tidied { ended: withdrawal::finish_abandoned(client).await?, has_more })
}

/// Forgets attempts whose row is nowhere any more. There are few: most postbacks need one.
async fn forget_attempts(client: &ClientWrapper) -> Result<u64, FleetError> {
    let statement = client
        .prepare_cached(&format!(
            "DELETE FROM throughline_attempts WHERE (event_id, slot) IN (
                 SELECT event_id, slot FROM throughline_attempts AS kept
                 WHERE NOT EXISTS (SELECT 1 FROM throughline_outbox WHERE event_id = kept.event_id)
                     AND NOT EXISTS (SELECT 1 FROM throughline_history WHERE event_id = kept.event_id)
                 LIMIT {SLICE}
             )"
        ))
        .await?;
    Ok(client.execute(&statement, &[]).await?)
}

async fn forget_hits(client: &ClientWrapper, kept_from: i64) -> Result<u64, FleetError> {
    let statement = client
        .prepare_cached(&format!(
            "DELETE FROM throughline_hits WHERE (node, number, at_ms) IN (
                 SELECT node, number, at_ms FROM throughline_hits WHERE at_ms < $1 LIMIT {SLICE} FOR UPDATE SKIP LOCKED
             )"
        ))
        .await?;
    Ok(client.execute(&statement, &[&kept_from]).await?)
}

/// How long it is known what operators did.
const AUDIT: Duration = Duration::from_hours(365 * 24);
/// Rows of one statement: far from what would meet the time limit.
const SLICE: u64 = 500;
