//! One batch of commands as one transaction, and what its commands are told afterwards.
//!
//! Commands are only borrowed while the transaction runs, so that after a failure everything is
//! still there to be looked up or repeated.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::{
    Accepted, CandidateEnd, Claim, End, ErrorKind, Hold, LeasedRow, NewRow, clock,
    command::Command,
    dedup::{self, Taken},
    held,
    journeys::{self, Addition},
    outbox,
    withdrawal::{self, Announcement, Ended},
};
use crate::tracking::journey::JourneyKey;

/// What a command did, until the commit makes it true.
pub(super) enum Applied {
    Rows(Vec<Placed>),
    Leased(Vec<LeasedRow>),
    Withdrawn(Vec<Ended>),
    Forgotten(BTreeSet<JourneyKey>),
    Nothing,
}

/// Where one accepted row went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// Into the outbox, just now.
    At(i64),
    /// It was stored before.
    Known,
    /// Stored, but not to be sent yet.
    Held,
    /// A candidate that is a conversion, but was withdrawn before its page ended.
    Withdrawn,
    /// A candidate that is no conversion.
    Dropped,
    Duplicate,
    /// This row alone can't be stored.
    Refused,
}

/// Why nothing of a batch may have been stored.
pub(super) struct Failure {
    pub(super) error: rusqlite::Error,
    /// Whether the commit itself failed, so that only a look at the disk can tell.
    pub(super) is_doubtful: bool,
}

impl Placed {
    pub(super) const fn accepted(self) -> Accepted {
        match self {
            Self::At(_) | Self::Known | Self::Held | Self::Withdrawn => Accepted::Queued,
            Self::Duplicate => Accepted::Duplicate,
            Self::Refused | Self::Dropped => Accepted::Unstored,
        }
    }
}

/// Writes a batch. `lease` is who new rows are leased to; nobody, when nobody would be told of them.
pub(super) fn run(
    connection: &Connection,
    batch: &mut [Command],
    owner: &str,
    lease: Option<&str>,
) -> Result<Vec<Applied>, Failure> {
    let certain = |error| Failure { error, is_doubtful: false };
    execute(connection, "BEGIN IMMEDIATE").map_err(certain)?;
    let done = batch
        .iter_mut()
        .map(|command| apply(connection, command, owner, lease))
        .collect::<Result<Vec<_>, _>>()
        .map_err(certain)
        .and_then(|applied| match execute(connection, "COMMIT") {
            Ok(()) => Ok(applied),
            Err(error) => Err(Failure { error, is_doubtful: true }),
        });
    if done.is_err() {
        // Some failures have ended the transaction already; the caller opens the file anew anyway.
        let _ended = execute(connection, "ROLLBACK");
    }
    done
}

/// Runs a statement that is prepared once: with small batches, preparing would be a tenth of the cost.
fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

