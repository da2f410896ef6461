//! Journeys: what is known of one visitor beyond the request at hand.
//!
//! Captures and landings add to a journey, and a conversion recalls it. Two nodes, or two requests at
//! once, may each know a part: parts merge into the same journey in whatever order they come. Where
//! journeys are kept, and when they are looked up, does not belong here.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::timestamp::Timestamp;

mod bound;
mod key;

pub use key::{Identifier, JourneyKey, JourneyKeys};

/// What is known of one visitor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Journey {
    /// Clicks of all networks, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clicks: Vec<RecalledClick>,
    /// Captured fields by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Remembered>,
    /// When each capture was last passed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub passed: BTreeMap<String, Timestamp>,
    /// The newest paid visit, by the name of its channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Remembered>,
    /// The newest decision on consent, as its label, and those of networks that differ: `granted rokt=denied`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<Remembered>,
    /// The visitor's address, as far as it may be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<Remembered>,
    /// The visitor's browser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Remembered>,
    /// All keys under which this journey is kept, and when each was last seen.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<JourneyKey, Timestamp>,
}

/// A click of this visitor.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecalledClick {
    /// The network's key.
    pub network: String,
    /// The click ID.
    pub id: String,
    /// When it last arrived.
    pub time: Timestamp,
    /// Whether it was only seen in a cookie: when it arrived is not known, except that it was before `time`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[serde(default)]
    pub is_carried: bool,
}

/// A text, and when it was learnt.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The text.
    pub text: String,
    /// When it was learnt.
    pub time: Timestamp,
}

impl Journey {
    /// Adds what is known elsewhere: of everything the newest.
    ///
    /// The same comes out whichever of the two is added to the other; of two texts of the same time the
    /// greater one stays. A click that arrives again is as young as its last arrival; having been seen in a
    /// cookie since makes it no younger.
    pub fn merge(&mut self, other: Self) {
        for click in other.clicks {
            self.add_click(click);
        }
        self.clicks.sort_by(|a, b| a.order().cmp(&b.order()));
        for (name, field) in other.fields {
            newest(self.fields.entry(name).or_insert_with(|| field.clone()), field);
        }
        for (capture, time) in other.passed {
            let known = self.passed.entry(capture).or_insert(time);
            *known = time.max(*known);
        }
        for (key, time) in other.keys {
            let known = self.keys.entry(key).or_insert(time);
            *known = time.max(*known);
        }
        for (known, other) in [
            (&mut self.channel, other.channel),
            (&mut self.consent, other.consent),
            (&mut self.client_ip, other.client_ip),
            (&mut self.user_agent, other.user_agent),
        ] {
            if let Some(other) = other {
                newest(known.get_or_insert_with(|| other.clone()), other);
            }
        }
        self.bound();
    }

    /// The network's clicks that are no older than `ttl`, the oldest first.
    #[must_use]
    pub fn clicks_of(&self, network: &str, now: Timestamp, ttl: Duration) -> Vec<&RecalledClick> {
        let counts = |click: &&RecalledClick| click.network == network && now.since(click.time) <= ttl;
        self.clicks.iter().filter(counts).collect()
    }

    /// Whether this capture was passed, and not too long ago.
    #[must_use]
    pub fn has_passed(&self, capture: &str, now: Timestamp, within: Duration) -> bool {
        self.passed.get(capture).is_some_and(|time| now.since(*time) <= within)
    }

    /// A captured field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|field| field.text.as_str())
    }

    /// Remembers that a capture was passed.
    pub fn pass(&mut self, capture: &str, time: Timestamp) {
        let known = self.passed.entry(capture.to_owned()).or_insert(time);
        *known = time.max(*known);
    }

    /// Whether nothing is known but keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clicks.is_empty() && self.fields.is_empty() && self.passed.is_empty() && self.singles().next().is_none()
    }

    /// When something was last learnt.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        let clicks = self.clicks.iter().map(|click| click.time);
        let remembered = self.fields.values().chain(self.singles()).map(|remembered| remembered.time);
        clicks.chain(remembered).chain(self.passed.values().copied()).max()
    }

    /// Forgets everything that is older than `retention`, so that a journey which goes on does not keep
    /// what began it for ever.
    pub fn expire(&mut self, now: Timestamp, retention: Duration) {
        let is_young = |time: Timestamp| now.since(time) <= retention;
        self.clicks.retain(|click| is_young(click.time));
        self.fields.retain(|_, field| is_young(field.time));
        self.passed.retain(|_, time| is_young(*time));
        self.keys.retain(|_, time| is_young(*time));
        for single in [&mut self.channel, &mut self.consent, &mut self.client_ip, &mut self.user_agent] {
            single.take_if(|remembered| !is_young(remembered.time));
        }
    }

    fn add_click(&mut self, click: RecalledClick) {
        let is_same = |known: &&mut RecalledClick| known.network == click.network && known.id == click.id;
        match self.clicks.iter_mut().find(is_same) {
            Some(known) if known.age() < click.age() => *known = click,
            Some(_) => {}
            None => self.clicks.push(click),
        }
    }

    fn singles(&self) -> impl Iterator<Item = &Remembered> {
        [&self.channel, &self.consent, &self.client_ip, &self.user_agent].into_iter().flatten()
    }
}

impl RecalledClick {
    /// By arrival, those first that came before all that is known; the rest settles what happened at the
    /// same time.
    fn order(&self) -> (bool, Timestamp, &str, &str) {
        let (has_arrived, time) = self.age();
        (has_arrived, time, &self.network, &self.id)
    }

    const fn age(&self) -> (bool, Timestamp) {
        (!self.is_carried, self.time)
    }
}

impl Remembered {
    /// A text learnt at this time.
    #[must_use]
    pub fn new(text: impl Into<String>, time: Timestamp) -> Self {
        Self { text: text.into(), time }
    }
}

/// Click IDs are no matter for logs.
impl fmt::Debug for RecalledClick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecalledClick")
            .field("network", &self.network)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// Neither is what visitors typed.
impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").field("time", &self.time).finish_non_exhaustive()
    }
}

fn newest(known: &mut Remembered, other: Remembered) {
    if (other.time, &other.text) > (known.time, &known.text) {
        *known = other;
    }
}

#[cfg(test)]
mod tests;
