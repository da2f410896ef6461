//! Everything that the fleet knows of one person, and its end.

use std::collections::BTreeSet;

use tokio_postgres::Row;

use super::{
    super::{Fleet, FleetError, hits as hits_of_fleet, session::Session, value::Id, withdrawal},
    Deed, enter, ids, row, take_time,
};
use crate::{
    store::{
        desk::Receipt,
        inspector::{Known, KnownHit, KnownJourney, Person, RowDetail, RowState, clicks},
    },
    tracking::{event::EventId, journey::JourneyKey, timestamp::Timestamp},
};

impl Fleet {
    /// Looks for a person in everything that is stored; reads all of it, slice by slice.
    pub async fn find(&self, person: &Person) -> Result<Known, FleetError> {
        self.at_leisure(async {
            let mut session = self.session().await?;
            let result = find(&mut session, person).await;
            session.end(result)
        })
        .await
    }

    /// Erases what was found of a person, in one transaction.
    pub async fn erase(&self, deed: &Deed<'_>, known: &Known) -> Result<Receipt, FleetError> {
        let keys: Vec<JourneyKey> = known.journeys.iter().map(|known| known.key).collect();
        // The nodes hear of it, and forget what they have in their own files.
        let journeys = if keys.is_empty() { 0 } else { self.forget(&keys).await?.len() };
        self.at_leisure(async {
            let mut session = self.session().await?;
            let result = erase(&mut session, deed, known, journeys).await;
            session.end(result)
        })
        .await
    }
}

async fn find(session: &mut Session, person: &Person) -> Result<Known, FleetError> {
    let mut keys: BTreeSet<JourneyKey> = person.keys().iter().copied().collect();
    conversions(session, |row| {
        if person.has_made(&row.payload) {
            keys.extend(&row.payload.visitor);
        }
        false
    })
    .await?;
    hits(session, |hit| {
        if person.has_hit(hit) {
            keys.extend(&hit.details.visitor);
        }
        false
    })
    .await?;
    journeys(session, |known| {
        if keys.contains(&known.key) || person.has_gone(&known.journey) {
            keys.insert(known.key);
            keys.extend(known.journey.keys.keys());
        }
        false
    })
    .await?;
    let is_theirs =
        |row: &RowDetail| person.has_made(&row.payload) || row.payload.visitor.iter().any(|key| keys.contains(key));
    let mut rows = conversions(session, is_theirs).await?;
    rows.sort_by_key(|row| std::cmp::Reverse(row.summary.time));
    let events: BTreeSet<EventId> = rows.iter().filter_map(|row| row.summary.event_id).collect();
    Ok(Known {
        rows,
        journeys: journeys(session, |known| keys.contains(&known.key)).await?,
        hits: hits(session, |hit| person.has_hit(hit) || hit.belongs_to(&keys, &events)).await?,
    })
}

/// Walks over what was written down of hits, as far as it tells of anybody.
async fn hits(session: &mut Session, is_wanted: impl FnMut(&KnownHit) -> bool) -> Result<Vec<KnownHit>, FleetError> {
    let sql = format!(
        "SELECT event_id, at_ms, site, conversion, network, outcome, order_id, clicks, value, currency, details
         FROM throughline_hits WHERE event_id > $1
             AND (details IS NOT NULL OR order_id IS NOT NULL OR clicks IS NOT NULL)
         ORDER BY event_id LIMIT {WALKED}"
    );
    by_event(session, &sql, is_wanted, known_hit).await
}

fn known_hit(row: &Row) -> Result<KnownHit, FleetError> {
    let texts: Option<&str> = row.try_get("clicks")?;
    let details: Option<&str> = row.try_get("details")?;
    Ok(KnownHit {
        event_id: row.try_get::<_, Id>("event_id")?.event(),
        time: Timestamp::from_millis(row.try_get("at_ms")?),
        site: row.try_get("site")?,
        conversion: row.try_get("conversion")?,
        network: row.try_get("network")?,
        outcome: row.try_get("outcome")?,
        order_id: row.try_get("order_id")?,
        clicks: clicks(texts.unwrap_or_default()),
        value: row.try_get("value")?,
        currency: row.try_get("currency")?,
        details: details.and_then(|details| serde_json::from_str(details).ok()).unwrap_or_default(),
    })
}

/// Walks over all conversions and keeps those that are wanted.
async fn conversions(
    session: &mut Session,
    is_wanted: impl FnMut(&RowDetail) -> bool,
) -> Result<Vec<RowDetail>, FleetError> {
    let sql = format!("SELECT * FROM ({}) AS all_rows WHERE event_id > $1 ORDER BY event_id LIMIT {WALKED}", row::ALL);
    by_event(session, &sql, is_wanted, row::detail).await
}

