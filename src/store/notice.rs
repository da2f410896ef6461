//! What an operator did, told to the processes that count: their counters must stay true.
//!
//! A notice is about a destination and never about an event, so that a great deed is a short message.

use rusqlite::{Connection, OptionalExtension};

use super::StoreObserver;
use crate::tracking::timestamp::Timestamp;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Postbacks without a verdict were ended.
    Purged,
    /// Dead letters were put back.
    Replayed,
}

/// What was done to how many rows of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) deed: Deed,
    pub(super) site: String,
    pub(super) network: String,
    pub(super) count: u64,
}

impl Deed {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Purged => "purged",
            Self::Replayed => "replayed",
        }
    }
}

impl Notice {
    pub(super) fn write(&self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        let count = i64::try_from(self.count).unwrap_or(i64::MAX);
        connection
            .prepare_cached("INSERT INTO notices (at_ms, deed, site, network, count) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((now.as_millis(), self.deed.as_str(), &self.site, &self.network, count))
            .map(drop)
    }

    pub(super) fn tell(&self, observer: &dyn StoreObserver) {
        match self.deed {
            Deed::Purged => observer.purged(&self.site, &self.network, self.count),
            Deed::Replayed => observer.replayed(&self.site, &self.network, self.count),
        }
    }
}

/// What was told after `heard`, and how far that goes; `None` begins with what will be.
pub(super) fn since(connection: &Connection, heard: Option<i64>) -> rusqlite::Result<(Vec<Notice>, i64)> {
    let newest = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'notices'")?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    // Fewer than before: the file is another one, and nothing of it has been heard.
    let mut heard = heard.map_or(newest, |heard| if heard > newest { 0 } else { heard });
    let mut notices = Vec::new();
    if heard == newest {
        return Ok((notices, heard));
    }
    let mut statement = connection
        .prepare_cached("SELECT id, deed, site, network, count FROM notices WHERE id > ?1 ORDER BY id LIMIT 1000")?;
    let mut rows = statement.query([heard])?;
    while let Some(row) = rows.next()? {
        heard = row.get(0)?;
        let deed = match row.get_ref(1)?.as_str() {
            Ok("purged") => Deed::Purged,
            Ok("replayed") => Deed::Replayed,
            // Of a newer version.
            Ok(_) | Err(_) => continue,
        };
        let count = u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0);
        notices.push(Notice { deed, site: row.get(2)?, network: row.get(3)?, count });
    }
    Ok((notices, heard))
}
