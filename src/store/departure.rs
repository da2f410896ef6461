//! What waits in a node's own store until its fleet has it.
//!
//! A node leases nothing to itself: what is in the outbox and was not given up waits for the fleet, and
//! leaves when the fleet has said what it is. Whoever removes a row counts its outcome, so that two
//! processes of one folder count it once. Candidates stay until their page has ended, dead letters of
//! the time before the fleet stay for good.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Hit, errand::Errand, heirloom::Heirloom, held, inspector, outbox};
use crate::tracking::{
    conversion::Outcome,
    event::{Dedup, Event, EventId, Payload},
    grounds::{Grounds, Told},
    timestamp::Timestamp,
};

mod hits;

pub(super) use hits::DepartingHit;

/// What goes next, oldest errands first.
#[derive(Debug, Default)]
pub(super) struct Departures {
    pub(super) rows: Vec<Departing>,
    /// Rows that nobody can read: a person must see them.
    pub(super) unreadable: Vec<i64>,
    pub(super) errands: Vec<(i64, Option<Errand>)>,
    /// Records of hits, and by what the fleet tells them from those of other nodes.
    pub(super) hits: Vec<DepartingHit>,
    pub(super) node: [u8; 16],
}

/// A conversion on its way to the fleet.
#[derive(Clone, Debug)]
pub(super) struct Departing {
    pub(super) event: Event,
    pub(super) key: Option<Dedup>,
    /// What an incomplete one lacks.
    pub(super) missing: Vec<String>,
}

/// What the fleet has taken over.
#[derive(Debug, Default)]
pub(super) struct Departed {
    /// Rows, and what they are.
    pub(super) rows: Vec<(EventId, Decision)>,
    /// Rows that the fleet can't hold.
    pub(super) refused: Vec<EventId>,
    /// Rows that nobody can read.
    pub(super) unreadable: Vec<i64>,
    /// The last record of a hit: where it stands here, and its number.
    pub(super) hits: Option<(i64, i64)>,
    /// The last errand that was run.
    pub(super) errand: Option<i64>,
    /// How far keys or journeys of the time before have been handed over.
    pub(super) adopted: Option<(Heirloom, Vec<u8>)>,
}

/// What a fleet says of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is the first of its key.
    Accepted,
    /// It is not.
    Duplicate,
    /// It was, and its visitor had withdrawn consent at another node.
    Withdrawn,
}

/// What is to be counted of a row, by the names that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) site: String,
    pub(super) conversion: String,
    pub(super) network: String,
    /// Nothing for a row that was accepted and counted before this store joined.
    pub(super) outcome: Option<Outcome>,
    /// Its verdict is known as well.
    pub(super) is_withdrawn: bool,
    /// Which it was.
    pub(super) event_id: Option<EventId>,
    /// What is told of one that turned out to be a duplicate, should nobody know more.
    pub(super) duplicate: Option<Box<Hit>>,
}

