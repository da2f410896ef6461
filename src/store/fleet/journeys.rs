//! What the fleet knows of visitors: each node adds what it learnt.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use deadpool_postgres::{ClientWrapper, Transaction};

use super::{Fleet, FleetError, NOW_MS};
use crate::{
    store::{clock, journeys::merged},
    tracking::{
        journey::{Journey, JourneyKey},
        timestamp::Timestamp,
    },
};

/// What a node learnt about a visitor of a site.
#[derive(Clone, Copy, Debug)]
pub struct JourneyAddition<'a> {
    /// The site's name.
    pub site: &'a str,
    /// Under which it is kept.
    pub keys: &'a [JourneyKey],
    /// What was learnt.
    pub journey: &'a Journey,
    /// When it is forgotten.
    pub expires: Timestamp,
    /// What is older goes on this occasion.
    pub kept: Duration,
}

/// Journeys that the nodes must forget in their own files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Their keys; some may have been told before.
    pub journeys: Vec<JourneyKey>,
    /// Where to go on, by the server's clock.
    pub until: Timestamp,
}

impl Fleet {
    /// Adds to what is known of a visitor, under each of the keys.
    pub async fn remember(
        &self,
        site: &str,
        keys: &[JourneyKey],
        journey: &Journey,
        expires: Timestamp,
        kept: Duration,
    ) -> Result<(), FleetError> {
        self.remember_all(&[JourneyAddition { site, keys, journey, expires, kept }]).await
    }

    /// Adds to what is known of several visitors in one transaction.
    pub async fn remember_all(&self, additions: &[JourneyAddition<'_>]) -> Result<(), FleetError> {
        self.attempt(|| async {
            let mut session = self.session().await?;
            let result = remember(&mut session, additions).await;
            session.end(result)
        })
        .await
    }

    /// What is known under any of these keys; answers at once while the database is away.
    pub async fn recall(&self, keys: &[JourneyKey], now: Timestamp) -> Result<Option<Journey>, FleetError> {
        let (fleet, keys) = (self.clone(), keys.to_vec());
        self.beside(async move {
            let session = fleet.page().await?;
            let result = recall(&session, &keys, now).await;
            session.end(result)
        })
        .await
    }

    /// Forgets journeys, tells the other nodes, and answers with all keys under which they were kept.
    pub async fn forget(&self, keys: &[JourneyKey]) -> Result<Vec<JourneyKey>, FleetError> {
        self.attempt(|| async {
            let mut session = self.session().await?;
            let result = forget(&mut session, keys).await;
            session.end(result)
        })
        .await
    }

    /// What any node forgot since then; begin with the epoch.
    pub async fn news(&self, since: Timestamp) -> Result<News, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = news(&session, since).await;
            session.end(result)
        })
        .await
    }
}

/// A journey as it will stand under one key.
struct Whole<'a> {
    site: &'a str,
    journey: Journey,
    expires: Timestamp,
    kept: Duration,
}

