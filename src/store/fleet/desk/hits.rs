//! Hits of the whole fleet with what became of them: each record joined with its row, and rows that have no
//! record.

use std::ops::ControlFlow;

use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    super::{Fleet, FleetError, session::Session, value::Id},
    entry,
    filter::Value,
    row, take_time,
};
use crate::{
    store::{
        Attempt,
        audit::AuditEntry,
        inspector::{Search, clicks, names, why},
        story::{HitFilter, HitRecord, Show, Sources, Stories, Story},
    },
    tracking::{event::EventId, timestamp::Timestamp},
};

impl Fleet {
    /// Shows hits that match, newest first, one by one, until the other side has seen enough.
    pub async fn each_hit(&self, filter: &HitFilter, show: Show<'_>) -> Result<(), FleetError> {
        let (conditions, values) = conditions(filter);
        let sql = select("NULL::TEXT", &conditions, filter.limit);
        self.at_leisure(async {
            let mut session = self.session().await?;
            let result = each(&mut session, &sql, &values, &mut |row| Ok(show(record(row)?))).await;
            session.end(result)
        })
        .await
    }

    /// The stories of hits by order id, click ID, event id, or the beginning of an event id, the oldest first.
    pub async fn story(&self, text: &str) -> Result<Stories, FleetError> {
        let search = Search::new(text);
        let events = self.known(&search).await?;
        let values: Vec<Value> = vec![Box::new(events)];
        let mut found = self.meant(&search, &select("details", "event_id = ANY($1)", None), &values).await?;
        if found.is_empty() {
            // What no key leads to: a row whose record was lost, or what is older than the keys.
            let conditions = "(order_id = $1 OR strpos(' ' || clicks || ' ', ' ' || $1 || ' ') > 0
                 OR strpos(payload, $2) > 0)";
            let values: Vec<Value> = vec![Box::new(text.to_owned()), Box::new(search.in_json())];
            found = self.meant(&search, &select("details", conditions, Some(LOOKED_AT)), &values).await?;
        }
        let mut told = Vec::with_capacity(found.len());
        for mut sources in found {
            if let Some(id) = sources.hit.event_id {
                sources.row = self.row(id).await?;
                sources.deeds = self.deeds(id).await?;
            }
            told.push(Story::of(sources));
        }
        Ok(Stories { told, is_whole: true })
    }

    /// The newest events that keys lead to; not all of them may be meant.
    async fn known(&self, search: &Search<'_>) -> Result<Vec<Id>, FleetError> {
        let keys = search.keys();
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 16]>::as_slice).collect();
        let within = |table: &str| {
            format!(
                "(SELECT event_id FROM {table} WHERE event_id >= $1 AND event_id <= $2 ORDER BY event_id DESC LIMIT {MOST_TOLD})"
            )
        };
        let by_id = ["throughline_outbox", "throughline_history", "throughline_hits"].map(within).join(" UNION ALL ");
        let by_key = format!(
            "SELECT event_id FROM throughline_lookup WHERE key = ANY($1) ORDER BY event_id DESC LIMIT {MOST_TOLD}"
        );
        self.attempt(|| async {
            let session = self.session().await?;
            let result = async {
                let mut rows = session.query(&by_key, &[&keys]).await?;
                if let Some(range) = search.range() {
                    let [first, last] = range.map(|id| Id::from(Uuid::from_bytes(id)));
                    rows.extend(session.query(&by_id, &[&first, &last]).await?);
                }
                rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Id>, FleetError>>()
            }
            .await;
            session.end(result)
        })
        .await
    }

    /// What a statement finds and a search means, the oldest first.
    async fn meant(&self, search: &Search<'_>, sql: &str, values: &[Value]) -> Result<Vec<Sources>, FleetError> {
        let mut found = Vec::new();
        self.at_leisure(async {
            let mut session = self.session().await?;
            let result = each(&mut session, sql, values, &mut |row| {
                found.push(sources(row)?);
                Ok(ControlFlow::Continue(()))
            })
            .await;
            session.end(result)
        })
        .await?;
        found.retain(|sources| search.means(&sources.hit));
        found.truncate(MOST_TOLD);
        found.reverse();
        Ok(found)
    }

    async fn row(&self, id: EventId) -> Result<Option<crate::store::inspector::RowDetail>, FleetError> {
        let values: Vec<Value> = vec![Box::new(Id::from(id))];
        let Some(row) = self.select("event_id = $1", &values, Some(1)).await?.pop() else { return Ok(None) };
        let earlier = self.attempts(id).await?.into_iter().map(|(number, answer)| Attempt { number, answer });
        Ok(Some(row.with_earlier(earlier.collect())))
    }

    /// What was done to an event: by an entry that touched its row, or that names it.
    async fn deeds(&self, id: EventId) -> Result<Vec<AuditEntry>, FleetError> {
        let sql = "SELECT at_ms, who, action, arguments, count FROM throughline_audit
             WHERE strpos(arguments, $1) > 0 OR id IN (SELECT audit FROM throughline_deeds WHERE event_id = $2)
             ORDER BY at_ms DESC LIMIT 100";
        self.attempt(|| async {
            let session = self.session().await?;
            let result = session.query(sql, &[&id.to_string(), &Id::from(id)]).await.map_err(FleetError::from);
            session.end(result)?.iter().map(entry).collect()
        })
        .await
    }
}

