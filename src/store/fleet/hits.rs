//! Records of hits, as the nodes hand them over.

use deadpool_postgres::{ClientWrapper, Transaction};
use uuid::Uuid;

use super::{Fleet, FleetError, value::Id};
use crate::store::{departure::DepartingHit, housekeeping::HITS_KEPT, lookup};

impl Fleet {
    /// Takes over records of a node, each once however often it is handed over.
    pub(in crate::store) async fn take_hits(&self, node: [u8; 16], hits: &[DepartingHit]) -> Result<(), FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let result = insert(&session, node, hits).await;
            session.end(result)
        })
        .await
    }
}

/// Keeps what was learnt of a hit later, if there is a record of it.
pub(super) async fn learn(transaction: &Transaction<'_>, id: Id, text: &str) -> Result<(), FleetError> {
    let statement = "INSERT INTO throughline_lookup (key, event_id, at_ms)
         SELECT $1, event_id, at_ms FROM throughline_hits WHERE event_id = $2 LIMIT 1
         ON CONFLICT (key, event_id) DO NOTHING";
    transaction.execute(statement, &[&lookup::key(text).as_slice(), &id]).await?;
    Ok(())
}

/// Leaves of records that they were.
pub(super) async fn empty(transaction: &Transaction<'_>, ids: &[Id]) -> Result<(), FleetError> {
    let statement = transaction
        .prepare_cached(
            "UPDATE throughline_hits SET order_id = NULL, clicks = NULL, value = NULL, currency = NULL, details = NULL
             WHERE event_id = ANY($1)",
        )
        .await?;
    transaction.execute(&statement, &[&ids]).await?;
    transaction.execute("DELETE FROM throughline_lookup WHERE event_id = ANY($1)", &[&ids]).await?;
    Ok(())
}

/// What was forgotten of a row before its record came here is not told by the record.
async fn insert(client: &ClientWrapper, node: [u8; 16], hits: &[DepartingHit]) -> Result<(), FleetError> {
    let Some(last) = hits.last() else { return Ok(()) };
    let node = Id::from(Uuid::from_bytes(node));
    let numbers: Vec<i64> = hits.iter().map(|hit| hit.number).collect();
    let times: Vec<i64> = hits.iter().map(|hit| hit.time.as_millis()).collect();
    let ids: Vec<Option<Id>> = hits.iter().map(|hit| hit.event_id.map(Id::from)).collect();
    let texts = |of: fn(&DepartingHit) -> &str| hits.iter().map(|hit| text(of(hit))).collect::<Vec<_>>();
    let may_be = |of: fn(&DepartingHit) -> &Option<String>| {
        hits.iter().map(|hit| of(hit).as_deref().map(text)).collect::<Vec<_>>()
    };
    let statement = client
        .prepare_cached(
            "INSERT INTO throughline_hits (node, number, at_ms, site, conversion, network, outcome, reason, event_id,
                 order_id, clicks, value, currency, details)
             SELECT $1::UUID, number, at_ms, site, conversion, network, outcome, reason, id,
                 CASE WHEN gone THEN NULL ELSE order_id END, CASE WHEN gone THEN NULL ELSE clicks END,
                 CASE WHEN gone THEN NULL ELSE value END, CASE WHEN gone THEN NULL ELSE currency END,
                 CASE WHEN gone THEN NULL ELSE details END
             FROM (
                 SELECT new.*, EXISTS (SELECT 1 FROM throughline_history WHERE event_id = new.id AND payload = '{}')
                     OR EXISTS (SELECT 1 FROM throughline_outbox WHERE event_id = new.id AND payload = '{}') AS gone
                 FROM unnest($2::INT8[], $3::INT8[], $4::UUID[], $5::TEXT[], $6::TEXT[], $7::TEXT[], $8::TEXT[],
                     $9::TEXT[], $10::TEXT[], $11::TEXT[], $12::TEXT[], $13::TEXT[], $14::TEXT[])
                     AS new (number, at_ms, id, site, conversion, network, outcome, reason, order_id, clicks, value,
                         currency, details)
             ) AS known ON CONFLICT (node, number, at_ms) DO NOTHING",
        )
        .await?;
    let columns = [
        texts(|hit| &hit.site).into_iter().map(Some).collect(),
        texts(|hit| &hit.conversion).into_iter().map(Some).collect(),
        texts(|hit| &hit.network).into_iter().map(Some).collect(),
        texts(|hit| &hit.outcome).into_iter().map(Some).collect(),
        may_be(|hit| &hit.reason),
        may_be(|hit| &hit.order_id),
        may_be(|hit| &hit.clicks),
        may_be(|hit| &hit.value),
        may_be(|hit| &hit.currency),
        may_be(|hit| &hit.details),
    ];
    let [site, conversion, network, outcome, reason, order_id, clicks, value, currency, details] = &columns;
    client
        .execute(
            &statement,
            &[
                &node, &numbers, &times, &ids, site, conversion, network, outcome, reason, order_id, clicks, value,
                currency, details,
            ],
        )
        .await?;
    insert_keys(client, hits).await?;
    // As many as a store that is alone keeps: a flood of bots must not fill the disk.
    let old = client.prepare_cached("DELETE FROM throughline_hits WHERE node = $1 AND number <= $2").await?;
    client.execute(&old, &[&node, &last.number.saturating_sub(HITS_KEPT)]).await?;
    Ok(())
}

/// Keeps what people look for these records by, unless it was forgotten before they came.
async fn insert_keys(client: &ClientWrapper, hits: &[DepartingHit]) -> Result<(), FleetError> {
    let (mut keys, mut ids, mut times) = (Vec::new(), Vec::<Id>::new(), Vec::new());
    for hit in hits {
        let Some(id) = hit.event_id else { continue };
        let clicks = hit.clicks.iter().flat_map(|clicks| clicks.split(' ')).filter(|click| !click.is_empty());
        for text in hit.order_id.as_deref().into_iter().chain(clicks) {
            keys.push(lookup::key(text));
            ids.push(id.into());
            times.push(hit.time.as_millis());
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    let keys: Vec<&[u8]> = keys.iter().map(<[u8; 16]>::as_slice).collect();
    let statement = client
        .prepare_cached(
            "INSERT INTO throughline_lookup (key, event_id, at_ms)
             SELECT key, id, at_ms FROM unnest($1::BYTEA[], $2::UUID[], $3::INT8[]) AS new (key, id, at_ms)
             WHERE EXISTS (SELECT 1 FROM throughline_hits WHERE event_id = new.id AND details IS NOT NULL)
             ON CONFLICT (key, event_id) DO NOTHING",
        )
        .await?;
    client.execute(&statement, &[&keys, &ids, &times]).await?;
    Ok(())
}

/// The database has no place for the character of the code 0.
fn text(text: &str) -> String {
    text.replace('\0', "")
}
