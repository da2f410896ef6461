//! What became of hits, and why: one record for each hit and network.
//!
//! A record is written after the page, about once a second. Conversions come first: records that wait are
//! few, and what comes on top is dropped and counted. Hits that are no visits, which bots bring by the
//! thousand, have a place of their own and cannot crowd out the others.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::{Connection, params};

use super::{Store, lookup, outbox::json, withdrawal::Withdrawn};
use crate::tracking::{
    conversion::Outcome,
    event::EventId,
    grounds::{Details, Grounds, Told},
    timestamp::Timestamp,
};

/// What became of a hit for one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The site's name.
    pub site: Arc<str>,
    /// The conversion's name.
    pub conversion: Arc<str>,
    /// The network's key.
    pub network: Arc<str>,
    /// When that was known.
    pub time: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, and from what.
    pub grounds: Grounds,
}

/// Records on their way to the disk.
#[derive(Debug, Default)]
pub(super) struct Hits {
    waiting: Mutex<Waiting>,
    foreseen: Mutex<BTreeMap<EventId, Hit>>,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Those that could have been conversions.
    judged: Vec<Hit>,
    /// Bots, mostly.
    noise: Vec<Hit>,
    /// Conversions that could not be written: what waits here waits for the disk, the oldest first.
    unstored: VecDeque<Hit>,
}

impl Store {
    /// Writes down what became of a hit, unless too many records wait. Never waits.
    pub fn note(&self, hit: Hit) {
        if let Some(told) = self.fleet().and(hit.grounds.told.as_ref()) {
            self.shared.hits.take_foreseen(told.event_id);
        }
        self.shared.hits.push(hit);
    }

    /// Keeps what is known of a hit until the fleet has said what became of it. Never waits.
    ///
    /// Who says it may be faster than whoever learns that it is to be said, so this comes before the hit's
    /// row is accepted, and [`note`](Self::note) takes it back.
    pub fn foresee(&self, id: EventId, hit: Hit) {
        self.shared.hits.foresee(id, hit);
    }
}

