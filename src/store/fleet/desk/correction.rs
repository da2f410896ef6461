//! Completing an incomplete conversion that any node has accepted.

use deadpool_postgres::Transaction;
use serde_json::{from_str, to_string};

use super::{
    super::{
        Fleet, FleetError, NOW_MS, hits,
        keys::{self, Taking},
        value::Id,
    },
    Deed, enter,
};
use crate::{
    store::{
        clock,
        dedup::Taken,
        desk::{Corrected, Correction, correction::corrected_payload},
        inspector::names,
    },
    tracking::event::EventId,
};

impl Fleet {
    /// Completes an incomplete conversion; when nothing is missing any more, it will be sent.
    pub async fn correct(
        &self,
        deed: &Deed<'_>,
        id: EventId,
        correction: &Correction,
    ) -> Result<Corrected, FleetError> {
        self.attempt(|| async {
            let mut session = self.session().await?;
            let result = async {
                let transaction = session.transaction().await?;
                let corrected = correct(&transaction, id, correction).await?;
                if matches!(corrected, Corrected::Incomplete(_) | Corrected::Queued) {
                    enter(&transaction, deed, 1).await?;
                    transaction.commit().await?;
                }
                Ok(corrected)
            }
            .await;
            session.end(result)
        })
        .await
    }
}

async fn correct(transaction: &Transaction<'_>, id: EventId, correction: &Correction) -> Result<Corrected, FleetError> {
    let id_of_row = Id::from(id);
    let select = "SELECT missing, payload FROM throughline_outbox
        WHERE event_id = $1 AND missing IS NOT NULL AND withdrawn_ms IS NULL FOR UPDATE";
    let Some(row) = transaction.query_opt(select, &[&id_of_row]).await? else { return Ok(Corrected::Unknown) };
    let payload = corrected_payload(from_str(row.try_get(1)?).unwrap_or_default(), correction);
    let missing = names(row.try_get(0)?);
    let missing: Vec<_> = missing.into_iter().filter(|name| !correction.provided.contains(name)).collect();
    if let Some(key) = correction.key {
        // One that is complete but for its value has taken its key already, and keeps it.
        let has_key = "SELECT 1 FROM throughline_dedup WHERE event_id = $1 LIMIT 1";
        let has_key = transaction.query_opt(has_key, &[&id_of_row]).await?.is_some();
        if !has_key && keys::take(transaction, &[Taking::new(id, key, clock::now())]).await? == [Taken::Elsewhere] {
            return Ok(Corrected::Duplicate);
        }
    }
    for text in correction.fields.get("order_id").into_iter().chain(&correction.click) {
        hits::learn(transaction, id_of_row, text).await?;
    }
    let payload = to_string(&payload).map_err(|_| FleetError::refused("a conversion can't be written as JSON"))?;
    let rest = (!missing.is_empty()).then(|| missing.join(","));
    let update = format!(
        "UPDATE throughline_outbox SET missing = $2, payload = $3, next_ms = least(event_ms, {NOW_MS}) WHERE event_id = $1"
    );
    transaction.execute(&update, &[&id_of_row, &rest, &payload]).await?;
    Ok(if missing.is_empty() { Corrected::Queued } else { Corrected::Incomplete(missing) })
}
