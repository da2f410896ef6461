//! Everything that the store knows of one person, however they are identified.
//!
//! A person is found by a value of theirs, and then by the journeys that lead from it to the rest:
//! who asks for the data behind an address means the clicks before it, too.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::{InspectError, Inspector, RowDetail, row};
use crate::{
    store::schema,
    tracking::{
        event::{Datum, Payload},
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
        return Ok(Known { rows, journeys: Vec::new() });
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
    journeys(&connection, |known| {
        if keys.contains(&known.key) || person.has_gone(&known.journey) {
            keys.insert(known.key);
            keys.extend(known.journey.keys.keys());
        }
        false
    })?;
    let is_theirs =
        |payload: &Payload| person.has_made(payload) || payload.visitor.iter().any(|key| keys.contains(key));
    Ok(Known {
        rows: conversions(&connection, |row| is_theirs(&row.payload))?
            .into_iter()
            .map(|row| row.with_attempts(&connection))
            .collect::<Result<_, _>>()?,
        journeys: journeys(&connection, |known| keys.contains(&known.key))?,
    })
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