impl Hits {
    fn push(&self, hit: Hit) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if hit.outcome == Outcome::Unstored {
            waiting.unstored.push_back(hit);
            if waiting.unstored.len() > UNSTORED && waiting.unstored.pop_front().is_some() {
                drop(waiting);
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let place = if hit.outcome.is_judged() { &mut waiting.judged } else { &mut waiting.noise };
        if place.len() < WAITING {
            place.push(hit);
        } else {
            drop(waiting);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn foresee(&self, id: EventId, hit: Hit) {
        let mut foreseen = self.foreseen.lock().unwrap_or_else(PoisonError::into_inner);
        foreseen.insert(id, hit);
        // Ids begin with their time: the oldest goes first.
        if foreseen.len() > FORESEEN && foreseen.pop_first().is_some() {
            drop(foreseen);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take_foreseen(&self, id: EventId) -> Option<Hit> {
        self.foreseen.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// Writes down what a fleet has said of a row; one that another process accepted is told by what its row
    /// holds.
    pub(super) fn decided(&self, id: EventId, outcome: Outcome, otherwise: impl FnOnce() -> Option<Hit>) {
        if let Some(hit) = self.take_foreseen(id).or_else(otherwise) {
            self.push(Hit { outcome, ..hit });
        }
    }

    /// How many were dropped since the last call.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Writes some of those that wait, so that no page waits for long behind them, and says whether there are
    /// more; after an error they wait again. Of what was withdrawn meanwhile stays that it was.
    pub(super) fn write(&self, connection: &Connection, withdrawn: &Withdrawn) -> rusqlite::Result<bool> {
        let (slice, has_more) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).slice();
        if slice.is_empty() {
            return Ok(false);
        }
        let written = insert(connection, &slice, withdrawn);
        if written.is_err() {
            slice.into_iter().for_each(|hit| self.push(hit));
        }
        written.map(|()| has_more)
    }
}

impl Waiting {
    /// Those that are to be written next, and whether there are more.
    fn slice(&mut self) -> (Vec<Hit>, bool) {
        let Self { judged, noise, unstored } = self;
        let mut slice: Vec<_> = judged.drain(..judged.len().min(SLICE)).collect();
        slice.extend(unstored.drain(..unstored.len().min(SLICE - slice.len())));
        slice.extend(noise.drain(..noise.len().min(SLICE - slice.len())));
        (slice, !(judged.is_empty() && unstored.is_empty() && noise.is_empty()))
    }
}

impl Hits {
    /// Shows what waits and has no row, so that it is nowhere else.
    pub(super) fn waiting(&self, show: impl FnMut(&Hit)) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let has_row = |hit: &&Hit| matches!(hit.outcome, Outcome::Queued | Outcome::Incomplete);
        waiting.judged.iter().chain(&waiting.unstored).filter(|hit| !has_row(hit)).for_each(show);
    }
}

/// Leaves of a record that it was.
pub(super) fn empty(connection: &Connection, event_id: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE hits SET order_id = NULL, clicks = NULL, value = NULL, currency = NULL, details = NULL
             WHERE event_id = ?1",
        )?
        .execute([event_id])
        .map(drop)
}

fn insert(connection: &Connection, hits: &[Hit], withdrawn: &Withdrawn) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    let mut statement = transaction.prepare_cached(
        "INSERT INTO hits (at_ms, site, conversion, network, outcome, reason, event_id, order_id, clicks, value,
                           currency, details)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for Hit { site, conversion, network, time, outcome, grounds } in hits {
        let id = grounds.told.as_ref().map(|told| told.event_id);
        let told = grounds.told.as_deref().filter(|told| !withdrawn.contains(told.event_id));
        if let Some(told) = told {
            let order_id = told.order_id.as_deref().map(|text| cut(text, MAX_TEXT));
            lookup::note(&transaction, told.event_id, order_id, told.clicks.iter().map(String::as_str))?;
        }
        let Columns { order_id, clicks, value, currency, details } = told.map(Columns::of).unwrap_or_default();
        statement.execute(params![
            time.as_millis(),
            &**site,
            &**conversion,
            &**network,
            outcome.as_str(),
            grounds.reason.as_deref().map(|text| cut(text, MAX_REASON)),
            id.as_ref().map(EventId::as_bytes),
            order_id,
            clicks,
            value,
            currency,
            details,
        ])?;
    }
    drop(statement);
    transaction.commit()
}

/// What is told of a visitor, as it is stored.
#[derive(Default)]
struct Columns<'a> {
    order_id: Option<&'a str>,
    clicks: Option<String>,
    value: Option<&'a str>,
    currency: Option<&'a str>,
    details: Option<String>,
}

impl<'a> Columns<'a> {
    fn of(told: &'a Told) -> Self {
        let Told { event_id: _, order_id, value, currency, clicks, details } = told;
        let text = |text: &'a Option<String>| text.as_deref().map(|text| cut(text, MAX_TEXT));
        let mut joined = String::new();
        for click in clicks {
            let space = if joined.is_empty() { "" } else { " " };
            // Writing into a string can't fail.
            let _written = write!(joined, "{space}{click}");
        }
        Self {
            order_id: text(order_id),
            clicks: (!joined.is_empty()).then_some(joined),
            value: text(value),
            currency: text(currency),
            details: bounded(details),
        }
    }
}

fn bounded(details: &Details) -> Option<String> {
    let fits = |text: &String| text.len() <= Details::MAX_LENGTH;
    let whole = json(details).ok().filter(fits);
    whole.or_else(|| json(&details.cut()).ok().filter(fits))
}

fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

/// Records of each kind that may wait: what is written in one go, about once a second.
const WAITING: usize = 500;
/// Written in one transaction: some milliseconds.
const SLICE: usize = 100;
/// Conversions that could not be written, of which it is known until the disk is there again: a few MB.
const UNSTORED: usize = 1000;
/// Hits whose row waits for the fleet; after a long outage, rows tell their outcome without their record.
const FORESEEN: usize = 10_000;
/// The most that is kept of an order id or an amount, in bytes.
pub(super) const MAX_TEXT: usize = 256;
const MAX_REASON: usize = 500;
