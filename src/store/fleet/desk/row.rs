//! Rows as people see them, wherever on the fleet they stand.

use tokio_postgres::Row;

use crate::{
    store::{
        fleet::{FleetError, value::Id},
        inspector::{RowDetail, RowState, RowSummary, names},
    },
    tracking::timestamp::Timestamp,
};

/// Reads what [`ALL`] selects.
pub(super) fn detail(row: &Row) -> Result<RowDetail, FleetError> {
    let time = |column| row.try_get::<_, Option<i64>>(column).map(|millis| millis.map(Timestamp::from_millis));
    let settled = time("settled_ms")?;
    let missing: Option<&str> = row.try_get("missing")?;
    let state = match (row.try_get::<_, bool>("is_over")?, missing, settled) {
        (true, ..) => RowState::Settled,
        (false, Some(_), _) => RowState::Incomplete,
        (false, None, Some(_)) => RowState::Dead,
        (false, None, None) => RowState::Pending,
    };
    let answer: Option<&str> = row.try_get("last_answer")?;
    Ok(RowDetail {
        summary: RowSummary {
            event_id: Some(row.try_get::<_, Id>("event_id")?.event()),
            site: row.try_get("site")?,
            conversion: row.try_get("conversion")?,
            network: row.try_get("network")?,
            time: time("event_ms")?.unwrap_or_default(),
            state,
            attempts: u32::try_from(row.try_get::<_, i32>("attempts")?).unwrap_or(0),
            next: time("next_ms")?.filter(|_| state == RowState::Pending),
            leased: row.try_get("leased")?,
            verdict: row.try_get("verdict")?,
            reason: row.try_get("reason")?,
            settled,
            missing: names(missing.unwrap_or_default()),
        },
        payload: serde_json::from_str(row.try_get("payload")?).unwrap_or_default(),
        last_answer: answer.and_then(|answer| serde_json::from_str(answer).ok()),
        attempts: Vec::new(),
    })
}

/// Everything that is or was to be sent, and what waits for a person.
pub(super) const ALL: &str = "SELECT event_id, site, conversion, network, event_ms, attempts, next_ms,
        lease_until_ms IS NOT NULL AND lease_until_ms >= (extract(epoch FROM now()) * 1000)::INT8 AS leased,
        verdict, reason, settled_ms, payload, last_answer, missing, FALSE AS is_over
    FROM throughline_outbox
    UNION ALL
    SELECT event_id, site, conversion, network, event_ms, attempts, NULL, FALSE,
        verdict, reason, settled_ms, payload, last_answer, NULL, TRUE
    FROM throughline_history";
