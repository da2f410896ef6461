//! Hits with what became of them: each record joined with its row, and rows that have no record.
//!
//! A row is the truth of a conversion. Records are dropped under load, and versions before this one wrote
//! none for conversions; a row tells its outcome without one.

use std::time::Duration;

use rusqlite::{Connection, Row, params_from_iter, types::Value};

use super::{
    InspectError, Inspector, names, newest, row,
    search::{self, Search, Tables},
};
use crate::{
    store::{
        audit, clock, schema,
        story::{HitFilter, HitRecord, Show, Sources, Stories, Story, collected},
    },
    tracking::{
        event::{EventId, Payload},
        timestamp::Timestamp,
    },
};

impl Inspector {
    /// Hits that match, newest first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn hits(&self, filter: &HitFilter) -> Result<Vec<HitRecord>, InspectError> {
        collected(|show| self.each_hit(filter, show))
    }

    /// Shows hits that match, newest first, one by one, until the other side has seen enough.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn each_hit(&self, filter: &HitFilter, show: Show<'_>) -> Result<(), InspectError> {
        self.read(|connection| newest::each(connection, filter, show))
    }

    /// The stories of hits by order id, click ID, event id, or the beginning of an event id (4 characters at
    /// least), the oldest first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn story(&self, text: &str) -> Result<Stories, InspectError> {
        let search = Search::new(text);
        self.read(|connection| {
            let until = Some(clock::instant() + PATIENCE);
            let mut open = search.read(connection, Tables::Open, until)?;
            open.events.extend(search.known(connection)?);
            let told = stories(connection, &search, &search::newest(open.events))?;
            if !told.is_empty() {
                return Ok(Stories { told, is_whole: open.is_whole });
            }
            let over = search.read(connection, Tables::Over, until)?;
            let told = stories(connection, &search, &over.events)?;
            Ok(Stories { told, is_whole: open.is_whole && over.is_whole })
        })
    }
}

/// The two kinds of hits: with a row, and without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Rows,
    Records,
}

/// The stories of those events that are meant, the oldest first.
fn stories(connection: &Connection, search: &Search<'_>, events: &[Value]) -> rusqlite::Result<Vec<Story>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for part in [Part::Rows, Part::Records] {
        let sql = select(connection, part, "details", &format!("event_id IN ({})", search::places(events)))?;
        let mut statement = connection.prepare(&sql)?;
        for sources in statement.query_map(params_from_iter(events), sources)? {
            found.push(sources?);
        }
    }
    found.retain(|sources| search.means(&sources.hit));
    found.sort_by_key(|sources| sources.hit.time);
    found.into_iter().map(|sources| complete(connection, sources)).collect()
}

impl HitRecord {
    /// Takes from a row's payload what the record does not say.
    pub(in crate::store) fn complete(&mut self, payload: &Payload) {
        let field = |name: &str| payload.fields.get(name).cloned();
        self.order_id = field("order_id").or(self.order_id.take());
        self.value = field("value").or(self.value.take());
        self.currency = field("currency").or(self.currency.take());
        if !payload.clicks.is_empty() {
            self.clicks.clone_from(&payload.clicks);
        }
    }
}

/// Adds to what was found its row and what operators did to it.
fn complete(connection: &Connection, mut sources: Sources) -> rusqlite::Result<Story> {
    if let Some(id) = sources.hit.event_id {
        let all = row::all(connection)?;
        let sql = format!("SELECT * FROM ({all}) WHERE event_id = ?1");
        let row = connection.prepare(&sql)?.query_map([id.as_bytes()], row::detail)?.next().transpose()?;
        sources.row = row.map(|row| row.with_attempts(connection)).transpose()?;
        if schema::has(connection, schema::WITH_DESK)? {
            sources.deeds = audit::about(connection, id)?;
        }
    }
    Ok(Story::of(sources))
}

pub(super) fn conditions(filter: &HitFilter) -> (String, Vec<Value>) {
    let HitFilter { site, network, conversion, outcome, since, until, limit: _ } = filter;
    let (mut conditions, mut values) = (vec!["1".to_owned()], Vec::new());
    let mut asked = |condition: &str, value: Value| {
        values.push(value);
        conditions.push(format!("{condition} ?{}", values.len()));
    };
    for (column, wanted) in
        [("site =", site), ("network =", network), ("conversion =", conversion), ("outcome =", outcome)]
    {
        wanted.iter().for_each(|wanted| asked(column, Value::Text(wanted.clone())));
    }
    for (column, time) in [("at_ms >=", since), ("at_ms <", until)] {
        time.iter().for_each(|time| asked(column, Value::Integer(time.as_millis())));
    }
    (conditions.join(" AND "), values)
}