fn apply(
    connection: &Connection,
    command: &mut Command,
    owner: &str,
    lease: Option<&str>,
) -> rusqlite::Result<Applied> {
    match command {
        Command::Accept { rows, .. } => {
            rows.iter().map(|row| place(connection, row, owner, lease)).collect::<Result<_, _>>().map(Applied::Rows)
        }
        Command::End { ends, .. } => {
            ends.iter().map(|end| settle(connection, end, owner, lease)).collect::<Result<_, _>>().map(Applied::Rows)
        }
        Command::GiveBack(claims) => {
            claims.iter().try_for_each(|(id, key)| dedup::release(connection, *id, *key)).map(|()| Applied::Nothing)
        }
        Command::Claim { claims, answer } => {
            if let Some(answer) = answer.take().filter(|answer| !answer.is_closed()) {
                let taken = claims
                    .iter()
                    .map(|claim| dedup::take(connection, claim.event_id, claim.dedup, claim.time))
                    .collect::<Result<Vec<_>, _>>()?;
                if answer.send(taken.iter().copied().map(accepted).collect()).is_err() {
                    give_back(connection, claims, &taken)?;
                }
            }
            Ok(Applied::Nothing)
        }
        Command::Remember { site, keys, journey, expires, kept } => {
            let addition = Addition { site, journey, now: clock::now(), expires: *expires, kept: *kept };
            keys.iter().try_for_each(|key| addition.write(connection, *key))?;
            Ok(Applied::Nothing)
        }
        Command::Forget { keys, .. } => {
            let now = clock::now();
            let all = journeys::with_other_keys(connection, keys)?;
            all.iter().try_for_each(|key| {
                journeys::forget(connection, *key)?;
                Announcement::Journey(*key).write(connection, now)
            })?;
            Ok(Applied::Forgotten(all))
        }
        Command::Withdraw { ids, .. } => {
            let now = clock::now();
            let ended = ids.iter().map(|id| withdrawal::end(connection, *id, owner, now));
            Ok(Applied::Withdrawn(ended.filter_map(Result::transpose).collect::<Result<_, _>>()?))
        }
        Command::Lease { site, network, room, now, .. } => {
            outbox::lease(connection, (site, network), *room, *now, owner).map(Applied::Leased)
        }
        Command::Settle(settlement) => outbox::settle(connection, settlement, owner).map(|()| Applied::Nothing),
        Command::Release { row, at } => outbox::release(connection, row, *at, owner).map(|()| Applied::Nothing),
        Command::Close(_) => Ok(Applied::Nothing),
        #[cfg(test)]
        Command::Test(_) => Ok(Applied::Nothing),
    }
}

/// Ends a candidate. One whose page was answered while nothing could be written is still welcome.
fn settle(connection: &Connection, end: &CandidateEnd, owner: &str, lease: Option<&str>) -> rusqlite::Result<Placed> {
    let was_held = held::take_candidate(connection, end.event_id)?;
    match &end.end {
        End::Unproven | End::Dropped => Ok(Placed::Dropped),
        End::Accept(_) if !was_held && outbox::is_withdrawn(connection, end.event_id)? => Ok(Placed::Withdrawn),
        End::Accept(_) if !was_held && held::is_known(connection, end.event_id)? => Ok(Placed::Known),
        End::Accept(row) => place(connection, row, owner, lease),
    }
}

/// Takes the key and stores the row, or does neither.
fn place(connection: &Connection, row: &NewRow, owner: &str, lease: Option<&str>) -> rusqlite::Result<Placed> {
    let is_candidate = matches!(row.hold, Some(Hold::Candidate { .. }));
    if let Some(dedup) = row.key.filter(|_| !is_candidate) {
        match dedup::take(connection, row.event.id, dedup, row.event.time)? {
            Taken::Now => {}
            Taken::Before => return Ok(Placed::Known),
            Taken::Elsewhere => return Ok(Placed::Duplicate),
        }
    }
    let stored = match &row.hold {
        None => outbox::insert(connection, &row.event, lease).map(|id| id.map_or(Placed::Known, Placed::At)),
        Some(hold) => held::insert(connection, row, hold, owner).map(|_| Placed::Held),
    };
    match stored {
        Ok(placed) => Ok(placed),
        // SQLite has undone this statement alone (the row is too big, say): its neighbours go on.
        Err(error) if ErrorKind::of(&error) == ErrorKind::Other => {
            tracing::error!(%error, event = %row.event.id, "a conversion can't be stored");
            row.key.filter(|_| !is_candidate).map_or(Ok(()), |dedup| dedup::give_back(connection, dedup.key))?;
            Ok(Placed::Refused)
        }
        Err(error) => Err(error),
    }
}

/// The page left before the answer came: no pixels went out, so the next visit must find the key free.
fn give_back(connection: &Connection, claims: &[Claim], taken: &[Taken]) -> rusqlite::Result<()> {
    claims
        .iter()
        .zip(taken)
        .filter(|(_, taken)| **taken == Taken::Now)
        .try_for_each(|(claim, _)| dedup::give_back(connection, claim.dedup.key))
}

const fn accepted(taken: Taken) -> Accepted {
    match taken {
        Taken::Now | Taken::Before => Accepted::Queued,
        Taken::Elsewhere => Accepted::Duplicate,
    }
}