/// Adds to what is known; two nodes that add to one visitor at once both do.
async fn remember(client: &mut ClientWrapper, additions: &[JourneyAddition<'_>]) -> Result<(), FleetError> {
    let mut wholes = BTreeMap::<JourneyKey, Whole<'_>>::new();
    for JourneyAddition { site, keys, journey, expires, kept } in additions {
        for key in *keys {
            let whole = wholes.entry(*key).or_insert_with(|| Whole {
                site,
                journey: Journey::default(),
                expires: *expires,
                kept: *kept,
            });
            whole.journey.merge((*journey).clone());
            whole.expires = whole.expires.max(*expires);
        }
    }
    if wholes.is_empty() {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    // Those that are new are written here; the others are locked by trying to.
    let new = write(&transaction, &wholes, INSERT).await?;
    wholes.retain(|key, _| !new.contains(key));
    if !wholes.is_empty() {
        for (key, known) in lock(&transaction, wholes.keys()).await? {
            if let Some(whole) = wholes.get_mut(&key) {
                whole.journey.merge(known);
            }
        }
        write(&transaction, &wholes, UPDATE).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// The journeys under these keys as one.
async fn recall(client: &ClientWrapper, keys: &[JourneyKey], now: Timestamp) -> Result<Option<Journey>, FleetError> {
    let statement =
        client.prepare_cached("SELECT data FROM throughline_journeys WHERE key = ANY($1) AND expires_ms > $2").await?;
    let rows = client.query(&statement, &[&bytes(keys), &now.as_millis()]).await?;
    // What can't be read counts as unknown.
    let known = rows.iter().filter_map(|row| serde_json::from_str(row.try_get(0).ok()?).ok());
    Ok(merged(known))
}

/// Forgets journeys with all other keys under which they are kept, and tells the other nodes.
async fn forget(client: &mut ClientWrapper, keys: &[JourneyKey]) -> Result<Vec<JourneyKey>, FleetError> {
    let transaction = client.transaction().await?;
    let known = lock(&transaction, keys.iter()).await?;
    let other = known.into_iter().flat_map(|(_, journey)| journey.keys.into_keys());
    let all: BTreeSet<JourneyKey> = other.chain(keys.iter().copied()).collect();
    let all: Vec<JourneyKey> = all.into_iter().collect();
    let delete = transaction.prepare_cached("DELETE FROM throughline_journeys WHERE key = ANY($1)").await?;
    transaction.execute(&delete, &[&bytes(&all)]).await?;
    let tell = transaction
        .prepare_cached(&format!(
            "INSERT INTO throughline_erased (journey, at_ms) SELECT key, {NOW_MS} FROM unnest($1::BYTEA[]) AS new (key)
             ON CONFLICT (journey) DO UPDATE SET at_ms = excluded.at_ms"
        ))
        .await?;
    transaction.execute(&tell, &[&bytes(&all)]).await?;
    transaction.commit().await?;
    Ok(all)
}

/// What other nodes forgot since then, by the server's clock.
async fn news(client: &ClientWrapper, since: Timestamp) -> Result<News, FleetError> {
    let statement = client
        .prepare_cached(&format!(
            "SELECT journey, {NOW_MS} FROM throughline_erased WHERE at_ms > $1::INT8 - {OVERLAP_MS}
             UNION ALL SELECT NULL, {NOW_MS}"
        ))
        .await?;
    let rows = client.query(&statement, &[&since.as_millis()]).await?;
    let mut news = News { journeys: Vec::new(), until: since };
    for row in rows {
        news.until = Timestamp::from_millis(row.try_get(1)?);
        news.journeys.extend(row.try_get::<_, Option<&[u8]>>(0)?.and_then(key));
    }
    Ok(news)
}

/// The journeys under these keys, which nobody else changes until the transaction ends.
async fn lock(
    transaction: &Transaction<'_>,
    keys: impl Iterator<Item = &JourneyKey>,
) -> Result<Vec<(JourneyKey, Journey)>, FleetError> {
    let keys: Vec<JourneyKey> = keys.copied().collect();
    let statement = transaction
        .prepare_cached("SELECT key, data FROM throughline_journeys WHERE key = ANY($1) ORDER BY key FOR UPDATE")
        .await?;
    let rows = transaction.query(&statement, &[&bytes(&keys)]).await?;
    let read = |row: &tokio_postgres::Row| {
        let found: (&[u8], &str) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
        Some((key(found.0)?, serde_json::from_str(found.1).ok()?))
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// Writes journeys in the order of their keys and says under which.
async fn write(
    transaction: &Transaction<'_>,
    wholes: &BTreeMap<JourneyKey, Whole<'_>>,
    sql: &str,
) -> Result<BTreeSet<JourneyKey>, FleetError> {
    let now = clock::now();
    let keys: Vec<JourneyKey> = wholes.keys().copied().collect();
    let sites: Vec<&str> = wholes.values().map(|whole| whole.site).collect();
    let expires: Vec<i64> = wholes.values().map(|whole| whole.expires.as_millis()).collect();
    let data = wholes.values().map(|whole| {
        let mut journey = whole.journey.clone();
        journey.expire(now, whole.kept);
        serde_json::to_string(&journey).map_err(|_| FleetError::refused("a journey can't be written as JSON"))
    });
    let data = data.collect::<Result<Vec<_>, _>>()?;
    let statement = transaction.prepare_cached(sql).await?;
    let rows = transaction.query(&statement, &[&bytes(&keys), &sites, &expires, &data]).await?;
    Ok(rows.iter().filter_map(|row| key(row.try_get(0).ok()?)).collect())
}

fn bytes(keys: &[JourneyKey]) -> Vec<&[u8]> {
    keys.iter().map(|key| key.as_bytes().as_slice()).collect()
}

fn key(bytes: &[u8]) -> Option<JourneyKey> {
    bytes.try_into().ok().map(JourneyKey::from_bytes)
}

const INSERT: &str = "INSERT INTO throughline_journeys (key, site, expires_ms, data)
    SELECT * FROM unnest($1::BYTEA[], $2::TEXT[], $3::INT8[], $4::TEXT[])
    ON CONFLICT (key) DO NOTHING RETURNING key";
const UPDATE: &str = "UPDATE throughline_journeys
    SET site = new.site, expires_ms = greatest(throughline_journeys.expires_ms, new.expires_ms), data = new.data
    FROM unnest($1::BYTEA[], $2::TEXT[], $3::INT8[], $4::TEXT[]) AS new (key, site, expires_ms, data)
    WHERE throughline_journeys.key = new.key RETURNING throughline_journeys.key";
/// A transaction is dated by its beginning and seen at its end, which its timeouts keep close.
const OVERLAP_MS: i64 = 30_000;
