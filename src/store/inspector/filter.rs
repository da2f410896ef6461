//! Which rows an operator means.

use std::collections::BTreeSet;

use rusqlite::{params_from_iter, types::Value};

use super::{InspectError, Inspector, RowState, RowSummary, row};
use crate::tracking::{event::EventId, timestamp::Timestamp};

/// Which rows are meant; what is `None` or empty does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Rows of this site.
    pub site: Option<String>,
    /// Rows of this network.
    pub network: Option<String>,
    /// Rows of this conversion.
    pub conversion: Option<String>,
    /// Rows with this verdict, by its word.
    pub verdict: Option<String>,
    /// Rows in one of these states.
    pub states: Vec<RowState>,
    /// Rows of events before this time.
    pub before: Option<Timestamp>,
    /// Rows of events since this time.
    pub since: Option<Timestamp>,
    /// Rows of these events.
    pub ids: Vec<EventId>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

/// Where a row that was chosen is found again, readable or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowId(pub(in crate::store) Box<[u8]>);

/// Rows with the same names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Names {
    /// The site's name.
    pub site: String,
    /// The conversion's name.
    pub conversion: String,
    /// The network's key.
    pub network: String,
}

impl Inspector {
    /// Rows that match, newest first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn list(&self, filter: &Filter) -> Result<Vec<RowSummary>, InspectError> {
        let (conditions, values) = filter.conditions();
        let details = self.select(&conditions, values, filter.limit.unwrap_or(LISTED))?;
        Ok(details.into_iter().map(|detail| detail.summary).collect())
    }

    /// Chooses the rows that match, newest first, for something to be done with them.
    ///
    /// They are looked for here and not in the transaction that changes them: a search through a long
    /// outbox must not keep conversions waiting.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn choose(&self, filter: &Filter) -> Result<Vec<RowId>, InspectError> {
        let (conditions, values) = filter.conditions();
        let limit = filter.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        self.read(|connection| {
            let all = row::all(connection)?;
            let sql = format!("SELECT event_id FROM ({all}) WHERE {conditions} ORDER BY event_ms DESC LIMIT {limit}");
            connection
                .prepare(&sql)?
                .query_map(params_from_iter(values), |row| {
                    Ok(RowId(row.get_ref(0)?.as_bytes().unwrap_or_default().into()))
                })?
                .collect()
        })
    }

    /// The names that rows have which are neither over nor candidates.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn names(&self) -> Result<Vec<Names>, InspectError> {
        self.read(|connection| {
            let all = row::all(connection)?;
            let conditions = Filter { states: OPEN.to_vec(), ..Filter::default() }.conditions().0;
            let sql =
                format!("SELECT DISTINCT site, conversion, network FROM ({all}) WHERE {conditions} ORDER BY 1, 2, 3");
            connection
                .prepare(&sql)?
                .query_map([], |row| Ok(Names { site: row.get(0)?, conversion: row.get(1)?, network: row.get(2)? }))?
                .collect()
        })
    }

    /// Sites and conversions of the newest rows, those that are over included.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn conversions(&self) -> Result<BTreeSet<(String, String)>, InspectError> {
        self.read(|connection| {
            let newest =
                |table| format!("SELECT * FROM (SELECT site, conversion FROM {table} ORDER BY rowid DESC LIMIT 10000)");
            let sql = format!("{} UNION {}", newest("outbox"), newest("history"));
            connection.prepare(&sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }
}

impl Filter {
    fn conditions(&self) -> (String, Vec<Value>) {
        let (mut conditions, mut values) = (Vec::new(), Vec::new());
        let mut asked = |condition: &str, value: Value| {
            values.push(value);
            conditions.push(format!("{condition} ?{}", values.len()));
        };
        let columns = [
            ("site =", &self.site),
            ("network =", &self.network),
            ("conversion =", &self.conversion),
            ("verdict =", &self.verdict),
        ];
        for (column, wanted) in columns {
            wanted.iter().for_each(|wanted| asked(column, Value::Text(wanted.clone())));
        }
        for (column, time) in [("event_ms <", self.before), ("event_ms >=", self.since)] {
            time.iter().for_each(|time| asked(column, Value::Integer(time.as_millis())));
        }
        if !self.ids.is_empty() {
            let ids = self.ids.iter().map(|id| {
                values.push(Value::Blob(id.as_bytes().to_vec()));
                format!("?{}", values.len())
            });
            let ids = ids.collect::<Vec<_>>().join(", ");
            conditions.push(format!("event_id IN ({ids})"));
        }
        if !self.states.is_empty() {
            let states: Vec<_> = self.states.iter().map(|state| state.condition()).collect();
            conditions.push(format!("({})", states.join(" OR ")));
        }
        if conditions.is_empty() {
            conditions.push("1".into());
        }
        (conditions.join(" AND "), values)
    }
}

impl RowState {
    const fn condition(self) -> &'static str {
        match self {
            Self::Pending => "settled_ms IS NULL AND held IS NULL",
            Self::Dead => "dead = 1",
            Self::Settled => "dead = 0 AND settled_ms IS NOT NULL",
            Self::Candidate => "held = 'candidate'",
            Self::Incomplete => "held = 'incomplete'",
            Self::Owed => "held = 'owed'",
        }
    }
}

/// What an operator can still change.
const OPEN: [RowState; 3] = [RowState::Pending, RowState::Dead, RowState::Incomplete];
/// What a list shows unless told otherwise.
const LISTED: usize = 100;
