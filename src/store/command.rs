//! What the handles ask of the writer.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Accepted, Claim, LeasedRow, NewRow, Settlement};
use crate::tracking::timestamp::Timestamp;

/// One request to the writer.
pub(super) enum Command {
    Accept {
        rows: Vec<NewRow>,
        answer: oneshot::Sender<Vec<Accepted>>,
    },
    Claim {
        claims: Vec<Claim>,
        /// Gone once answered, which happens before the commit.
        answer: Option<oneshot::Sender<Vec<Accepted>>>,
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
    Close(oneshot::Sender<()>),
    #[cfg(test)]
    Test(Box<dyn FnOnce(&rusqlite::Connection) + Send>),
}

impl Command {
    /// Answers at once that nothing was stored; only for commands that were never tried.
    ///
    /// A settlement or release is lost here: the row stays leased until this process ends.
    pub(super) fn refuse(self) {
        // Nobody waiting for the answer is fine everywhere.
        match self {
            Self::Accept { rows, answer } => drop(answer.send(vec![Accepted::Unstored; rows.len()])),
            Self::Claim { claims, answer } => {
                drop(answer.map(|answer| answer.send(vec![Accepted::Unstored; claims.len()])));
            }
            Self::Lease { answer, .. } => drop(answer.send(Vec::new())),
            Self::Close(done) => drop(done.send(())),
            Self::Settle(_) | Self::Release { .. } => {}
            #[cfg(test)]
            Self::Test(_) => {}
        }
    }
}
