//! Ending what must not be sent any more: consent was withdrawn, or a visitor wants to be forgotten.
//!
//! Rows are looked for beside the writer, because the search reads every open row of a site, and
//! ended by it. A row that this process has in its hands is stopped by [`Withdrawn`], which the
//! delivery worker asks right before it sends.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};

use super::{attempts, hits};
use crate::tracking::{
    event::{EventId, Payload},
    journey::JourneyKey,
    timestamp::Timestamp,
};

/// The events that must not be sent although somebody may have them in their hands.
#[derive(Debug, Default)]
pub(super) struct Withdrawn {
    /// Spares the worker the lock as long as nobody ever withdrew.
    is_any: AtomicBool,
    ids: Mutex<BTreeSet<EventId>>,
}

impl Withdrawn {
    pub(super) fn insert(&self, withdrawn: impl IntoIterator<Item = EventId>) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.extend(withdrawn);
        // Ids begin with their time: the oldest goes first, and is long gone from everybody's hands.
        while ids.len() > REMEMBERED {
            ids.pop_first();
        }
        self.is_any.store(!ids.is_empty(), Ordering::Release);
    }

    pub(super) fn contains(&self, id: EventId) -> bool {
        self.is_any.load(Ordering::Acquire) && self.ids.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }
}

/// Whose rows are meant.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Subject {
    pub(super) site: String,
    /// Network keys and click IDs.
    pub(super) clicks: Vec<(String, String)>,
    pub(super) journeys: Vec<JourneyKey>,
}

impl Subject {
    /// The open rows that tell of this visitor.
    pub(super) fn find(&self, connection: &Connection) -> rusqlite::Result<Vec<EventId>> {
        // The index of due rows leads to those of the site; leased rows are few.
        let mut statement = connection.prepare(
            "SELECT event_id, network, payload FROM outbox WHERE site = ?1 AND lease IS NULL AND verdict IS NULL
             UNION ALL
             SELECT event_id, network, payload FROM outbox WHERE lease IS NOT NULL AND verdict IS NULL AND site = ?1
             UNION ALL
             SELECT event_id, network, payload FROM held WHERE site = ?1",
        )?;
        let mut found = Vec::new();
        let mut rows = statement.query([&self.site])?;
        while let Some(row) = rows.next()? {
            found.extend(self.is_told_of(row)?);
        }
        Ok(found)
    }

    fn is_told_of(&self, row: &Row<'_>) -> rusqlite::Result<Option<EventId>> {
        let network = row.get_ref(1)?.as_str().unwrap_or_default();
        let text = row.get_ref(2)?.as_bytes().unwrap_or_default();
        let Ok(payload) = serde_json::from_slice::<Payload>(text) else { return Ok(None) };
        let id = EventId::from_slice(row.get_ref(0)?.as_bytes().unwrap_or_default());
        Ok(id.filter(|_| self.is_told_by(network, &payload)))
    }

    /// Whether a row tells of this visitor.
    pub(super) fn is_told_by(&self, network: &str, payload: &Payload) -> bool {
        let has_click = self.clicks.iter().any(|(of, click)| of == network && payload.clicks.contains(click));
        has_click || payload.visitor.iter().any(|key| self.journeys.contains(key))
    }
}

/// A postback that ended before it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The site's name.
    pub site: String,
    /// The network's key.
    pub network: String,
}

