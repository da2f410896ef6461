//! What follows from the site's answer, for others to carry out.

use super::remembrance::{CaptureResult, Remembrance};
use crate::tracking::{
    click::ClickResult,
    consent::Decision,
    conversion::{FieldResult, Outcome},
    event::{Dedup, Event, EventId},
    grounds::Grounds,
    journey::JourneyKey,
    late::Awaited,
};

/// What follows from the site's answer.
#[derive(Debug, Default)]
pub struct Answered {
    /// `Set-Cookie` headers.
    pub set_cookies: Vec<String>,
    /// What became of click parameters, by network.
    pub clicks: Vec<(usize, ClickResult)>,
    /// What the visitor has agreed to, where anything is asked for.
    pub consent: Option<Decision>,
    /// Outcomes that need no store.
    pub decided: Vec<Decided>,
    /// Conversions that nobody hears of, and what would have been sent of them.
    pub unsent: Vec<(Decided, Event)>,
    /// Conversions to be written down.
    pub rows: Vec<PlannedRow>,
    /// Candidates that turned out to be conversions, or that lack something; by their event ids.
    pub settled: Vec<PlannedRow>,
    /// Candidates that turned out to be none.
    pub dropped: Vec<(Decided, EventId)>,
    /// Dedup keys to be taken before counted pixels are shown.
    pub claims: Vec<PlannedClaim>,
    /// Claims that waited for the page; without its proof, they give their keys back.
    pub claim_ends: Vec<ClaimEnd>,
    /// Conversions whose pixels the browser may have to fetch when their page has shown what they need.
    pub owing: Vec<Awaited>,
    /// Pixels of pure cookie matches, by network, with the cookie that remembers them.
    pub matches: Vec<(usize, Vec<String>)>,
    /// Networks whose pixels the page could not carry.
    pub unreached: Vec<usize>,
    /// Conversions that nothing tells apart from their repeats.
    pub undeduplicated: Vec<usize>,
    /// What became of the fields of a conversion, in their order.
    pub fields: Vec<(usize, Vec<FieldResult>)>,
    /// What became of captures.
    pub captures: Vec<(usize, CaptureResult)>,
    /// What is to be remembered.
    pub remembrances: Vec<Remembrance>,
    /// What a visitor who has withdrawn consent wants forgotten.
    pub withdrawal: Option<Withdrawal>,
}

/// An outcome that needs no store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Which conversion of the site.
    pub conversion: usize,
    /// Which of its networks, by its place under `send`.
    pub send: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, and from what.
    pub grounds: Grounds,
}

impl Decided {
    /// The same with what the store has made of it; why it would have been something else is no matter then.
    #[must_use]
    pub fn turned_out(mut self, outcome: Outcome) -> Self {
        if outcome != self.outcome {
            self.grounds.reason = None;
        }
        Self { outcome, ..self }
    }
}

/// A conversion to be written down.
#[derive(Debug)]
pub struct PlannedRow {
    /// Which conversion of the site.
    pub conversion: usize,
    /// Which of its networks, by its place under `send`.
    pub send: usize,
    /// The row.
    pub event: Event,
    /// How repeats are recognised.
    pub dedup: Option<Dedup>,
    /// Why it is not to be sent yet.
    pub hold: Option<Hold>,
    /// Whether the visitor's browser is to learn its verdict: pixels depend on it.
    pub awaits_verdict: bool,
    /// From what it was made.
    pub grounds: Grounds,
}

/// Why a row is not to be sent yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The body of the answer is still to come. It takes no key until that has ended.
    Candidate {
        /// Whether it must show proof.
        needs_proof: bool,
        /// Whether what tells it from a repeat stands there.
        key_is_open: bool,
        /// Whether the visitor's journey, which may change all of it, is still awaited.
        needs_journey: bool,
    },
    /// These names have no value; a person may complete it. It takes its key like one that is sent.
    Incomplete {
        /// The names.
        missing: Vec<String>,
    },
    /// There is nothing to report it by: the browser is to fetch its pixels. It takes its key and is
    /// never sent.
    Owed,
}

/// A dedup key to be taken before counted pixels are shown.
#[derive(Debug)]
pub struct PlannedClaim {
    /// Which conversion of the site.
    pub conversion: usize,
    /// Which of its networks, by its place under `send`.
    pub send: usize,
    /// Which network of the site.
    pub network: usize,
    /// Stands for the pixels where a row would have its event id.
    pub event_id: EventId,
    /// How repeats are recognised.
    pub dedup: Option<Dedup>,
    /// The addresses of the pixels.
    pub pixels: Vec<String>,
    /// Whether the page has still to show its proof, or what stands in their addresses.
    pub awaits_page: bool,
    /// Why there is nothing to report by.
    pub grounds: Grounds,
}

/// The end of a claim that waited for the page.
#[derive(Clone, Debug)]
pub struct ClaimEnd {
    /// Which conversion of the site.
    pub conversion: usize,
    /// Which of its networks, by its place under `send`.
    pub send: usize,
    /// Which network of the site.
    pub network: usize,
    /// The claim.
    pub event_id: EventId,
    /// Its key.
    pub dedup: Option<Dedup>,
    /// Whether the page showed what it must.
    pub is_proven: bool,
    /// The addresses of the pixels, with what the page has shown.
    pub pixels: Vec<String>,
    /// Why there is nothing to report by, or what the page did not show.
    pub grounds: Grounds,
}

/// What is to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawal {
    /// Click IDs with the keys of their networks.
    pub clicks: Vec<(String, String)>,
    /// Journeys.
    pub journeys: Vec<JourneyKey>,
}
