//! The keys that make a conversion count once on the whole fleet.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::{ClientWrapper, Transaction};

use super::{Fleet, FleetError, value::Id};
use crate::{
    store::{Accepted, Claim, dedup::Taken},
    tracking::event::{Dedup, DedupKey, EventId},
    tracking::timestamp::Timestamp,
};

/// A key to take, and for whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taking {
    pub(super) key: DedupKey,
    pub(super) event_id: EventId,
    pub(super) accepted_ms: i64,
    pub(super) expires_ms: i64,
}

impl Taking {
    pub(super) fn new(event_id: EventId, dedup: Dedup, time: Timestamp) -> Self {
        let expires_ms = time.plus(dedup.window).as_millis();
        Self { key: dedup.key, event_id, accepted_ms: time.as_millis(), expires_ms }
    }
}

impl From<&Claim> for Taking {
    fn from(claim: &Claim) -> Self {
        Self::new(claim.event_id, claim.dedup, claim.time)
    }
}

impl Fleet {
    /// Takes dedup keys without rows; the answers are in their order.
    pub async fn claim(&self, claims: &[Claim]) -> Result<Vec<Accepted>, FleetError> {
        let takings: Vec<_> = claims.iter().map(Taking::from).collect();
        let taken = self.take(&takings).await?;
        let accepted = taken.into_iter().map(|taken| match taken {
            Taken::Now | Taken::Before => Accepted::Queued,
            Taken::Elsewhere => Accepted::Duplicate,
        });
        Ok(accepted.collect())
    }

    /// Gives claimed keys back; those that another event has taken meanwhile stay taken.
    pub async fn give_back(&self, claims: &[(EventId, DedupKey)]) -> Result<(), FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = give_back(&session, claims).await;
            session.end(result)
        })
        .await
    }

    /// Takes over keys that a node accepted before it joined: key, event, when accepted, until when (in ms).
    pub async fn adopt_keys(&self, keys: &[(DedupKey, EventId, i64, i64)]) -> Result<(), FleetError> {
        let taking = |(key, event_id, accepted_ms, expires_ms): &_| Taking {
            key: *key,
            event_id: *event_id,
            accepted_ms: *accepted_ms,
            expires_ms: *expires_ms,
        };
        self.take(&keys.iter().map(taking).collect::<Vec<_>>()).await.map(drop)
    }

    async fn take(&self, takings: &[Taking]) -> Result<Vec<Taken>, FleetError> {
        self.attempt(|| async {
            let mut session = self.session().await?;
            let result = claim(&mut session, takings).await;
            session.end(result)
        })
        .await
    }
}

/// Takes keys without rows.
async fn claim(client: &mut ClientWrapper, all: &[Taking]) -> Result<Vec<Taken>, FleetError> {
    let transaction = client.transaction().await?;
    let taken = take(&transaction, all).await?;
    transaction.commit().await?;
    Ok(taken)
}

/// Takes keys, each unless another event holds it; an expired key is free. The answers are in their order.
pub(super) async fn take(transaction: &Transaction<'_>, all: &[Taking]) -> Result<Vec<Taken>, FleetError> {
    let mut answers = vec![Taken::Elsewhere; all.len()];
    let mut waiting: Vec<usize> = (0..all.len()).collect();
    while !waiting.is_empty() {
        // One statement must not meet a key twice; the second comes after the first, as it did before.
        let mut round = BTreeMap::new();
        waiting.retain(|index| {
            let Some(taking) = all.get(*index) else { return false };
            let is_first = !round.contains_key(taking.key.as_bytes());
            if is_first {
                round.insert(*taking.key.as_bytes(), (*index, *taking));
            }
            !is_first
        });
        let takings: Vec<_> = round.values().map(|(_, taking)| *taking).collect();
        let taken = take_round(transaction, &takings).await?;
        for ((index, _), taken) in round.values().zip(taken) {
            if let Some(answer) = answers.get_mut(*index) {
                *answer = taken;
            }
        }
    }
    Ok(answers)
}

/// Takes keys that are all different and in ascending order, so that two nodes never wait for each other.
async fn take_round(transaction: &Transaction<'_>, all: &[Taking]) -> Result<Vec<Taken>, FleetError> {
    let keys: Vec<&[u8]> = all.iter().map(|taking| taking.key.as_bytes().as_slice()).collect();
    let ids: Vec<Id> = all.iter().map(|taking| taking.event_id.into()).collect();
    let accepted: Vec<i64> = all.iter().map(|taking| taking.accepted_ms).collect();
    let expires: Vec<i64> = all.iter().map(|taking| taking.expires_ms).collect();
    let insert = transaction
        .prepare_cached(
            "INSERT INTO throughline_dedup (key, event_id, accepted_ms, expires_ms)
             SELECT * FROM unnest($1::BYTEA[], $2::UUID[], $3::INT8[], $4::INT8[])
             ON CONFLICT (key) DO UPDATE
             SET event_id = excluded.event_id, accepted_ms = excluded.accepted_ms, expires_ms = excluded.expires_ms
             WHERE throughline_dedup.expires_ms <= excluded.accepted_ms
                 AND throughline_dedup.event_id <> excluded.event_id
             RETURNING key",
        )
        .await?;
    let rows = transaction.query(&insert, &[&keys, &ids, &accepted, &expires]).await?;
    let now = rows.iter().map(|row| row.try_get(0)).collect::<Result<BTreeSet<Vec<u8>>, _>>()?;
    let rest: Vec<&[u8]> = keys.iter().filter(|key| !now.contains(**key)).copied().collect();
    let holders = if rest.is_empty() { HashMap::new() } else { holders(transaction, &rest).await? };
    let taken = |taking: &Taking| {
        let key = taking.key.as_bytes().as_slice();
        if now.contains(key) {
            return Ok(Taken::Now);
        }
        match holders.get(key) {
            Some(holder) if *holder == taking.event_id => Ok(Taken::Before),
            Some(_) => Ok(Taken::Elsewhere),
            // The conflict has locked it, so it can't be gone.
            None => Err(FleetError::conflict("a dedup key has vanished")),
        }
    };
    all.iter().map(taken).collect()
}

async fn holders(transaction: &Transaction<'_>, keys: &[&[u8]]) -> Result<HashMap<Vec<u8>, EventId>, FleetError> {
    let select = transaction.prepare_cached("SELECT key, event_id FROM throughline_dedup WHERE key = ANY($1)").await?;
    let rows = transaction.query(&select, &[&keys]).await?;
    let holder = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get::<_, Id>(1)?.event()));
    rows.iter().map(holder).collect()
}

/// Gives keys back that are still these events'.
async fn give_back(client: &ClientWrapper, claims: &[(EventId, DedupKey)]) -> Result<(), FleetError> {
    let ids: Vec<Id> = claims.iter().map(|(id, _)| (*id).into()).collect();
    let keys: Vec<&[u8]> = claims.iter().map(|(_, key)| key.as_bytes().as_slice()).collect();
    let delete = client
        .prepare_cached(
            "DELETE FROM throughline_dedup
             WHERE (key, event_id) IN (SELECT * FROM unnest($1::BYTEA[], $2::UUID[]))",
        )
        .await?;
    client.execute(&delete, &[&keys, &ids]).await?;
    Ok(())
}
