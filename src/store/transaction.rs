//! One batch of commands as one transaction, and what its commands are told afterwards.
//!
//! Commands are only borrowed while the transaction runs, so that after a failure everything is
//! still there to be looked up or repeated.

use std::{collections::BTreeSet, sync::Arc};

use rusqlite::Connection;

use super::{
    Accepted, CandidateEnd, Claim, End, ErrorKind, Hold, LeasedRow, NewRow, clock,
    command::{Command, Teller},
    dedup::{self, Taken},
    departure::{self, Counted},
    errand::{Errand, TakenKey},
    held,
    journeys::{self, Addition},
    outbox,
    shared::Role,
    withdrawal::{self, Announcement, Ended, Subject},
};
use crate::tracking::{event::EventId, journey::JourneyKey};

/// What a command did, until the commit makes it true.
pub(super) enum Applied {
    Rows(Vec<Placed>),
    Leased(Vec<LeasedRow>),
    /// How many rows.
    Woken(usize),
    /// The second: conversions that no fleet has seen.
    Withdrawn(Vec<Ended>, Vec<Counted>),
    Departed(Vec<Counted>),
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

/// For whom a batch is written.
#[derive(Clone, Copy)]
pub(super) struct Scribe<'a> {
    /// This process.
    pub(super) owner: &'a str,
    /// Who new rows are leased to; nobody, when nobody would be told of them.
    pub(super) lease: Option<&'a str>,
    pub(super) role: Role,
}

/// Why nothing of a batch may have been stored.
pub(super) struct Failure {
    pub(super) error: rusqlite::Error,
    /// Whether the commit itself failed, so that only a look at the disk can tell.
    pub(super) is_doubtful: bool,
}

impl Placed {
    pub(super) const fn accepted(self, role: Role) -> Accepted {
        match self {
            Self::At(_) | Self::Known | Self::Held => match role {
                Role::Alone => Accepted::Queued,
                Role::Node => Accepted::Provisional,
            },
            // It never reaches the fleet.
            Self::Withdrawn => Accepted::Queued,
            Self::Duplicate => Accepted::Duplicate,
            Self::Refused | Self::Dropped => Accepted::Unstored,
        }
    }
}

/// Writes a batch.
pub(super) fn run(connection: &Connection, batch: &mut [Command], scribe: Scribe<'_>) -> Result<Vec<Applied>, Failure> {
    let certain = |error| Failure { error, is_doubtful: false };
    execute(connection, "BEGIN IMMEDIATE").map_err(certain)?;
    let done = batch
        .iter_mut()
        .map(|command| apply(connection, command, scribe))
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

fn apply(connection: &Connection, command: &mut Command, scribe: Scribe<'_>) -> rusqlite::Result<Applied> {
    let Scribe { owner, lease, role } = scribe;
    let note = |errand: Errand| if role == Role::Node { errand.write(connection) } else { Ok(()) };
    match command {
        Command::Accept { rows, .. } => {
            let placed = rows.iter().map(|row| {
                let placed = place(connection, row, owner, lease)?;
                // Nothing of it goes to the fleet but its key.
                let claim = Claim::of_pixels(row).filter(|_| placed == Placed::Held);
                claim.map_or(Ok(()), |claim| note(Errand::Claim(TakenKey::of(&claim))))?;
                Ok(placed)
            });
            placed.collect::<rusqlite::Result<_>>().map(Applied::Rows)
        }
        Command::End { ends, .. } => {
            ends.iter().map(|end| settle(connection, end, owner, lease)).collect::<Result<_, _>>().map(Applied::Rows)
        }
        Command::GiveBack(claims) => {
            claims.iter().try_for_each(|(id, key)| {
                dedup::release(connection, *id, *key)?;
                note(Errand::GiveBack(TakenKey::given_back(*id, *key)))
            })?;
            Ok(Applied::Nothing)
        }
        Command::Claim { claims, answer } => {
            if let Some(answer) = answer.take().filter(|answer| !answer.is_closed()) {
                let taken = claims
                    .iter()
                    .map(|claim| dedup::take(connection, claim.event_id, claim.dedup, claim.time))
                    .collect::<Result<Vec<_>, _>>()?;
                if answer.send(taken.iter().copied().map(accepted).collect()).is_err() {
                    give_back(connection, claims, &taken)?;
                } else {
                    newly(claims, &taken).try_for_each(|claim| note(Errand::Claim(TakenKey::of(claim))))?;
                }
            }
            Ok(Applied::Nothing)
        }
        Command::Remember { site, keys, journey, expires, kept } => {
            let addition = Addition { site, journey, now: clock::now(), expires: *expires, kept: *kept };
            keys.iter().try_for_each(|key| addition.write(connection, *key))?;
            if role == Role::Node {
                let (site, keys, journey) = (Arc::clone(site), keys.clone(), journey.clone());
                note(Errand::Remember { site, keys, journey, expires: *expires })?;
            }
            Ok(Applied::Nothing)
        }
        Command::Forget { keys, told_by, .. } => {
            let now = clock::now();
            let all = journeys::with_other_keys(connection, keys)?;
            all.iter().try_for_each(|key| {
                journeys::forget(connection, *key)?;
                Announcement::Journey(*key).write(connection, now)
            })?;
            if *told_by == Teller::Visitor {
                note(Errand::Forget(all.iter().copied().collect()))?;
            }
            Ok(Applied::Forgotten(all))
        }
        Command::Withdraw { ids, subject, .. } => withdraw(connection, ids, subject, scribe),
        Command::Depart { departed, .. } => {
            departure::remove(connection, departed, clock::now()).map(Applied::Departed)
        }
        Command::Lease { site, network, room, now, .. } => {
            outbox::lease(connection, (site, network), *room, *now, owner).map(Applied::Leased)
        }
        Command::Wake { site, network, now, .. } => outbox::wake(connection, (site, network), *now).map(Applied::Woken),
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

/// Ends rows that must not be sent any more.
fn withdraw(
    connection: &Connection,
    ids: &[EventId],
    subject: &Subject,
    scribe: Scribe<'_>,
) -> rusqlite::Result<Applied> {
    let (mut ended, mut unseen) = (Vec::new(), Vec::new());
    for id in ids {
        if scribe.role == Role::Node {
            unseen.extend(departure::ended_unseen(connection, *id)?);
        }
        ended.extend(withdrawal::end(connection, *id, scribe.owner, clock::now())?);
    }
    if scribe.role == Role::Node {
        Errand::Withdraw { subject: subject.clone(), ended: ids.to_vec() }.write(connection)?;
    }
    Ok(Applied::Withdrawn(ended, unseen))
}

/// The page left before the answer came: no pixels went out, so the next visit must find the key free.
fn give_back(connection: &Connection, claims: &[Claim], taken: &[Taken]) -> rusqlite::Result<()> {
    newly(claims, taken).try_for_each(|claim| dedup::give_back(connection, claim.dedup.key))
}

/// The claims whose keys were free.
fn newly<'a>(claims: &'a [Claim], taken: &'a [Taken]) -> impl Iterator<Item = &'a Claim> {
    claims.iter().zip(taken).filter(|(_, taken)| **taken == Taken::Now).map(|(claim, _)| claim)
}

const fn accepted(taken: Taken) -> Accepted {
    match taken {
        Taken::Now | Taken::Before => Accepted::Queued,
        Taken::Elsewhere => Accepted::Duplicate,
    }
}
