//! What the handles ask of the writer.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{Accepted, CandidateEnd, Claim, LeasedRow, NewRow, Settlement, departure::Departed, withdrawal::Subject};
use crate::tracking::{
    event::DedupKey,
    event::EventId,
    journey::{Journey, JourneyKey},
    timestamp::Timestamp,
};

/// Who wants something forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Teller {
    /// Somebody at this node, so that the fleet is to be told.
    Visitor,
    /// The fleet.
    Fleet,
}

/// One request to the writer.
pub(super) enum Command {
    Accept {
        rows: Vec<NewRow>,
        answer: oneshot::Sender<Vec<Accepted>>,
    },
    End {
        ends: Vec<CandidateEnd>,
        answer: oneshot::Sender<Vec<Accepted>>,
    },
    GiveBack(Vec<(EventId, DedupKey)>),
    Claim {
        claims: Vec<Claim>,
        /// Gone once answered, which happens before the commit.
        answer: Option<oneshot::Sender<Vec<Accepted>>>,
    },
    Remember {
        site: Arc<str>,
        keys: Vec<JourneyKey>,
        journey: Box<Journey>,
        expires: Timestamp,
        /// What is older is forgotten on this occasion.
        kept: Duration,
    },
    Forget {
        keys: Vec<JourneyKey>,
        told_by: Teller,
        /// All keys under which these journeys were kept.
        done: oneshot::Sender<Vec<JourneyKey>>,
    },
    Withdraw {
        ids: Vec<EventId>,
        /// Whose they are: a node's fleet may know of more.
        subject: Subject,
        done: oneshot::Sender<()>,
    },
    Lease {
        site: Arc<str>,
        network: Arc<str>,
        room: usize,
        now: Timestamp,
        answer: oneshot::Sender<Vec<LeasedRow>>,
    },
    Settle(Settlement),
    Release {
        row: LeasedRow,
        /// Not due before this time; `None` leaves the row as it is.
        at: Option<Timestamp>,
    },
    /// Makes rows due that wait for a later time.
    Wake {
        site: Arc<str>,
        network: Arc<str>,
        now: Timestamp,
        /// How many; 0 when all are due.
        answer: oneshot::Sender<usize>,
    },
    /// The fleet has these.
    Depart {
        departed: Departed,
        done: oneshot::Sender<()>,
    },
    Close(oneshot::Sender<()>),
    #[cfg(test)]
    Test(Box<dyn FnOnce(&rusqlite::Connection) + Send>),
}

impl Command {
    /// Answers at once that nothing was stored; only for commands that were never tried.
    ///
    /// A settlement or release is lost here: the row stays leased until this process ends. So is what a
    /// visit brought.
    pub(super) fn refuse(self) {
        // Nobody waiting for the answer is fine everywhere.
        match self {
            Self::Accept { rows, answer } => drop(answer.send(vec![Accepted::Unstored; rows.len()])),
            Self::End { ends, answer } => drop(answer.send(vec![Accepted::Unstored; ends.len()])),
            Self::Claim { claims, answer } => {
                drop(answer.map(|answer| answer.send(vec![Accepted::Unstored; claims.len()])));
            }
            Self::Lease { answer, .. } => drop(answer.send(Vec::new())),
            // Their end is the answer.
            Self::Close(done) | Self::Withdraw { done, .. } | Self::Depart { done, .. } => drop(done),
            Self::Forget { done, .. } => drop(done),
            Self::Wake { answer, .. } => drop(answer),
            Self::Settle(_) | Self::Release { .. } | Self::Remember { .. } | Self::GiveBack(_) => {}
            #[cfg(test)]
            Self::Test(_) => {}
        }
    }
}
