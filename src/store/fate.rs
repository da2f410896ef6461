//! What became of postbacks, for the pages that wait to learn it.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{Store, outbox, reader::Question};
use crate::tracking::event::{Event, EventId, Payload};

/// An event and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// What happened.
    pub event: Event,
    /// The verdict's word, or [`OWED`](Self::OWED); `None` while it is open.
    pub verdict: Option<String>,
}

impl Fate {
    /// Stands for the verdict of a conversion that is not sent: the browser is to fetch its pixels.
    pub const OWED: &'static str = "owed";

    /// Whether there was nothing to report it by.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.verdict.as_deref() == Some(Self::OWED)
    }
}

impl Store {
    /// What became of these events, in their order; `None` for what is not on disk.
    ///
    /// Read beside the writer, and on a fleet beyond it. A store that is degraded or overloaded knows of
    /// none, and says so at once.
    pub async fn fates(&self, ids: Vec<EventId>) -> Vec<Option<Fate>> {
        let none = vec![None; ids.len()];
        let asked = ids.clone();
        let mut fates = self.ask(|answer| Question::Fates { ids: asked, answer }).await.unwrap_or(none);
        self.complete_fates(&ids, &mut fates).await;
        fates
    }
}

/// A row moves from the one table to the other in one transaction; a later look sees what an earlier
/// one has seen, or more, so the outbox comes first.
pub(super) fn find(connection: &Connection, id: EventId) -> rusqlite::Result<Option<Fate>> {
    for (table, verdict, condition) in
        [("outbox", "verdict", ""), ("history", "verdict", ""), ("held", "state AS verdict", " AND state = 'owed'")]
    {
        let found = connection
            .prepare_cached(&format!(
                "SELECT site, conversion, network, event_ms, {verdict}, payload FROM {table}
                 WHERE event_id = ?1{condition}"
            ))?
            .query_row([id.as_bytes()], |row| fate(id, row))
            .optional()?;
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Ok(None)
}

fn fate(id: EventId, row: &Row<'_>) -> rusqlite::Result<Option<Fate>> {
    let payload: Option<Payload> = serde_json::from_str(&row.get::<_, String>("payload")?).ok();
    let Some(payload) = payload else { return Ok(None) };
    Ok(Some(Fate { event: outbox::event(id, payload, row)?, verdict: row.get("verdict")? }))
}
