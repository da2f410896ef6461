//! Forgetting what is old, a slice at a time; any node may do it, and several at once.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;

use super::{FleetError, Tidied, withdrawal};
use crate::{store::Retention, tracking::timestamp::Timestamp};

/// Works on one slice of everything.
pub(super) async fn tidy(client: &ClientWrapper, retention: Retention, now: Timestamp) -> Result<Tidied, FleetError> {
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
    Ok(Tidied { ended: withdrawal::finish_abandoned(client).await?, has_more })
}

/// Rows of one statement: far from what would meet the time limit.
const SLICE: u64 = 500;
