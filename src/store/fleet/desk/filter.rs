//! Which rows of the fleet an operator means.

use serde_json::to_string;
use tokio_postgres::types::ToSql;

use super::{
    super::{Fleet, FleetError, session::Session, value::Id},
    ids, row, take_time,
};
use crate::{
    store::{
        inspector::{Filter, RowDetail, RowState},
        row::StoredAnswer,
    },
    tracking::event::EventId,
};

pub(super) type Value = Box<dyn ToSql + Sync + Send>;

impl Fleet {
    /// Rows that match, newest first; 100 unless the filter says how many.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<RowDetail>, FleetError> {
        let (conditions, values) = conditions(filter);
        self.select(&conditions, &values, Some(filter.limit.unwrap_or(LISTED))).await
    }

    /// Chooses the rows that match, newest first, for something to be done with them.
    pub async fn choose(&self, filter: &Filter) -> Result<Vec<EventId>, FleetError> {
        let (conditions, values) = conditions(filter);
        let limit = limit(filter.limit);
        let sql = format!(
            "SELECT event_id FROM ({}) AS all_rows WHERE {conditions} ORDER BY event_ms DESC {limit}",
            row::ALL
        );
        self.at_leisure(async {
            let mut session = self.session().await?;
            let result = query(&mut session, &sql, &values).await;
            let rows = session.end(result)?;
            rows.iter().map(|row| Ok(row.try_get::<_, Id>(0)?.event())).collect()
        })
        .await
    }

    /// Site, conversion and network of all rows that are not over.
    pub async fn names(&self) -> Result<Vec<(String, String, String)>, FleetError> {
        let sql = "SELECT DISTINCT site, conversion, network FROM throughline_outbox ORDER BY 1, 2, 3";
        self.at_leisure(async {
            let mut session = self.session().await?;
            let result = query(&mut session, sql, &[]).await;
            let rows = session.end(result)?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
        })
        .await
    }

    /// Rows by event id, by the beginning of one (4 characters at least), or by order id.
    pub async fn show(&self, text: &str) -> Result<Vec<RowDetail>, FleetError> {
        let hex: String = text.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
        let is_prefix = (4..=32).contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let prefix = if is_prefix { hex } else { "-".into() };
        // Every row of this order holds this text; the fields themselves are looked at here.
        let part = format!("\"order_id\":{}", to_string(text).unwrap_or_default());
        let values: Vec<Value> = vec![Box::new(prefix.clone()), Box::new(part)];
        let conditions = "substr(replace(event_id::TEXT, '-', ''), 1, length($1)) = $1 OR strpos(payload, $2) > 0";
        let mut rows = self.select(conditions, &values, Some(LISTED)).await?;
        rows.retain(|row| {
            let id = row.summary.event_id.map(|id| id.to_string().replace('-', "")).unwrap_or_default();
            id.starts_with(&prefix) || row.payload.fields.get("order_id").is_some_and(|order| order == text)
        });
        Ok(rows)
    }

    /// The answers to earlier attempts of an event that are kept beside the last, with their numbers.
    pub async fn attempts(&self, id: EventId) -> Result<Vec<(u32, StoredAnswer)>, FleetError> {
        self.attempt(|| async {
            let session = self.session().await?;
            let statement = "SELECT number, answer FROM throughline_attempts WHERE event_id = $1 ORDER BY number";
            let result = session.query(statement, &[&Id::from(id)]).await.map_err(FleetError::from);
            let rows = session.end(result)?;
            let attempt = |row: &tokio_postgres::Row| {
                let number = u32::try_from(row.try_get::<_, i32>(0).ok()?).ok()?;
                Some((number, serde_json::from_str(row.try_get(1).ok()?).ok()?))
            };
            Ok(rows.iter().filter_map(attempt).collect())
        })
        .await
    }

    pub(super) async fn select(
        &self,
        conditions: &str,
        values: &[Value],
        most: Option<usize>,
    ) -> Result<Vec<RowDetail>, FleetError> {
        let limit = limit(most);
        let sql = format!("SELECT * FROM ({}) AS all_rows WHERE {conditions} ORDER BY event_ms DESC {limit}", row::ALL);
        self.at_leisure(async {
            let mut session = self.session().await?;
            let result = query(&mut session, &sql, values).await;
            session.end(result)?.iter().map(row::detail).collect()
        })
        .await
    }
}

fn conditions(filter: &Filter) -> (String, Vec<Value>) {
    let (mut conditions, mut values) = (Vec::<String>::new(), Vec::<Value>::new());
    let mut asked = |condition: &str, value: Value| {
        values.push(value);
        conditions.push(condition.replace('?', &format!("${}", values.len())));
    };
    let columns = [
        ("site = ?", &filter.site),
        ("network = ?", &filter.network),
        ("conversion = ?", &filter.conversion),
        ("verdict = ?", &filter.verdict),
    ];
    for (condition, wanted) in columns {
        wanted.iter().for_each(|wanted| asked(condition, Box::new(wanted.clone())));
    }
    for (condition, time) in [("event_ms < ?", filter.before), ("event_ms >= ?", filter.since)] {
        time.iter().for_each(|time| asked(condition, Box::new(time.as_millis())));
    }
    if !filter.ids.is_empty() {
        asked("event_id = ANY(?)", Box::new(ids(&filter.ids)));
    }
    if !filter.states.is_empty() {
        let states: Vec<_> = filter.states.iter().map(|state| condition(*state)).collect();
        conditions.push(format!("({})", states.join(" OR ")));
    }
    if conditions.is_empty() {
        conditions.push("TRUE".into());
    }
    (conditions.join(" AND "), values)
}

async fn query(session: &mut Session, sql: &str, values: &[Value]) -> Result<Vec<tokio_postgres::Row>, FleetError> {
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    let transaction = session.transaction().await?;
    take_time(&transaction).await?;
    let rows = transaction.query(sql, &values).await?;
    transaction.commit().await?;
    Ok(rows)
}

fn limit(most: Option<usize>) -> String {
    most.map_or_else(String::new, |most| format!("LIMIT {most}"))
}

const fn condition(state: RowState) -> &'static str {
    match state {
        RowState::Pending => "(NOT is_over AND verdict IS NULL AND missing IS NULL)",
        RowState::Dead => "(NOT is_over AND verdict IS NOT NULL)",
        RowState::Settled => "is_over",
        RowState::Candidate | RowState::Owed => "FALSE",
        RowState::Incomplete => "missing IS NOT NULL",
    }
}

/// What a list shows unless told otherwise.
const LISTED: usize = 100;
