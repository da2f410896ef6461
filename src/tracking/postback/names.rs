//! What names in a network's templates stand for: what the configuration says, what the visitor's
//! request brought, what every event has.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::tracking::{
    event::{Datum, Event, EventId, Payload},
    template::{Encoding, Scope, Template},
    timestamp::Timestamp,
};

/// What the configuration has to say about names in templates.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConfiguredNames {
    /// Parameters under `send:` that need nothing of the visitor's request; `extra.NAME` too.
    pub parameters: BTreeMap<String, Template>,
    /// Lists under `send:`.
    pub lists: BTreeMap<String, Vec<Template>>,
    /// Settings of the network.
    pub settings: BTreeMap<String, String>,
    /// Which of them are shown to nobody.
    pub secrets: BTreeSet<String>,
}

impl ConfiguredNames {
    /// Whether what comes of a template is shown to nobody.
    #[must_use]
    pub fn holds_secret(&self, template: &Template) -> bool {
        template.is_secret() || template.slots().any(|slot| self.secrets.contains(&slot.name))
    }
}

impl fmt::Debug for ConfiguredNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, text): (&'_ String, &'_ String)| {
            let text = if self.secrets.contains(name) { "***" } else { text };
            (name.clone(), text.to_owned())
        };
        let settings: BTreeMap<String, String> = self.settings.iter().map(shown).collect();
        f.debug_struct("ConfiguredNames")
            .field("parameters", &self.parameters)
            .field("lists", &self.lists)
            .field("settings", &settings)
            .finish_non_exhaustive()
    }
}

/// When and under which id a conversion happened, and by which rule.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The event id.
    pub id: EventId,
    /// The time of the event.
    pub time: Timestamp,
    /// The conversion's name.
    pub conversion: &'a str,
}

impl<'a> Identity<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        Self { id: event.id, time: event.time, conversion: &event.conversion }
    }
}

/// What names in a network's templates stand for: parameter, setting, field, built-in.
pub struct EventNames<'a> {
    configured: &'a ConfiguredNames,
    payload: &'a Payload,
    identity: Identity<'a>,
    /// Parameters being rendered right now: a parameter's own template looks past itself.
    open: RefCell<Vec<String>>,
}

impl<'a> EventNames<'a> {
    /// Joins what the configuration and the visitor's request say.
    #[must_use]
    pub const fn new(configured: &'a ConfiguredNames, payload: &'a Payload, identity: Identity<'a>) -> Self {
        Self { configured, payload, identity, open: RefCell::new(Vec::new()) }
    }

    fn parameter(&self, name: &str) -> Option<Datum> {
        if let Some(captured) = self.payload.parameters.get(name) {
            return Some(captured.clone());
        }
        if self.open.borrow().iter().any(|open| open == name) {
            return None;
        }
        self.open.borrow_mut().push(name.to_owned());
        let datum = match (self.configured.parameters.get(name), self.configured.lists.get(name)) {
            (Some(template), _) => template.render(self, Encoding::Raw).map(Datum::One),
            (None, Some(list)) => {
                Some(Datum::Many(list.iter().filter_map(|item| item.render(self, Encoding::Raw)).collect()))
            }
            (None, None) => None,
        };
        self.open.borrow_mut().pop();
        datum.filter(|datum| !datum.is_empty())
    }

    fn built_in(&self, name: &str) -> Option<Datum> {
        let Identity { id, time, conversion } = self.identity;
        Some(match name {
            "click_id" => Datum::One(self.payload.clicks.last()?.clone()),
            "click_ids" => Datum::Many(self.payload.clicks.clone()),
            "event_id" => Datum::One(id.to_string()),
            "event_time" => Datum::One(time.rfc3339()),
            "event_ms" => Datum::One(time.as_millis().to_string()),
            "event_day" => Datum::One(time.day()),
            "conversion" => Datum::One(conversion.to_owned()),
            _ => return None,
        })
    }
}

impl Scope for EventNames<'_> {
    fn lookup(&self, name: &str) -> Option<Datum> {
        self.parameter(name)
            .or_else(|| self.configured.settings.get(name).cloned().map(Datum::One))
            .or_else(|| self.payload.fields.get(name).cloned().map(Datum::One))
            .or_else(|| self.built_in(name))
    }
}

/// Names that always stand for something, and need nothing of the visitor's request.
pub const BUILT_INS: [&str; 7] =
    ["click_id", "click_ids", "event_id", "event_time", "event_ms", "event_day", "conversion"];

/// Built-in names that are read from the visitor's request, and only where a template asks for them.
pub const REQUEST_BUILT_INS: [&str; 6] = ["client_ip", "user_agent", "device_type", "page_url", "gdpr", "tcf"];

/// Built-in names that stand for the items of an order: one value for each, and their count.
pub const ITEM_BUILT_INS: [&str; 5] = ["items.id", "items.name", "items.price", "items.quantity", "items.count"];
