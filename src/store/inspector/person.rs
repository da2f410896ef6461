//! Everything that the store knows of one person, however they are identified.
//!
//! A person is found by a value of theirs, and then by the journeys that lead from it to the rest:
//! who asks for the data behind an address means the clicks before it, too.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::{InspectError, Inspector, RowDetail, clicks, row};
use crate::{
    store::schema,
    tracking::{
        event::{Datum, EventId, Payload},
        grounds::Details,
        journey::{Journey, JourneyKey},
        template::sha256,
        timestamp::Timestamp,
    },
};

/// By what a person is looked for.
#[derive(Clone, Debug)]
pub enum Person {
    /// An e-mail address, which may be stored as its hash.
    Email(String),
    /// A click ID of any network.
    Click(String),
    /// An order id, and the journeys that are kept under it.
    Order(String, Vec<JourneyKey>),
    /// The journeys of a visitor's cookie.
    Cookie(Vec<JourneyKey>),
}

/// What the store knows of a person.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Known {
    /// Conversions, newest first.
    pub rows: Vec<RowDetail>,
    /// Journeys.
    pub journeys: Vec<KnownJourney>,
    /// What was written down of hits.
    pub hits: Vec<KnownHit>,
}

/// The record of a hit as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownHit {
    /// Its event, by which it is found again.
    pub event_id: EventId,
    /// When its outcome was known.
    pub time: Timestamp,
    /// The site's name.
    pub site: String,
    /// The conversion's name.
    pub conversion: String,
    /// The network's key.
    pub network: String,
    /// The outcome's word.
    pub outcome: String,
    /// The order's id.
    pub order_id: Option<String>,
    /// The click IDs.
    pub clicks: Vec<String>,
    /// The order's value.
    pub value: Option<String>,
    /// Its currency.
    pub currency: Option<String>,
    /// Where everything was read.
    pub details: Details,
}

/// A journey as it is stored.
#[derive(Clone, Debug, Serialize)]
pub struct KnownJourney {
    /// Its key.
    pub key: JourneyKey,
    /// The site's name.
    pub site: String,
    /// When it will be forgotten.
    pub expires: Timestamp,
    /// What is known.
    pub journey: Journey,
}

impl Inspector {
    /// Looks for a person in everything that is stored; reads all of it.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn find(&self, person: &Person) -> Result<Known, InspectError> {
        self.read(|connection| find(connection, person))
    }
}

impl Person {
    /// Whether a text of a conversion or a journey is theirs.
    fn is_told_by(&self, name: &str, text: &str) -> bool {
        match self {
            Self::Email(email) => is_told_of(email, text),
            Self::Click(click) => click == text,
            Self::Order(order, _) => name == "order_id" && order == text,
            Self::Cookie(_) => false,
        }
    }

    pub(in crate::store) fn has_made(&self, payload: &Payload) -> bool {
        let clicks = payload.clicks.iter().map(|click| ("click_id", click));
        let fields = payload.fields.iter().map(|(name, text)| (name.as_str(), text));
        let parameters = payload.parameters.iter().flat_map(|(name, datum)| {
            let texts = match datum {
                Datum::One(text) => std::slice::from_ref(text),
                Datum::Many(texts) => texts,
            };
            texts.iter().map(move |text| (name.as_str(), text))
        });
        clicks.chain(fields).chain(parameters).any(|(name, text)| self.is_told_by(name, text))
    }

    pub(in crate::store) fn has_gone(&self, journey: &Journey) -> bool {
        let mut fields = journey.fields.iter();
        fields.any(|(name, field)| self.is_told_by(name, &field.text))
            || journey.clicks.iter().any(|click| self.is_told_by("click_id", &click.id))
    }

    pub(in crate::store) fn has_hit(&self, hit: &KnownHit) -> bool {
        hit.order_id.iter().any(|order| self.is_told_by("order_id", order))
            || hit.clicks.iter().any(|click| self.is_told_by("click_id", click))
    }

    pub(in crate::store) fn keys(&self) -> &[JourneyKey] {
        match self {
            Self::Order(_, keys) | Self::Cookie(keys) => keys,
            Self::Email(_) | Self::Click(_) => &[],
        }
    }
}

/// Whether an address is stored there: plain, as its hash, or in the query of a page's address.
fn is_told_of(email: &str, text: &str) -> bool {
    let (email, text) = (email.trim().to_lowercase(), text.trim().to_lowercase());
    let is_hash = text.len() == 64 && sha256(&email) == text;
    let mut parts = text.split(['?', '&', ';', '=', '#', '/', ' ', ',', '<', '>', '"']);
    !email.is_empty() && (is_hash || parts.any(|part| part == email || part.replacen("%40", "@", 1) == email))
}