/// Walks over what has an event id, in slices, and keeps what is wanted of it.
async fn by_event<T>(
    session: &mut Session,
    sql: &str,
    mut is_wanted: impl FnMut(&T) -> bool,
    read: fn(&Row) -> Result<T, FleetError>,
) -> Result<Vec<T>, FleetError> {
    let (mut wanted, mut last) = (Vec::new(), Id([0; 16]));
    loop {
        let rows = walk(session, sql, &last).await?;
        let Some(end) = rows.last() else { return Ok(wanted) };
        last = end.try_get("event_id")?;
        for row in &rows {
            wanted.extend(Some(read(row)?).filter(&mut is_wanted));
        }
    }
}

async fn journeys(
    session: &mut Session,
    mut is_wanted: impl FnMut(&KnownJourney) -> bool,
) -> Result<Vec<KnownJourney>, FleetError> {
    let sql = format!(
        "SELECT key, site, expires_ms, data FROM throughline_journeys WHERE key > $1 ORDER BY key LIMIT {WALKED}"
    );
    let (mut wanted, mut last) = (Vec::new(), Vec::<u8>::new());
    loop {
        let rows = walk(session, &sql, &last).await?;
        let Some(end) = rows.last() else { return Ok(wanted) };
        last = end.try_get(0)?;
        for row in &rows {
            let key: &[u8] = row.try_get(0)?;
            let known = KnownJourney {
                key: JourneyKey::from_bytes(key.try_into().unwrap_or_default()),
                site: row.try_get(1)?,
                expires: Timestamp::from_millis(row.try_get(2)?),
                journey: serde_json::from_str(row.try_get(3)?).unwrap_or_default(),
            };
            wanted.extend(Some(known).filter(&mut is_wanted));
        }
    }
}

async fn walk(
    session: &mut Session,
    sql: &str,
    last: &(dyn tokio_postgres::types::ToSql + Sync),
) -> Result<Vec<Row>, FleetError> {
    let transaction = session.transaction().await?;
    take_time(&transaction).await?;
    let rows = transaction.query(sql, &[last]).await?;
    transaction.commit().await?;
    Ok(rows)
}

async fn erase(session: &mut Session, deed: &Deed<'_>, known: &Known, journeys: usize) -> Result<Receipt, FleetError> {
    let mut receipt = Receipt { journeys, hits: known.hits_alone(), ..Receipt::default() };
    let mut all = Vec::<EventId>::new();
    for RowDetail { summary, .. } in &known.rows {
        all.extend(summary.event_id);
        match summary.state {
            RowState::Pending | RowState::Candidate | RowState::Incomplete => receipt.unsent += 1,
            RowState::Dead | RowState::Settled | RowState::Owed => receipt.emptied += 1,
        }
        if summary.attempts > 0 {
            *receipt.sent.entry(summary.network.clone()).or_default() += 1;
        }
    }
    let all = ids(&all);
    let transaction = session.transaction().await?;
    let ended = withdrawal::end_in(&transaction, &all).await?;
    // Of dead letters and of what is in the history stays that it was.
    transaction
        .execute(
            "WITH gone AS (
                 DELETE FROM throughline_outbox WHERE event_id = ANY($1) AND verdict IS NOT NULL
                 RETURNING event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, reason
             )
             INSERT INTO throughline_history
                 (event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, reason, payload)
             SELECT event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, reason, '{}' FROM gone
             ON CONFLICT (event_id) DO NOTHING",
            &[&all],
        )
        .await?;
    let empty = "UPDATE throughline_history SET payload = '{}', last_answer = NULL WHERE event_id = ANY($1)";
    transaction.execute(empty, &[&all]).await?;
    transaction.execute("DELETE FROM throughline_attempts WHERE event_id = ANY($1)", &[&all]).await?;
    let told: Vec<EventId> = known.hits.iter().map(|hit| hit.event_id).collect();
    hits_of_fleet::empty(&transaction, &all).await?;
    hits_of_fleet::empty(&transaction, &ids(&told)).await?;
    for ended in ended {
        let notice =
            "INSERT INTO throughline_notices (id, deed, site, network, count) VALUES ($1, 'withdrawn', $2, $3, 1)";
        transaction.execute(notice, &[&Id::from(uuid::Uuid::new_v4()), &ended.site, &ended.network]).await?;
    }
    enter(&transaction, deed, receipt.unsent + receipt.emptied + receipt.hits + receipt.journeys).await?;
    transaction.commit().await?;
    Ok(receipt)
}

/// Rows of one look.
const WALKED: usize = 1000;
