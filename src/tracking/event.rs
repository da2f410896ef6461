//! A conversion that happened, as one network will hear of it.
//!
//! This is what a row of the outbox holds: everything that came from the visitor's request and
//! nothing that comes from the configuration. Settings and secrets are joined in when the postback
//! is rendered, so that a corrected configuration also corrects what is still queued.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{journey::JourneyKey, timestamp::Timestamp};

/// Identifies one postback on every attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// Takes a UUID made by the caller: the core has no randomness of its own.
    #[must_use]
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Reads an event id as an operator types it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// The 16 bytes as they are stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Reads the 16 bytes as they are stored.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One conversion for one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Stable over all attempts.
    pub id: EventId,
    /// When the thank-you page was answered.
    pub time: Timestamp,
    /// The site's name.
    pub site: Arc<str>,
    /// The conversion rule's name.
    pub conversion: Arc<str>,
    /// The key of the network under `networks:` of the site.
    pub network: Arc<str>,
    /// What was read from the visitor's request.
    pub payload: Payload,
}

/// The values of an [`Event`] that came from the visitor's request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// This network's click IDs, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clicks: Vec<String>,
    /// Fields of the conversion by name (`order_id`, `value`, `email`, …).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// What sources under `send:` gave, by parameter; `extra.NAME` for further names. Literals and
    /// secrets are not here: they come from the configuration when the request is rendered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Datum>,
    /// The keys of the visitor's journey, so that a withdrawal finds what is still to be sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub visitor: Vec<JourneyKey>,
}

/// What a name stands for in a template: one text, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Datum {
    /// One text.
    One(String),
    /// Several texts in order.
    Many(Vec<String>),
}

impl Datum {
    /// Whether there is nothing in it: no texts, or empty ones.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::One(text) => text.is_empty(),
            Self::Many(texts) => texts.iter().all(String::is_empty),
        }
    }
}

/// What two reports of one conversion have in common: 16 bytes of a SHA-256 over the names of site,
/// conversion and network and the value that tells orders apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DedupKey([u8; 16]);

impl DedupKey {
    /// Builds the key; each part is preceded by its length, so that no two lists of parts collide.
    #[must_use]
    pub fn new(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut key = [0; 16];
        for (to, from) in key.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        Self(key)
    }

    /// The key of a conversion that an order id or the like tells apart.
    #[must_use]
    pub fn once(site: &str, conversion: &str, network: &str, value: &str) -> Self {
        Self::new(&[site, conversion, network, "once", value])
    }

    /// The key of a conversion that only its clicks tell apart.
    #[must_use]
    pub fn clicks(site: &str, conversion: &str, network: &str, clicks: &[String]) -> Self {
        Self::new(&[site, conversion, network, "click", &clicks.join(",")])
    }

    /// Reads the 16 bytes as they are stored.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes as they are stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A dedup key and how long it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// The key.
    pub key: DedupKey,
    /// The time from the first acceptance in which the same key is a duplicate.
    pub window: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        assert_ne!(DedupKey::new(&["ab", "c"]), DedupKey::new(&["a", "bc"]));
    }
}
