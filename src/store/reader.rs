//! The thread that answers what a page waits for, beside the writer and from the file.
//!
//! Its questions are cheap (each is a few seeks along an index), and their queue is short: a page
//! would rather have no answer at once than a late one.

use std::{
    sync::{Arc, atomic::Ordering, mpsc::Receiver},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tokio::sync::oneshot;

use super::{
    Fate, clock,
    database::FILE,
    departure::{self, Departures},
    fate,
    heirloom::{Heirloom, Slice},
    journeys,
    shared::Shared,
};
use crate::tracking::{
    event::EventId,
    journey::{Journey, JourneyKey},
    timestamp::Timestamp,
};

/// What a page asks.
#[derive(Debug)]
pub(super) enum Question {
    Recall {
        keys: Vec<JourneyKey>,
        now: Timestamp,
        answer: oneshot::Sender<Option<Journey>>,
    },
    Verdicts {
        ids: Vec<EventId>,
        answer: oneshot::Sender<Vec<Option<String>>>,
    },
    Fates {
        ids: Vec<EventId>,
        answer: oneshot::Sender<Vec<Option<Fate>>>,
    },
    /// The forwarder's: what goes next.
    Departures {
        rows: usize,
        errands: usize,
        answer: oneshot::Sender<Departures>,
    },
    /// The forwarder's: what this store brings into its fleet.
    Heirlooms {
        which: Heirloom,
        answer: oneshot::Sender<Option<Slice>>,
    },
}

pub(super) struct Reader {
    questions: Receiver<Question>,
    shared: Arc<Shared>,
    /// With the opening of the store that it belongs to.
    connection: Option<(u64, Connection)>,
}

impl Reader {
    pub(super) const fn new(questions: Receiver<Question>, shared: Arc<Shared>) -> Self {
        Self { questions, shared, connection: None }
    }

    /// Works until nobody is left to ask.
    pub(super) fn run(mut self) {
        while let Ok(question) = self.questions.recv() {
            if let Err(error) = self.answer(question) {
                tracing::debug!(%error, "a lookup in the store failed");
                self.connection = None;
            }
        }
    }

    /// An error drops the question, which its asker takes for an empty answer.
    fn answer(&mut self, question: Question) -> rusqlite::Result<()> {
        match question {
            // Whoever has stopped waiting needs no work.
            Question::Recall { answer, .. } if answer.is_closed() => {}
            Question::Recall { keys, now, answer } => {
                drop(answer.send(journeys::recall(self.connection()?, &keys, now)?));
            }
            Question::Verdicts { answer, .. } if answer.is_closed() => {}
            Question::Verdicts { ids, answer } => {
                let connection = self.connection()?;
                let verdicts = ids.iter().map(|id| verdict(connection, *id)).collect::<Result<_, _>>()?;
                drop(answer.send(verdicts));
            }
            Question::Fates { answer, .. } if answer.is_closed() => {}
            Question::Fates { ids, answer } => {
                let connection = self.connection()?;
                let fates = ids.iter().map(|id| fate::find(connection, *id)).collect::<Result<_, _>>()?;
                drop(answer.send(fates));
            }
            Question::Departures { rows, errands, answer } => {
                drop(answer.send(departure::next(self.connection()?, rows, errands)?));
            }
            Question::Heirlooms { which, answer } => {
                drop(answer.send(which.next(self.connection()?, clock::now())?));
            }
        }
        Ok(())
    }

    /// The connection to the file that the writer has open now: a damaged one may have been set aside.
    fn connection(&mut self) -> rusqlite::Result<&Connection> {
        let opening = self.shared.openings.load(Ordering::Acquire);
        let connection = match self.connection.take() {
            Some((known, connection)) if known == opening => connection,
            Some(_) | None => self.open()?,
        };
        Ok(&self.connection.insert((opening, connection)).1)
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.shared.folder.join(FILE), flags)?;
        connection.busy_timeout(PATIENCE)?;
        Ok(connection)
    }
}

/// The verdict's word; `None` while there is none.
fn verdict(connection: &Connection, id: EventId) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT verdict FROM outbox WHERE event_id = ?1
             UNION ALL SELECT verdict FROM history WHERE event_id = ?1
             UNION ALL SELECT state FROM held WHERE event_id = ?1 AND state = 'owed' LIMIT 1",
        )?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

/// Questions that may wait.
pub(super) const QUEUE: usize = 256;
/// Readers of a write-ahead log wait for nobody, but for the moment in which the log is begun anew.
const PATIENCE: Duration = Duration::from_millis(100);