fn find(connection: &Connection, person: &Person) -> rusqlite::Result<Known> {
    // A process of the version before may have made the file.
    if !schema::has(connection, schema::WITH_JOURNEYS)? {
        let rows = conversions(connection, |row| person.has_made(&row.payload))?;
        return Ok(Known { rows, ..Known::default() });
    }
    // One snapshot for all that is read.
    let connection = connection.unchecked_transaction()?;
    let mut keys: BTreeSet<JourneyKey> = person.keys().iter().copied().collect();
    conversions(&connection, |row| {
        if person.has_made(&row.payload) {
            keys.extend(&row.payload.visitor);
        }
        false
    })?;
    hits(&connection, |hit| {
        if person.has_hit(hit) {
            keys.extend(&hit.details.visitor);
        }
        false
    })?;
    journeys(&connection, |known| {
        if keys.contains(&known.key) || person.has_gone(&known.journey) {
            keys.insert(known.key);
            keys.extend(known.journey.keys.keys());
        }
        false
    })?;
    let is_theirs =
        |payload: &Payload| person.has_made(payload) || payload.visitor.iter().any(|key| keys.contains(key));
    let rows = conversions(&connection, |row| is_theirs(&row.payload))?
        .into_iter()
        .map(|row| row.with_attempts(&connection))
        .collect::<Result<Vec<_>, _>>()?;
    let events: BTreeSet<EventId> = rows.iter().filter_map(|row| row.summary.event_id).collect();
    Ok(Known {
        rows,
        journeys: journeys(&connection, |known| keys.contains(&known.key))?,
        hits: hits(&connection, |hit| person.has_hit(hit) || hit.belongs_to(&keys, &events))?,
    })
}

impl Known {
    /// How many hits have no conversion here.
    pub(in crate::store) fn hits_alone(&self) -> usize {
        let has_row = |hit: &&KnownHit| self.rows.iter().any(|row| row.summary.event_id == Some(hit.event_id));
        self.hits.len() - self.hits.iter().filter(has_row).count()
    }
}

impl KnownHit {
    /// Whether it is of one of these journeys or events.
    pub(in crate::store) fn belongs_to(&self, keys: &BTreeSet<JourneyKey>, events: &BTreeSet<EventId>) -> bool {
        events.contains(&self.event_id) || self.details.visitor.iter().any(|key| keys.contains(key))
    }
}

/// Walks over all conversions and keeps those that are wanted.
fn conversions(connection: &Connection, is_wanted: impl FnMut(&RowDetail) -> bool) -> rusqlite::Result<Vec<RowDetail>> {
    let sql = format!("SELECT * FROM ({})", row::all(connection)?);
    let mut rows = walk(connection, &sql, row::detail, is_wanted)?;
    rows.sort_by_key(|row| std::cmp::Reverse(row.summary.time));
    Ok(rows)
}

fn journeys(
    connection: &Connection,
    is_wanted: impl FnMut(&KnownJourney) -> bool,
) -> rusqlite::Result<Vec<KnownJourney>> {
    let read = |row: &Row<'_>| {
        Ok(KnownJourney {
            // A key of another length is damaged, and nobody's.
            key: JourneyKey::from_bytes(row.get::<_, Vec<u8>>(0)?.try_into().unwrap_or_default()),
            site: row.get(1)?,
            expires: Timestamp::from_millis(row.get(2)?),
            journey: serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default(),
        })
    };
    walk(connection, "SELECT key, site, expires_ms, data FROM journeys", read, is_wanted)
}

/// Walks over what was written down of hits, as far as it tells of anybody.
fn hits(connection: &Connection, is_wanted: impl FnMut(&KnownHit) -> bool) -> rusqlite::Result<Vec<KnownHit>> {
    if !schema::has(connection, schema::WITH_STORIES)? {
        return Ok(Vec::new());
    }
    let read = |row: &Row<'_>| {
        let list: Option<String> = row.get("clicks")?;
        let details: Option<String> = row.get("details")?;
        Ok(KnownHit {
            // One of another length is damaged, and nobody's.
            event_id: EventId::from_slice(row.get_ref("event_id")?.as_bytes()?).unwrap_or(NO_EVENT),
            time: Timestamp::from_millis(row.get("at_ms")?),
            site: row.get("site")?,
            conversion: row.get("conversion")?,
            network: row.get("network")?,
            outcome: row.get("outcome")?,
            order_id: row.get("order_id")?,
            clicks: clicks(&list.unwrap_or_default()),
            value: row.get("value")?,
            currency: row.get("currency")?,
            details: details.and_then(|details| serde_json::from_str(&details).ok()).unwrap_or_default(),
        })
    };
    let sql = "SELECT * FROM hits WHERE event_id IS NOT NULL
         AND (details IS NOT NULL OR order_id IS NOT NULL OR clicks IS NOT NULL)";
    walk(connection, sql, read, is_wanted)
}

fn walk<T>(
    connection: &Connection,
    sql: &str,
    mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    mut is_wanted: impl FnMut(&T) -> bool,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut wanted = Vec::new();
    while let Some(row) = rows.next()? {
        wanted.extend(Some(read(row)?).filter(&mut is_wanted));
    }
    Ok(wanted)
}

const NO_EVENT: EventId = EventId::new(uuid::Uuid::nil());