/// Reads an answer some rows at a time, so that it may be longer than the memory.
async fn each(
    session: &mut Session,
    sql: &str,
    values: &[Value],
    show: &mut dyn FnMut(&Row) -> Result<ControlFlow<()>, FleetError>,
) -> Result<(), FleetError> {
    let values: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = values.iter().map(|value| &**value as _).collect();
    let transaction = session.transaction().await?;
    take_time(&transaction).await?;
    let statement = transaction.prepare(sql).await?;
    let portal = transaction.bind(&statement, &values).await?;
    loop {
        let rows = transaction.query_portal(&portal, READ_AT_ONCE).await?;
        let is_last = rows.is_empty();
        for row in &rows {
            if show(row)?.is_break() {
                return Ok(());
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

fn conditions(filter: &HitFilter) -> (String, Vec<Value>) {
    let HitFilter { site, network, conversion, outcome, since, until, limit: _ } = filter;
    let (mut conditions, mut values) = (vec!["TRUE".to_owned()], Vec::<Value>::new());
    let mut asked = |condition: &str, value: Value| {
        values.push(value);
        conditions.push(format!("{condition} ${}", values.len()));
    };
    for (column, wanted) in
        [("site =", site), ("network =", network), ("conversion =", conversion), ("outcome =", outcome)]
    {
        wanted.iter().for_each(|wanted| asked(column, Box::new(wanted.clone())));
    }
    for (column, time) in [("at_ms >=", since), ("at_ms <", until)] {
        time.iter().for_each(|time| asked(column, Box::new(time.as_millis())));
    }
    (conditions.join(" AND "), values)
}

fn select(details: &str, conditions: &str, limit: Option<usize>) -> String {
    let limit = limit.map_or_else(String::new, |limit| format!("LIMIT {limit}"));
    format!(
        "SELECT * FROM (
             SELECT event_ms AS at_ms, settled_ms, row_of.site AS site, row_of.conversion AS conversion,
                 row_of.network AS network, row_of.event_id AS event_id,
                 coalesce(hit.outcome, CASE WHEN missing IS NOT NULL
                     OR (verdict = 'purged' AND row_of.reason = 'incomplete') THEN 'incomplete' ELSE 'queued' END) AS outcome,
                 hit.reason AS said, row_of.reason AS reason, verdict, attempts, coalesce(missing, '') AS missing,
                 payload, hit.order_id AS order_id, clicks, hit.value AS value, hit.currency AS currency,
                 {details} AS details
             FROM ({}) AS row_of LEFT JOIN throughline_hits AS hit ON hit.event_id = row_of.event_id
             UNION ALL
             SELECT at_ms, NULL, site, conversion, network, event_id, outcome, reason, NULL, NULL, 0, '',
                 NULL, order_id, clicks, value, currency, {details}
             FROM throughline_hits AS hit
             WHERE outcome NOT IN ('queued', 'incomplete') OR event_id IS NULL OR (
                 NOT EXISTS (SELECT 1 FROM throughline_outbox WHERE event_id = hit.event_id)
                 AND NOT EXISTS (SELECT 1 FROM throughline_history WHERE event_id = hit.event_id))
         ) AS all_hits WHERE {conditions} ORDER BY at_ms DESC {limit}",
        row::ALL
    )
}

fn record(row: &Row) -> Result<HitRecord, FleetError> {
    let missing: &str = row.try_get("missing")?;
    let listed: Option<&str> = row.try_get("clicks")?;
    let mut hit = HitRecord {
        time: Timestamp::from_millis(row.try_get("at_ms")?),
        settled: row.try_get::<_, Option<i64>>("settled_ms")?.map(Timestamp::from_millis),
        site: row.try_get("site")?,
        conversion: row.try_get("conversion")?,
        network: row.try_get("network")?,
        order_id: row.try_get("order_id")?,
        clicks: clicks(listed.unwrap_or_default()),
        event_id: row.try_get::<_, Option<Id>>("event_id")?.map(Id::event),
        value: row.try_get("value")?,
        currency: row.try_get("currency")?,
        outcome: row.try_get("outcome")?,
        reason: why(row.try_get("reason")?, &names(missing), row.try_get("said")?),
        verdict: row.try_get("verdict")?,
        attempts: u32::try_from(row.try_get::<_, i32>("attempts")?).unwrap_or(0),
    };
    if let Some(payload) = row.try_get::<_, Option<&str>>("payload")? {
        hit.complete(&serde_json::from_str(payload).unwrap_or_default());
    }
    Ok(hit)
}

fn sources(row: &Row) -> Result<Sources, FleetError> {
    let details: Option<&str> = row.try_get("details")?;
    Ok(Sources {
        hit: record(row)?,
        details: details.and_then(|details| serde_json::from_str(details).ok()),
        outcome_reason: row.try_get("said")?,
        ..Sources::default()
    })
}

const READ_AT_ONCE: i32 = 1000;
/// The server finds texts wherever they stand; what is meant is told here.
const LOOKED_AT: usize = 1000;
/// Stories of one search.
const MOST_TOLD: usize = 100;