/// Makes the tables of a node, unless they are there, and notes when it became one.
///
/// They are no part of the versioned schema: a store that is alone has none of them, and one that
/// leaves its fleet takes no notice of them. The index finds a row's key by its event.
pub(super) fn prepare(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS errand (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS node (name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
         CREATE INDEX IF NOT EXISTS dedup_event ON dedup (event_id);
         INSERT INTO node (name, value) VALUES ('id', randomblob(16)) ON CONFLICT DO NOTHING;",
    )?;
    connection
        .execute("INSERT INTO node (name, value) VALUES ('joined', ?1) ON CONFLICT DO NOTHING", [now.as_millis()])
        .map(drop)
}

/// The next rows and errands; rows of one reading are bounded by their number and their size.
pub(super) fn next(connection: &Connection, rows: usize, errands: usize) -> rusqlite::Result<Departures> {
    let mut next = Departures {
        errands: Errand::first(connection, errands)?,
        hits: hits::next(connection, rows)?,
        node: hits::node(connection)?,
        ..Departures::default()
    };
    let mut size = 0;
    for sql in [WAITING, INCOMPLETE] {
        let mut statement = connection.prepare_cached(sql)?;
        let mut found = statement.query([i64::try_from(rows - next.rows.len().min(rows)).unwrap_or(i64::MAX)])?;
        while let Some(row) = found.next()? {
            size += row.get_ref("payload")?.as_bytes().map_or(0, <[u8]>::len);
            match departing(row)? {
                Some(departing) => next.rows.push(departing),
                None if sql == WAITING => next.unreadable.push(row.get("id")?),
                // It waits for a person here.
                None => {}
            }
            if size > MAX_SIZE {
                return Ok(next);
            }
        }
    }
    Ok(next)
}

/// How many rows wait.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<u64> {
    let count = |sql: &str| -> rusqlite::Result<u64> {
        let count: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    let outbox = count("SELECT count(*) FROM outbox WHERE lease IS NULL AND verdict IS NULL")?;
    let held = count("SELECT count(*) FROM held WHERE state = 'incomplete' AND dedup_key IS NULL")?;
    Ok(outbox + held)
}

/// Removes what the fleet has; yields what is to be counted now.
pub(super) fn remove(connection: &Connection, departed: &Departed, now: Timestamp) -> rusqlite::Result<Vec<Counted>> {
    let joined = joined(connection)?;
    let mut counted = Vec::with_capacity(departed.rows.len());
    for (id, decision) in &departed.rows {
        if *decision == Decision::Duplicate {
            // The key is another's, whose window the fleet knows: the next repeat is to ask again.
            connection.prepare_cached("DELETE FROM dedup WHERE event_id = ?1")?.execute([id.as_bytes()])?;
        }
        counted.extend(remove_row(connection, *id, *decision, joined)?);
    }
    for id in &departed.refused {
        connection.prepare_cached(REFUSED_INCOMPLETE)?.execute([id.as_bytes()])?;
        held::remove(connection, *id)?;
        counted.extend(bury(connection, "event_id", &id.as_bytes(), now, joined)?);
    }
    for id in &departed.unreadable {
        counted.extend(bury(connection, "id", id, now, joined)?);
    }
    departed.hits.map_or(Ok(()), |last| hits::remove(connection, last))?;
    departed.errand.map_or(Ok(()), |last| Errand::done(connection, last))?;
    if let Some((heirloom, cursor)) = &departed.adopted {
        heirloom.note(connection, cursor)?;
    }
    Ok(counted)
}

/// What is counted when a withdrawal ends a row before the fleet has seen it: a conversion it was.
pub(super) fn ended_unseen(connection: &Connection, id: EventId) -> rusqlite::Result<Option<Counted>> {
    let joined = joined(connection)?;
    for (sql, outcome) in [(SHOW_WAITING, Outcome::Queued), (SHOW_INCOMPLETE, Outcome::Incomplete)] {
        let found = connection
            .prepare_cached(sql)?
            .query_row([id.as_bytes()], |row| counted(row, outcome, joined))
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn departing(row: &Row<'_>) -> rusqlite::Result<Option<Departing>> {
    let id = EventId::from_slice(row.get_ref("event_id")?.as_bytes().unwrap_or_default());
    let payload: Option<Payload> = serde_json::from_slice(row.get_ref("payload")?.as_bytes().unwrap_or_default()).ok();
    let (Some(id), Some(payload)) = (id, payload) else { return Ok(None) };
    let key: Option<Vec<u8>> = row.get("key")?;
    let window: Option<i64> = row.get("window_ms")?;
    let missing: String = row.get("missing")?;
    Ok(Some(Departing {
        event: outbox::event(id, payload, row)?,
        key: held::dedup_of(key, window),
        missing: inspector::names(&missing),
    }))
}

/// What was accepted before the store joined has been counted.
fn joined(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT value FROM node WHERE name = 'joined'")?
        .query_row([], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

fn remove_row(
    connection: &Connection,
    id: EventId,
    decision: Decision,
    joined: i64,
) -> rusqlite::Result<Option<Counted>> {
    let outcome = |accepted| if decision == Decision::Duplicate { Outcome::Duplicate } else { accepted };
    for (sql, accepted) in [(REMOVE_WAITING, Outcome::Queued), (REMOVE_INCOMPLETE, Outcome::Incomplete)] {
        let removed = connection
            .prepare_cached(sql)?
            .query_row(params![id.as_bytes()], |row| counted(row, outcome(accepted), joined))
            .optional()?;
        if let Some(removed) = removed {
            // An incomplete conversion never was a postback.
            let is_withdrawn = decision == Decision::Withdrawn && accepted == Outcome::Queued;
            return Ok(Some(Counted { is_withdrawn, ..removed }));
        }
    }
    Ok(None)
}

/// Makes a dead letter of a row that would be tried for ever; a person must see it.
fn bury(
    connection: &Connection,
    column: &str,
    id: &dyn rusqlite::ToSql,
    now: Timestamp,
    joined: i64,
) -> rusqlite::Result<Option<Counted>> {
    connection
        .prepare_cached(&format!(
            "UPDATE outbox SET verdict = 'rejected', reason = 'unrenderable', settled_ms = ?2, lease = NULL
             WHERE {column} = ?1 AND verdict IS NULL
             RETURNING site, conversion, network, event_ms, event_id"
        ))?
        .query_row(params![id, now.as_millis()], |row| counted(row, Outcome::Queued, joined))
        .optional()
}

fn counted(row: &Row<'_>, outcome: Outcome, joined: i64) -> rusqlite::Result<Counted> {
    let (site, conversion, network): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let event_id = EventId::from_slice(row.get_ref(4)?.as_bytes().unwrap_or_default());
    let duplicate = event_id.filter(|_| outcome == Outcome::Duplicate).map(|id| {
        let time = Timestamp::from_millis(row.get(3)?);
        let payload = row.get_ref(5)?.as_bytes().unwrap_or_default();
        let grounds = Grounds {
            told: Some(Told::of(id, &serde_json::from_slice(payload).unwrap_or_default()).into()),
            reason: None,
        };
        let (site, conversion, network) = (site.as_str().into(), conversion.as_str().into(), network.as_str().into());
        Ok::<_, rusqlite::Error>(Box::new(Hit { site, conversion, network, time, outcome, grounds }))
    });
    Ok(Counted {
        site,
        conversion,
        network,
        outcome: (row.get::<_, i64>(3)? >= joined).then_some(outcome),
        is_withdrawn: false,
        event_id,
        duplicate: duplicate.transpose()?,
    })
}

/// The index of what is due leads past dead letters.
const WAITING: &str =
    "SELECT outbox.id AS id, outbox.event_id AS event_id, site, conversion, network, event_ms, payload,
            '' AS missing, key, expires_ms - accepted_ms AS window_ms
     FROM outbox INDEXED BY outbox_due LEFT JOIN dedup ON dedup.event_id = outbox.event_id
     WHERE lease IS NULL AND verdict IS NULL LIMIT ?1";
/// One whose key is still open stays where the page may come again.
const INCOMPLETE: &str =
    "SELECT held.rowid AS id, held.event_id AS event_id, site, conversion, network, event_ms, payload,
            missing, key, expires_ms - accepted_ms AS window_ms
     FROM held LEFT JOIN dedup ON dedup.event_id = held.event_id
     WHERE state = 'incomplete' AND dedup_key IS NULL LIMIT ?1";
const REMOVE_WAITING: &str = "DELETE FROM outbox WHERE event_id = ?1 AND verdict IS NULL
     RETURNING site, conversion, network, event_ms, event_id, payload";
const REMOVE_INCOMPLETE: &str = "DELETE FROM held WHERE event_id = ?1 AND state = 'incomplete' AND dedup_key IS NULL
     RETURNING site, conversion, network, event_ms, event_id, payload";
const SHOW_WAITING: &str =
    "SELECT site, conversion, network, event_ms, event_id FROM outbox WHERE event_id = ?1 AND verdict IS NULL";
const SHOW_INCOMPLETE: &str = "SELECT site, conversion, network, event_ms, event_id FROM held
     WHERE event_id = ?1 AND state = 'incomplete' AND dedup_key IS NULL";
const REFUSED_INCOMPLETE: &str = "INSERT INTO outbox (event_id, site, conversion, network, event_ms, next_ms, payload)
     SELECT event_id, site, conversion, network, event_ms, event_ms, payload FROM held WHERE event_id = ?1
     ON CONFLICT (event_id) DO NOTHING";
/// Bytes of payload that go at a time, about.
const MAX_SIZE: usize = 1 << 20;
