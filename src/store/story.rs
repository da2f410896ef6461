//! What became of hits, and the whole story of each: what lists, exports and the console show.
//!
//! A [`HitRecord`] is one line for each hit and network: the record of the hit and, where there is one, its
//! row. A [`Story`] is everything known of one, in order of time. Personal values are hidden here, so that
//! whoever shows a story need not think of it. What its words mean, and what to do, does not belong here.

use std::ops::ControlFlow;

use serde::Serialize;

use super::{
    Attempt,
    audit::AuditEntry,
    inspector::{RowDetail, RowState},
};
use crate::tracking::{
    event::{Event, EventId},
    grounds::{Choice, Details, Landing, Rival},
    timestamp::Timestamp,
};

mod telling;

/// Is shown one hit after another, until it has seen enough.
pub type Show<'a> = &'a mut dyn FnMut(HitRecord) -> ControlFlow<()>;

/// Which hits are meant; what is `None` does not narrow.
#[derive(Clone, Debug, Default)]
pub struct HitFilter {
    /// Hits of this site.
    pub site: Option<String>,
    /// Hits for this network.
    pub network: Option<String>,
    /// Hits of this conversion.
    pub conversion: Option<String>,
    /// Hits with this outcome, by its word.
    pub outcome: Option<String>,
    /// Hits since this time.
    pub since: Option<Timestamp>,
    /// Hits before this time.
    pub until: Option<Timestamp>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

impl HitFilter {
    /// Whether a hit is meant, apart from how many are.
    #[must_use]
    pub fn means(&self, hit: &HitRecord) -> bool {
        let Self { site, network, conversion, outcome, since, until, limit: _ } = self;
        let named =
            [(site, &hit.site), (network, &hit.network), (conversion, &hit.conversion), (outcome, &hit.outcome)];
        named.into_iter().all(|(wanted, name)| wanted.as_ref().is_none_or(|wanted| wanted == name))
            && since.is_none_or(|since| hit.time >= since)
            && until.is_none_or(|until| hit.time < until)
    }
}

/// What became of a hit for one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HitRecord {
    /// When the page was answered.
    pub time: Timestamp,
    /// When the verdict fell.
    pub settled: Option<Timestamp>,
    /// The site's name.
    pub site: String,
    /// The conversion's name.
    pub conversion: String,
    /// The network's key.
    pub network: String,
    /// The order's id.
    pub order_id: Option<String>,
    /// The network's click IDs, the oldest first.
    pub clicks: Vec<String>,
    /// The event's id; nothing for hits of which nothing is told.
    pub event_id: Option<EventId>,
    /// The order's value.
    pub value: Option<String>,
    /// Its currency.
    pub currency: Option<String>,
    /// The outcome's word.
    pub outcome: String,
    /// Why: of the verdict if there is one, else of the outcome.
    pub reason: Option<String>,
    /// The verdict's word; nothing while there is none, or never will be.
    pub verdict: Option<String>,
    /// Attempts to send it.
    pub attempts: u32,
}

/// What became of a hit for one network, and how it came to that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Story {
    /// What lists show of it.
    pub hit: HitRecord,
    /// Where its row stands, if it has one.
    pub state: Option<RowState>,
    /// What happened, in order of time.
    pub scenes: Vec<Scene>,
    /// What the request to the network is made of, with personal values hidden.
    #[serde(skip)]
    pub event: Option<Event>,
}

/// What was found by a search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stories {
    /// The stories, the oldest first.
    pub told: Vec<Story>,
    /// Whether everything was looked through; else there may be more.
    pub is_whole: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scene {
    /// When, if that is known.
    pub at: Option<Timestamp>,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// A click ID arrived; `is_carried`: it was seen in a cookie, and had arrived before.
    Landing(Landing),
    /// The journey passed a capture.
    Capture {
        /// The capture's name.
        name: String,
    },
    /// Another paid visit, which may have earned the conversion.
    Rival(Rival),
    /// The thank-you page was answered.
    Page {
        /// With this status.
        status: Option<u16>,
    },
    /// The visitor's choice was looked at.
    Consent(Choice),
    /// The journey was found.
    Match {
        /// `cookie`, `recognise_by`, `order_id`.
        by: Vec<String>,
    },
    /// The click IDs to report by were found.
    Clicks {
        /// The ids.
        ids: Vec<String>,
        /// Where they were read: `query.NAME`, `cookie.NAME`, `journey`, `send`.
        from: Option<String>,
    },
    /// Fields were read.
    Fields {
        /// In the order of the configuration.
        fields: Vec<Field>,
    },
    /// It was decided.
    Outcome {
        /// The outcome's word.
        outcome: String,
        /// Why, where several reasons are possible.
        reason: Option<String>,
    },
    /// It was not to be sent; this is what its network would have got.
    WouldSend {
        /// The request, without secrets and personal values.
        request: String,
    },
    /// An attempt to send it ended.
    Attempt(Attempt),
    /// It waits.
    Waits {
        /// For the next attempt at this time.
        next: Option<Timestamp>,
        /// Why the last one was none.
        reason: Option<String>,
        /// Or for a person who adds these.
        missing: Vec<String>,
    },
    /// It is over.
    Verdict {
        /// The verdict's word.
        verdict: String,
        /// Why.
        reason: Option<String>,
    },
    /// An operator did something to it.
    Deed(AuditEntry),
}

/// A field, and where it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it is, if it is known; personal values are hidden.
    pub value: Option<String>,
    /// The word of what became of it: `found`, `missing`, `doubtful`.
    pub result: Option<String>,
    /// Where it was read, or all places where it was looked for.
    pub from: Option<String>,
    /// When a capture had read it.
    pub captured: Option<Timestamp>,
}

/// Everything that is stored of a hit.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) hit: HitRecord,
    pub(super) details: Option<Details>,
    pub(super) row: Option<RowDetail>,
    pub(super) deeds: Vec<AuditEntry>,
    /// What was said of the outcome itself.
    pub(super) outcome_reason: Option<String>,
}

/// All that is shown one by one.
pub(super) fn collected<E>(each: impl FnOnce(Show<'_>) -> Result<(), E>) -> Result<Vec<HitRecord>, E> {
    let mut hits = Vec::new();
    each(&mut |hit| {
        hits.push(hit);
        ControlFlow::Continue(())
    })?;
    Ok(hits)
}
