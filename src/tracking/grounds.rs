//! What a decision about a hit rests on, for people who ask afterwards.
//!
//! It holds what an operator finds an order by, and names the places and times of everything else: of an
//! e-mail address it says where it was read, never what it is. Nothing at all is told of visitors who have
//! not agreed. Where it is kept, and for how long, does not belong here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    event::{EventId, Payload},
    journey::JourneyKey,
    timestamp::Timestamp,
};

/// What a decision about a hit rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    /// Which of the reasons that an outcome may have, in a few words and without values.
    pub reason: Option<String>,
    /// What may be told of the visitor.
    pub told: Option<Box<Told>>,
}

/// What is told of a visitor who has agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The id of the row, or of what would have been one.
    pub event_id: EventId,
    /// The order's id.
    pub order_id: Option<String>,
    /// Its value.
    pub value: Option<String>,
    /// Its currency.
    pub currency: Option<String>,
    /// This network's click IDs, the oldest first.
    pub clicks: Vec<String>,
    /// Everything else.
    pub details: Details,
}

/// Where everything came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The status of the site's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Where the click IDs were read: `query.NAME`, `cookie.NAME`, `journey`, `send`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub click_from: Option<String>,
    /// When they arrived, as far as the journey knows, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub landings: Vec<Landing>,
    /// The newest paid visit that this network does not pay for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rival: Option<Rival>,
    /// How the journey was found: `cookie`, `recognise_by`, `order_id`; empty without one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matched_by: Vec<String>,
    /// The captures that the journey had passed, and when.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub captures: BTreeMap<String, Timestamp>,
    /// What the visitor had chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<Choice>,
    /// What was read, in the order of the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldRead>,
    /// What would have been sent, of a conversion that nobody hears of; without secrets and personal values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The keys of the visitor's journey, so that whoever is forgotten is forgotten here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub visitor: Vec<JourneyKey>,
    /// Whether it was too much to be kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

/// The arrival of a click.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landing {
    /// When.
    pub at: Timestamp,
    /// The network's key.
    pub network: String,
    /// The parameter of the landing page's address.
    pub param: String,
    /// The click ID.
    pub click_id: String,
    /// Whether it was only seen in a cookie at that time: it had arrived before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[serde(default)]
    pub is_carried: bool,
}

/// A paid visit that another network or channel brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rival {
    /// When.
    pub at: Timestamp,
    /// The network's key, or the channel's parameter.
    pub by: String,
}

/// A visitor's choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The decision's word.
    pub decision: String,
    /// Where it was read; nothing where nobody asks, or where nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// What became of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldRead {
    /// Its name.
    pub name: String,
    /// The word of what became of it.
    pub result: String,
    /// Where it was read, or all places where it was looked for.
    pub from: String,
    /// When a capture had read it, of one that the journey remembers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured: Option<Timestamp>,
}

impl Told {
    /// What a row tells of itself.
    #[must_use]
    pub fn of(event_id: EventId, payload: &Payload) -> Self {
        let field = |name: &str| payload.fields.get(name).cloned();
        Self {
            event_id,
            order_id: field("order_id"),
            value: field("value"),
            currency: field("currency"),
            clicks: payload.clicks.clone(),
            details: Details { visitor: payload.visitor.clone(), ..Details::default() },
        }
    }
}

impl Details {
    /// The most that is kept, in bytes of JSON.
    pub const MAX_LENGTH: usize = 8 * 1024;

    /// What is left of it when it is too much: what others rely on, and that it was cut.
    #[must_use]
    pub fn cut(&self) -> Self {
        let Self { status, consent, matched_by, visitor, .. } = self.clone();
        Self { status, consent, matched_by, visitor, is_cut: true, ..Self::default() }
    }
}
