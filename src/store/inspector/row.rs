//! Rows as people see them, wherever they stand.

use rusqlite::{Connection, Row};
use serde::Serialize;

use crate::{
    store::{
        attempts::{self, Attempt},
        row::StoredAnswer,
        schema,
    },
    tracking::{
        event::{EventId, Payload},
        timestamp::Timestamp,
    },
};

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// Still to be sent.
    Pending,
    /// A dead letter.
    Dead,
    /// Over, and in the history.
    Settled,
    /// Its page has not ended yet.
    Candidate,
    /// Something is missing that a person may add.
    Incomplete,
    /// Never sent: a browser is to fetch its pixels. Only a person's own data shows it.
    Owed,
}

impl RowState {
    /// The word that operators see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Dead => "dead",
            Self::Settled => "settled",
            Self::Candidate => "candidate",
            Self::Incomplete => "incomplete",
            Self::Owed => "owed",
        }
    }
}

/// A row without personal values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowSummary {
    /// The event id, or nothing when it is damaged.
    pub event_id: Option<EventId>,
    /// The site's name.
    pub site: String,
    /// The conversion's name.
    pub conversion: String,
    /// The network's key.
    pub network: String,
    /// When the thank-you page was answered.
    pub time: Timestamp,
    /// Where it stands.
    pub state: RowState,
    /// Attempts so far.
    pub attempts: u32,
    /// When the next attempt is due, of a pending row.
    pub next: Option<Timestamp>,
    /// Whether a process has it in its hands.
    pub leased: bool,
    /// The verdict's word.
    pub verdict: Option<String>,
    /// Why, of the verdict or of the last retry.
    pub reason: Option<String>,
    /// When the verdict fell.
    pub settled: Option<Timestamp>,
    /// The names without a value, of an incomplete row.
    pub missing: Vec<String>,
}

/// A row with everything that is stored of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowDetail {
    /// What lists show.
    pub summary: RowSummary,
    /// What came from the visitor's request.
    pub payload: Payload,
    /// The network's last answer.
    pub last_answer: Option<StoredAnswer>,
    /// The attempts, the first first; only looked up for rows that are shown.
    pub attempts: Vec<Attempt>,
}

impl RowDetail {
    /// Looks the attempts up. Those that were followed by another stand apart from the last.
    pub(super) fn with_attempts(self, connection: &Connection) -> rusqlite::Result<Self> {
        let earlier = match self.summary.event_id {
            Some(id) if schema::has(connection, schema::WITH_DESK)? => attempts::of(connection, id)?,
            Some(_) | None => Vec::new(),
        };
        Ok(self.with_earlier(earlier))
    }

    /// The same with attempts that were looked up otherwise.
    pub(in crate::store) fn with_earlier(mut self, earlier: Vec<Attempt>) -> Self {
        self.attempts = earlier;
        let is_over = self.summary.verdict.is_some();
        if let Some(answer) = self.last_answer.clone().filter(|_| is_over || self.attempts.is_empty()) {
            let number = self.attempts.last().map_or(1, |last| last.number.saturating_add(1));
            self.attempts.push(Attempt { number, answer });
        }
        self
    }
}

/// Everything that is or was to be sent, and with the version's journeys also what is held.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<String> {
    // A process of the version before may have made the file.
    let held = if schema::has(connection, schema::WITH_JOURNEYS)? { HELD } else { "" };
    Ok(format!("{OPEN_AND_OVER}{held}"))
}

/// Reads what [`all`] selects.
pub(super) fn detail(row: &Row<'_>) -> rusqlite::Result<RowDetail> {
    let time = |column| row.get::<_, Option<i64>>(column).map(|millis| millis.map(Timestamp::from_millis));
    let settled = time("settled_ms")?;
    let state = match (row.get::<_, Option<String>>("held")?.as_deref(), row.get("dead")?, settled) {
        (Some("candidate"), ..) => RowState::Candidate,
        (Some("owed"), ..) => RowState::Owed,
        (Some(_), ..) => RowState::Incomplete,
        (None, true, _) => RowState::Dead,
        (None, false, Some(_)) => RowState::Settled,
        (None, false, None) => RowState::Pending,
    };
    let missing: String = row.get("missing")?;
    let answer: Option<String> = row.get("last_answer")?;
    Ok(RowDetail {
        summary: RowSummary {
            event_id: EventId::from_slice(row.get_ref("event_id")?.as_bytes().unwrap_or_default()),
            site: row.get("site")?,
            conversion: row.get("conversion")?,
            network: row.get("network")?,
            time: time("event_ms")?.unwrap_or_default(),
            state,
            attempts: row.get("attempts")?,
            next: time("next_ms")?.filter(|_| state == RowState::Pending),
            leased: row.get("leased")?,
            verdict: row.get("verdict")?,
            reason: row.get("reason")?,
            settled,
            missing: names(&missing),
        },
        payload: serde_json::from_str(&row.get::<_, String>("payload")?).unwrap_or_default(),
        last_answer: answer.and_then(|answer| serde_json::from_str(&answer).ok()),
        attempts: Vec::new(),
    })
}

/// The names of a list as it is stored.
pub(in crate::store) fn names(list: &str) -> Vec<String> {
    list.split(',').filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect()
}

const OPEN_AND_OVER: &str =
    "SELECT event_id, site, conversion, network, event_ms, attempts, next_ms, lease IS NOT NULL AS leased,
            verdict, reason, settled_ms, payload, last_answer, verdict IS NOT NULL AS dead, NULL AS held, '' AS missing
     FROM outbox
     UNION ALL
     SELECT event_id, site, conversion, network, event_ms, attempts, NULL, 0,
            verdict, reason, settled_ms, payload, last_answer, 0, NULL, '' FROM history";
const HELD: &str = " UNION ALL
     SELECT event_id, site, conversion, network, event_ms, 0, NULL, 0,
            NULL, NULL, NULL, payload, NULL, 0, state, missing FROM held";
