//! How much waits on the whole fleet.

use deadpool_postgres::ClientWrapper;

use super::{Fleet, FleetError, NOW_MS};
use crate::{store::inspector::QueueCounts, tracking::timestamp::Timestamp};

impl Fleet {
    /// How much waits, by destination.
    pub async fn gauges(&self) -> Result<Vec<QueueCounts>, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = counts(&session).await;
            session.end(result)
        })
        .await
    }
}

/// How much waits, by destination.
async fn counts(client: &ClientWrapper) -> Result<Vec<QueueCounts>, FleetError> {
    let statement = client
        .prepare_cached(&format!(
            "SELECT site, network, sum(pending)::INT8, sum(due)::INT8, min(oldest), sum(dead)::INT8,
                 sum(incomplete)::INT8 FROM (
                 SELECT site, network, count(*) AS pending,
                     sum(CASE WHEN next_ms <= {NOW_MS} THEN 1 ELSE 0 END) AS due, min(event_ms) AS oldest, 0 AS dead,
                     0 AS incomplete
                 FROM throughline_outbox WHERE verdict IS NULL AND missing IS NULL AND withdrawn_ms IS NULL
                 GROUP BY site, network
                 UNION ALL
                 SELECT site, network, 0, 0, NULL, count(*), 0
                 FROM throughline_outbox WHERE verdict IS NOT NULL GROUP BY site, network
                 UNION ALL
                 SELECT site, network, 0, 0, NULL, 0, count(*)
                 FROM throughline_outbox WHERE verdict IS NULL AND missing IS NOT NULL AND withdrawn_ms IS NULL
                 GROUP BY site, network
             ) AS rows_of GROUP BY site, network ORDER BY site, network"
        ))
        .await?;
    let rows = client.query(&statement, &[]).await?;
    let count = |rows: i64| u64::try_from(rows).unwrap_or(0);
    let counts = rows.iter().map(|row| {
        Ok(QueueCounts {
            site: row.try_get(0)?,
            network: row.try_get(1)?,
            pending: count(row.try_get(2)?),
            due: count(row.try_get(3)?),
            oldest_event: row.try_get::<_, Option<i64>>(4)?.map(Timestamp::from_millis),
            dead: count(row.try_get(5)?),
            incomplete: count(row.try_get(6)?),
        })
    });
    counts.collect()
}
