//! A row in the hands of the delivery worker, and what the worker says about it afterwards.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::mask;
use crate::tracking::{
    event::{Event, Payload},
    timestamp::Timestamp,
    verdict::{RetryReason, Verdict},
};

/// A row that this process alone may send, until it is settled or released.
///
/// Dropping one leaves the row leased until this process ends: nothing is lost, but it waits.
#[must_use = "a leased row waits until it is settled or released"]
#[derive(Debug)]
pub struct LeasedRow {
    /// What happened.
    pub event: Event,
    /// Attempts so far; those that failed for no reason of its own are not counted.
    pub attempts: u32,
    /// When an operator gave it new time although it was too old.
    pub revived: Option<Timestamp>,
    /// Where it stands.
    pub(super) place: Place,
}

/// In whose outbox a leased row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In that of this node, in this row.
    Local(i64),
    /// In that of the fleet, for this attempt.
    Fleet(Uuid),
}

impl LeasedRow {
    /// The row of this node's outbox; no row has the number 0.
    pub(super) const fn local(&self) -> i64 {
        match self.place {
            Place::Local(id) => id,
            Place::Fleet(_) => 0,
        }
    }
}

impl LeasedRow {
    /// Since when it waits, for whatever gives a conversion up by its age.
    #[must_use]
    pub fn counts_from(&self) -> Timestamp {
        self.revived.unwrap_or(self.event.time)
    }
}

/// The end of one attempt.
#[derive(Debug)]
pub struct Settlement {
    /// The row; its lease ends here.
    pub row: LeasedRow,
    /// What becomes of it.
    pub outcome: Settled,
    /// The last answer, for people.
    pub answer: Option<AnswerRecord>,
    /// When the attempt ended.
    pub now: Timestamp,
}

/// What becomes of a row after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is over.
    Final(Verdict),
    /// Another attempt follows.
    Retry {
        /// Not before this time.
        at: Timestamp,
        /// Why.
        reason: RetryReason,
    },
}

/// What an attempt met, kept with the row for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerRecord {
    /// When the attempt ended.
    pub at: Timestamp,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The beginning of the body.
    pub body: String,
    /// The verdict's word, or why there will be another attempt.
    pub result: &'static str,
    /// How long the attempt took, in milliseconds.
    pub millis: u64,
}

/// An [`AnswerRecord`] as it was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// When the attempt ended.
    pub at: Timestamp,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The beginning of the body.
    pub body: String,
    /// The verdict's word, or why there was to be another attempt.
    pub result: String,
    /// How long the attempt took, in milliseconds.
    pub millis: u64,
}

impl AnswerRecord {
    /// The most of a body that is kept, in bytes.
    pub const MAX_BODY: usize = 2048;

    /// Cuts a body to what is kept, as text, and hides what it repeats of a person.
    #[must_use]
    pub fn excerpt(body: &[u8], payload: &Payload) -> String {
        // First hidden, then cut: half an address would not be recognized.
        let mut text = mask::without_personal(body, payload);
        let end = text.floor_char_boundary(Self::MAX_BODY);
        text.truncate(end);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_never_longer_than_two_kibibytes() {
        for byte in [b'a', 0xff] {
            let excerpt = AnswerRecord::excerpt(&vec![byte; 10_000], &Payload::default());
            assert!(excerpt.len() <= AnswerRecord::MAX_BODY && excerpt.len() > AnswerRecord::MAX_BODY - 3);
        }
    }

    #[test]
    fn an_excerpt_hides_an_address_that_stands_where_it_is_cut() {
        let fields = [("email".to_owned(), "a@b.example".to_owned())].into();
        let payload = Payload { fields, ..Payload::default() };
        let body = format!("{}A@B.example said no", "x".repeat(AnswerRecord::MAX_BODY - 4));
        let excerpt = AnswerRecord::excerpt(body.as_bytes(), &payload);
        assert!(excerpt.ends_with("xx*** ") && !excerpt.contains("A@B"), "{excerpt}");
    }
}
