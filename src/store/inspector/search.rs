//! Which events are meant by a text: an order id, a click ID, an event id or the beginning of one.
//!
//! Keys lead to nearly all of them. A row whose record was lost has none, nor has what is older than the
//! keys: so what waits is read as well, which is little, and what is over only when nothing else was found,
//! the newest first and for so long.

use std::time::Instant;

use rusqlite::{Connection, ToSql, types::Value};

use crate::store::{clock, hits::MAX_TEXT, lookup, schema, story::HitRecord};

/// What people look for.
pub(in crate::store) struct Search<'a> {
    text: &'a str,
    /// Of an event id, in capitals and without hyphens; `-` when it can't be one.
    prefix: String,
}

/// What can be read through.
#[derive(Clone, Copy)]
pub(super) enum Tables {
    /// What waits: little, unless a network is away.
    Open,
    /// What is over.
    Over,
}

/// What was found by reading.
pub(super) struct Read {
    pub(super) events: Vec<Value>,
    /// Whether everything was read.
    pub(super) is_whole: bool,
}

impl<'a> Search<'a> {
    pub(in crate::store) fn new(text: &'a str) -> Self {
        let hex: String = text.chars().filter(|c| *c != '-').collect::<String>().to_ascii_uppercase();
        let is_prefix = (4..=32).contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        Self { text, prefix: if is_prefix { hex } else { "-".to_owned() } }
    }

    /// What the text is in JSON, as rows hold it.
    pub(in crate::store) fn in_json(&self) -> String {
        serde_json::Value::from(self.text).to_string()
    }

    /// Under which keys it may be kept: what is kept of an order id is not always all of it.
    pub(in crate::store) fn keys(&self) -> [[u8; 16]; 2] {
        let cut = self.text.get(..self.text.floor_char_boundary(MAX_TEXT)).unwrap_or_default();
        [lookup::key(self.text), lookup::key(cut)]
    }

    /// The first and the last event id that begin so.
    pub(in crate::store) fn range(&self) -> Option<[[u8; 16]; 2]> {
        let bound = |filler: &str| -> Option<[u8; 16]> {
            let digits = format!("{}{}", self.prefix, filler.repeat(32_usize.saturating_sub(self.prefix.len())));
            u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
        };
        Some([bound("0")?, bound("F")?])
    }

    /// Whether an event id is or begins with it.
    pub(in crate::store) fn begins(&self, event_id: &str) -> bool {
        event_id.replace('-', "").to_ascii_uppercase().starts_with(&self.prefix)
    }

    /// Whether this is what they look for.
    pub(in crate::store) fn means(&self, hit: &HitRecord) -> bool {
        hit.event_id.is_some_and(|id| self.begins(&id.to_string()))
            || hit.order_id.as_deref() == Some(self.text)
            || hit.clicks.iter().any(|click| click == self.text)
    }

    /// The newest events that keys lead to; not all of them may be meant.
    pub(super) fn known(&self, connection: &Connection) -> rusqlite::Result<Vec<Value>> {
        let mut events = Vec::new();
        if let Some([first, last]) = self.range() {
            let steps =
                [("outbox", 0), ("history", 0), ("held", schema::WITH_JOURNEYS), ("hits", schema::WITH_STORIES)];
            for (table, step) in steps {
                if schema::has(connection, step)? {
                    read(connection, &by_id(table), &[&first, &last], &mut events)?;
                }
            }
        }
        if schema::has(connection, schema::WITH_LOOKUP)? {
            let [key, cut] = self.keys();
            read(connection, BY_KEY, &[&key, &cut], &mut events)?;
        }
        Ok(newest(events))
    }

    /// Reads one of the two kinds of tables, the newest first, until it has taken too long.
    pub(super) fn read(&self, connection: &Connection, what: Tables, until: Option<Instant>) -> rusqlite::Result<Read> {
        let (told, in_json) = ("instr(payload, ?3) > 0", self.in_json());
        let noted = "event_id IS NOT NULL AND (order_id = ?3 OR instr(' ' || clicks || ' ', ' ' || ?3 || ' ') > 0)";
        let tables = match what {
            Tables::Open => [("outbox", told, in_json.as_str(), 0), ("held", told, &in_json, schema::WITH_JOURNEYS)],
            Tables::Over => [("hits", noted, self.text, schema::WITH_STORIES), ("history", told, &in_json, 0)],
        };
        let mut events = Vec::new();
        for (table, condition, text, step) in tables {
            if !schema::has(connection, step)? {
                continue;
            }
            let edges = format!("SELECT coalesce(min(rowid), 0), coalesce(max(rowid), -1) FROM {table}");
            let (first, mut last): (i64, i64) =
                connection.query_row(&edges, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let sql = format!("SELECT event_id FROM {table} WHERE rowid > ?1 AND rowid <= ?2 AND {condition}");
            while last >= first && events.len() < MOST {
                if until.is_some_and(|until| clock::instant() > until) {
                    return Ok(Read { events: newest(events), is_whole: false });
                }
                read(connection, &sql, &[&(last - SLICE), &last, &text], &mut events)?;
                last -= SLICE;
            }
        }
        Ok(Read { events: newest(events), is_whole: true })
    }
}

/// The newest events of a table whose ids are in a range.
pub(super) fn by_id(table: &str) -> String {
    format!("SELECT event_id FROM {table} WHERE event_id >= ?1 AND event_id <= ?2 ORDER BY event_id DESC LIMIT {MOST}")
}

/// A list of events for `IN`, to be filled with so many values.
pub(super) fn places(events: &[Value]) -> String {
    (1..=events.len()).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ")
}

fn read(connection: &Connection, sql: &str, values: &[&dyn ToSql], events: &mut Vec<Value>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    for event in statement.query_map(values, |row| row.get::<_, Value>(0))? {
        events.push(event?);
    }
    Ok(())
}

/// Ids begin with their time.
pub(super) fn newest(events: Vec<Value>) -> Vec<Value> {
    let bytes = |event| if let Value::Blob(bytes) = event { Some(bytes) } else { None };
    let mut events: Vec<Vec<u8>> = events.into_iter().filter_map(bytes).collect();
    events.sort_unstable_by(|one, other| other.cmp(one));
    events.dedup();
    events.truncate(MOST);
    events.into_iter().map(Value::Blob).collect()
}

/// The newest events of a key.
pub(super) const BY_KEY: &str = "SELECT event_id FROM lookup WHERE key IN (?1, ?2) ORDER BY event_id DESC LIMIT 100";
/// Events of one search.
const MOST: usize = 100;
/// Rows that are read before somebody looks at the clock.
const SLICE: i64 = 5000;