/// Ends an open row and empties it; `Some` when it was a postback that counts.
///
/// An incomplete conversion never was one, and a candidate becomes one only when its page ends well.
/// Doing it twice changes nothing.
pub(super) fn end(
    connection: &Connection,
    id: EventId,
    owner: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<Ended>> {
    connection
        .prepare_cached(
            "INSERT INTO history (event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, payload)
             SELECT event_id, site, conversion, network, event_ms, ?2, attempts, 'withdrawn', '{}'
             FROM outbox WHERE event_id = ?1 AND verdict IS NULL
             UNION ALL
             SELECT event_id, site, conversion, network, event_ms, ?2, 0, 'withdrawn', '{}'
             FROM held WHERE event_id = ?1 AND state <> 'owed'",
        )?
        .execute((id.as_bytes(), now.as_millis()))?;
    hits::empty(connection, id.as_bytes())?;
    connection.prepare_cached("DELETE FROM held WHERE event_id = ?1")?.execute([id.as_bytes()])?;
    let ended = connection
        .prepare_cached("DELETE FROM outbox WHERE event_id = ?1 AND verdict IS NULL RETURNING site, network, lease")?
        .query_row([id.as_bytes()], |row| {
            Ok((Ended { site: row.get(0)?, network: row.get(1)? }, row.get::<_, Option<String>>(2)?))
        })
        .optional()?;
    let Some((ended, lease)) = ended else { return Ok(None) };
    attempts::empty(connection, id.as_bytes())?;
    if lease.is_some_and(|lease| lease != owner) {
        Announcement::Counted(id).write(connection, now)?;
    }
    Ok(Some(ended))
}

/// Something that the processes of this folder must not send, or must forget.
#[derive(Clone, Copy, Debug)]
pub(super) enum Announcement {
    /// An event that ended; this process has counted it.
    Counted(EventId),
    /// An event that ended by a command: whoever hears of it counts it.
    Uncounted(EventId),
    Journey(JourneyKey),
}

impl Announcement {
    pub(super) fn write(self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        let (is_counted, event, journey) = match self {
            Self::Counted(id) => (true, Some(*id.as_bytes()), None),
            Self::Uncounted(id) => (false, Some(*id.as_bytes()), None),
            Self::Journey(key) => (true, None, Some(*key.as_bytes())),
        };
        connection
            .prepare_cached("INSERT INTO erased (at_ms, is_counted, event_id, journey) VALUES (?1, ?2, ?3, ?4)")?
            .execute((now.as_millis(), is_counted, event, journey))
            .map(drop)
    }
}

/// What others announced, and how far this process has heard.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) events: Vec<EventId>,
    pub(super) journeys: Vec<JourneyKey>,
    pub(super) uncounted: Vec<Ended>,
    pub(super) last: i64,
}

impl News {
    /// What was announced after `last`; `None` begins with what will be.
    pub(super) fn since(connection: &Connection, last: Option<i64>) -> rusqlite::Result<Self> {
        let newest = connection
            .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'erased'")?
            .query_row([], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        // Fewer than before: the file is another one, and nothing of it has been heard.
        let last = last.map_or(newest, |last| if last > newest { 0 } else { last });
        let mut news = Self { last, ..Self::default() };
        if last == newest {
            return Ok(news);
        }
        let mut statement = connection.prepare_cached(
            "SELECT id, event_id, journey, is_counted FROM erased WHERE id > ?1 ORDER BY id LIMIT 10000",
        )?;
        let mut rows = statement.query([last])?;
        while let Some(row) = rows.next()? {
            news.last = row.get(0)?;
            let bytes = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<Vec<u8>>>(column)?.unwrap_or_default());
            let event = EventId::from_slice(&bytes(1)?);
            news.events.extend(event);
            news.journeys.extend(<[u8; 16]>::try_from(bytes(2)?).map(JourneyKey::from_bytes));
            if let (Some(id), false) = (event, row.get(3)?) {
                news.uncounted.extend(ended(connection, id)?);
            }
        }
        Ok(news)
    }
}

fn ended(connection: &Connection, id: EventId) -> rusqlite::Result<Option<Ended>> {
    connection
        .prepare_cached("SELECT site, network FROM history WHERE event_id = ?1 AND verdict = 'withdrawn'")?
        .query_row([id.as_bytes()], |row| Ok(Ended { site: row.get(0)?, network: row.get(1)? }))
        .optional()
}

/// More than any worker has in its hands.
const REMEMBERED: usize = 10_000;
