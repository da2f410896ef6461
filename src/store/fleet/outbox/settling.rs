//! The end of an attempt: whoever has lost the row meanwhile changes nothing.

use deadpool_postgres::ClientWrapper;

use super::Fenced;
use crate::{
    store::{
        Settled, Settlement,
        fleet::{FleetError, NOW_MS, value::Id},
        row::Place,
    },
    tracking::{timestamp::Timestamp, verdict::Verdict},
};

/// Ends an attempt.
pub(super) async fn settle(client: &ClientWrapper, settlement: &Settlement) -> Result<Fenced, FleetError> {
    let Settlement { row, outcome, answer, now } = settlement;
    let Place::Fleet(attempt) = row.place else { return Ok(Fenced::Lost) };
    let (id, attempt) = (Id::from(row.event.id), Id::from(attempt));
    let answer = answer.as_ref().and_then(|answer| serde_json::to_string(answer).ok());
    let attempts = i32::try_from(row.attempts).unwrap_or(i32::MAX);
    // An attempt leaves an answer, if only that there was none; a verdict without one ends no attempt.
    let with_this = attempts.saturating_add(i32::from(answer.is_some()));
    let changed = match *outcome {
        Settled::Retry { at, reason } => {
            let counted = i32::from(reason.is_counted());
            let delay = i64::try_from(at.since(*now).as_millis()).unwrap_or(i64::MAX);
            let statement = client
                .prepare_cached(&format!(
                    "WITH settled AS (
                         UPDATE throughline_outbox SET attempts = attempts + $3, next_ms = {NOW_MS} + $4, reason = $5,
                             last_answer = $6, settled_by = $2, lease = NULL, lease_node = NULL, lease_until_ms = NULL
                         WHERE event_id = $1 AND lease = $2 AND withdrawn_ms IS NULL
                         RETURNING event_id, attempts
                     )
                     INSERT INTO throughline_attempts (event_id, slot, number, answer)
                     SELECT event_id, attempts % {ATTEMPTS_KEPT}, attempts, coalesce($6, '') FROM settled
                     ON CONFLICT (event_id, slot) DO UPDATE SET number = excluded.number, answer = excluded.answer"
                ))
                .await?;
            client.execute(&statement, &[&id, &attempt, &counted, &delay, &reason.as_str(), &answer]).await?
        }
        Settled::Final(verdict) if verdict.is_dead_letter() => {
            let statement = client
                .prepare_cached(
                    "UPDATE throughline_outbox SET attempts = $3, verdict = $4, reason = $5, last_answer = $6,
                         settled_ms = $7, settled_by = $2, lease = NULL, lease_node = NULL, lease_until_ms = NULL
                     WHERE event_id = $1 AND lease = $2 AND withdrawn_ms IS NULL",
                )
                .await?;
            let (word, why) = (verdict.as_str(), verdict.reason());
            client.execute(&statement, &[&id, &attempt, &with_this, &word, &why, &answer, &now.as_millis()]).await?
        }
        Settled::Final(verdict) => remember(client, (id, attempt), with_this, verdict, answer.as_ref(), *now).await?,
    };
    if changed > 0 {
        return Ok(Fenced::Done);
    }
    // Not ours any more, or ours and withdrawn: then what was learnt ends it, without anything personal.
    let (verdict, withdrawn) = match *outcome {
        Settled::Retry { .. } => (Verdict::Withdrawn, Fenced::Withdrawn),
        Settled::Final(verdict) => (verdict, Fenced::Done),
    };
    if remember(client, (id, attempt), with_this, verdict, None, *now).await? > 0 {
        return Ok(withdrawn);
    }
    let was = settled_before(client, id, attempt).await?;
    Ok(match (was.as_deref(), *outcome) {
        (None, _) => Fenced::Lost,
        (Some("withdrawn"), Settled::Retry { .. }) => Fenced::Withdrawn,
        (Some(_), _) => Fenced::Done,
    })
}

/// Moves a row into the history; the payload of one that was withdrawn stays behind.
async fn remember(
    client: &ClientWrapper,
    (id, attempt): (Id, Id),
    attempts: i32,
    verdict: Verdict,
    answer: Option<&String>,
    now: Timestamp,
) -> Result<u64, FleetError> {
    let statement = client
        .prepare_cached(
            "WITH gone AS (
                 DELETE FROM throughline_outbox WHERE event_id = $1 AND lease = $2
                 RETURNING event_id, site, conversion, network, event_ms, withdrawn_ms, payload
             )
             INSERT INTO throughline_history (event_id, site, conversion, network, event_ms, settled_ms, attempts,
                 settled_by, verdict, reason, payload, last_answer)
             SELECT event_id, site, conversion, network, event_ms, $3::INT8, $4::INT4, $2::UUID, $5::TEXT, $6::TEXT,
                 CASE WHEN withdrawn_ms IS NULL THEN payload ELSE '{}' END,
                 CASE WHEN withdrawn_ms IS NULL THEN $7::TEXT END
             FROM gone ON CONFLICT (event_id) DO NOTHING",
        )
        .await?;
    let (word, why) = (verdict.as_str(), verdict.reason());
    Ok(client.execute(&statement, &[&id, &attempt, &now.as_millis(), &attempts, &word, &why, &answer]).await?)
}

/// What this attempt has settled before, when its answer was lost: the verdict, or nothing for a retry.
async fn settled_before(client: &ClientWrapper, id: Id, attempt: Id) -> Result<Option<String>, FleetError> {
    let statement = client
        .prepare_cached(
            "SELECT coalesce(verdict, '') FROM throughline_outbox WHERE event_id = $1 AND settled_by = $2
             UNION ALL SELECT verdict FROM throughline_history WHERE event_id = $1 AND settled_by = $2 LIMIT 1",
        )
        .await?;
    let row = client.query_opt(&statement, &[&id, &attempt]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Answers of one row that are kept beside the last.
const ATTEMPTS_KEPT: i32 = 20;