/// Hits of a kind, the newest first. `key` is the event's id of rows, and the record's own of records.
pub(super) fn select(connection: &Connection, part: Part, details: &str, conditions: &str) -> rusqlite::Result<String> {
    let rows = row::all(connection)?;
    // A process of a version before may have made the file.
    let (joined, alone, details) = if schema::has(connection, schema::WITH_STORIES)? {
        ("hits", format!("hits AS hit WHERE {IS_ALONE}"), details)
    } else if schema::has(connection, schema::WITH_DESK)? {
        (NONE, BEFORE_STORIES.to_owned(), "NULL")
    } else {
        (NONE, NONE.to_owned(), "NULL")
    };
    let hits = match part {
        Part::Rows => format!(
            "SELECT row_of.event_id AS key, event_ms AS at_ms, settled_ms, row_of.site AS site,
                    row_of.conversion AS conversion, row_of.network AS network, row_of.event_id AS event_id,
                    coalesce(hit.outcome, CASE WHEN held = 'incomplete' OR (verdict = 'purged' AND row_of.reason = 'incomplete')
                                               THEN 'incomplete' ELSE 'queued' END) AS outcome,
                    hit.reason AS said, row_of.reason AS reason, verdict, attempts, missing, payload,
                    hit.order_id AS told_order, clicks, hit.value AS value, hit.currency AS currency,
                    {details} AS details
             FROM ({rows}) AS row_of LEFT JOIN {joined} AS hit ON hit.event_id = row_of.event_id
             WHERE held IS NULL OR held = 'incomplete'"
        ),
        Part::Records => format!(
            "SELECT id AS key, at_ms, NULL AS settled_ms, site, conversion, network, event_id, outcome, reason AS said,
                    NULL AS reason, NULL AS verdict, 0 AS attempts, '' AS missing, NULL AS payload,
                    order_id AS told_order, clicks, value, currency, {details} AS details
             FROM {alone}"
        ),
    };
    Ok(format!("SELECT * FROM ({hits}) WHERE {conditions} ORDER BY key DESC"))
}

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<HitRecord> {
    let missing: String = row.get("missing")?;
    let said: Option<String> = row.get("said")?;
    let verdict: Option<String> = row.get("verdict")?;
    let reason: Option<String> = row.get("reason")?;
    let mut hit = HitRecord {
        time: Timestamp::from_millis(row.get("at_ms")?),
        settled: row.get::<_, Option<i64>>("settled_ms")?.map(Timestamp::from_millis),
        site: row.get("site")?,
        conversion: row.get("conversion")?,
        network: row.get("network")?,
        order_id: row.get("told_order")?,
        clicks: clicks(row.get_ref("clicks")?.as_str_or_null()?.unwrap_or_default()),
        event_id: EventId::from_slice(row.get_ref("event_id")?.as_bytes_or_null()?.unwrap_or_default()),
        value: row.get("value")?,
        currency: row.get("currency")?,
        outcome: row.get("outcome")?,
        reason: why(reason, &names(&missing), said),
        verdict,
        attempts: row.get("attempts")?,
    };
    if let Some(payload) = row.get_ref("payload")?.as_str_or_null()? {
        hit.complete(&serde_json::from_str(payload).unwrap_or_default());
    }
    Ok(hit)
}

fn sources(row: &Row<'_>) -> rusqlite::Result<Sources> {
    let details: Option<String> = row.get("details")?;
    Ok(Sources {
        hit: record(row)?,
        details: details.and_then(|details| serde_json::from_str(&details).ok()),
        outcome_reason: row.get("said")?,
        ..Sources::default()
    })
}

/// The reason that a line shows: of the verdict or the last attempt, what is missing, or of the outcome.
pub(in crate::store) fn why(reason: Option<String>, missing: &[String], said: Option<String>) -> Option<String> {
    let lacks = (!missing.is_empty()).then(|| format!("lacks {}", missing.join(", ")));
    reason.or(lacks).or(said)
}

/// The click IDs of a list as it is stored.
pub(in crate::store) fn clicks(list: &str) -> Vec<String> {
    list.split(' ').filter(|id| !id.is_empty()).map(ToOwned::to_owned).collect()
}

/// Records of conversions whose row is still there are those of the row.
const IS_ALONE: &str = "outcome NOT IN ('queued', 'incomplete') OR event_id IS NULL OR (
     NOT EXISTS (SELECT 1 FROM outbox WHERE event_id = hit.event_id)
     AND NOT EXISTS (SELECT 1 FROM history WHERE event_id = hit.event_id)
     AND NOT EXISTS (SELECT 1 FROM held WHERE event_id = hit.event_id AND state = 'incomplete'))";
/// What was stored of hits before, under the names of today; it joins with nothing.
const BEFORE_STORIES: &str = "(SELECT id, at_ms, site, conversion, network, outcome, NULL AS reason, NULL AS event_id,
     NULL AS order_id, NULL AS clicks, NULL AS value, NULL AS currency, NULL AS details FROM hits)";
const NONE: &str = "(SELECT 0 AS id, 0 AS at_ms, '' AS site, '' AS conversion, '' AS network, '' AS outcome,
     NULL AS reason, NULL AS event_id, NULL AS order_id, NULL AS clicks, NULL AS value, NULL AS currency,
     NULL AS details WHERE 0)";
/// How long a person waits for what no key leads to.
const PATIENCE: Duration = Duration::from_secs(2);
