//! What is given to the store to be accepted, and what becomes of it.

use super::Hold;
use crate::tracking::{
    event::{Dedup, Event, EventId},
    timestamp::Timestamp,
};

/// A conversion to accept.
#[derive(Clone, Debug)]
pub struct NewRow {
    /// What happened.
    pub event: Event,
    /// What makes it the same conversion as another one; `None` accepts every one.
    pub key: Option<Dedup>,
    /// Why it is not to be sent yet; `None` sends it.
    pub hold: Option<Hold>,
}

/// How the page of a candidate ended.
#[derive(Clone, Debug)]
pub struct CandidateEnd {
    /// The candidate.
    pub event_id: EventId,
    /// How it ended.
    pub end: End,
}

/// What a page made of its candidate.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "most pages end well, and an end lives no longer than its command")]
pub enum End {
    /// It is a conversion: with everything the page has shown, and with its key.
    Accept(NewRow),
    /// The page did not show its proof.
    Unproven,
    /// It is none for another reason.
    Dropped,
}

/// Takes a dedup key without a row, for pixels that the network counts.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Who takes it.
    pub event_id: EventId,
    /// The key to take.
    pub dedup: Dedup,
    /// When the page was answered.
    pub time: Timestamp,
}

impl Claim {
    /// The claim of a row that is nothing but pixels.
    pub(super) fn of_pixels(row: &NewRow) -> Option<Self> {
        let dedup = row.key.filter(|_| row.hold == Some(Hold::Owed))?;
        Some(Self { event_id: row.event.id, dedup, time: row.event.time })
    }
}

/// What became of a [`NewRow`] or a [`Claim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is on disk (for a claim: the key is ours), now or from an earlier try.
    Queued,
    /// The key was taken by another conversion.
    Duplicate,
    /// It is on disk here, and the fleet decides later whether it is a duplicate; whoever learns it
    /// counts it.
    Provisional,
    /// It is certainly not on disk.
    Unstored,
}
