//! What an operator asks for: which rows are meant, and what is to be done to them.

use crate::{
    admin::form::Fields,
    operator::{Refusal, age, ago, said},
    store::{
        desk::AgeLimit,
        inspector::{Filter, RowState},
    },
    tracking::{event::EventId, timestamp::Timestamp},
};

/// What an operator wants to be done.
pub(super) struct Order {
    pub(super) deed: Deed,
    pub(super) filter: Filter,
    /// What the filter says, for the audit.
    arguments: String,
    pub(super) is_confirmed: bool,
}

/// What can be done to many rows.
#[derive(Clone, Copy)]
pub(super) enum Deed {
    Replay(AgeLimit),
    Purge,
}

impl Order {
    /// Reads the form.
    pub(super) fn of(fields: &Fields, now: Timestamp) -> Result<Self, Refusal> {
        let deed = match (fields.text("deed"), fields.get("even_if_old")) {
            ("replay", None) => Deed::Replay(AgeLimit::Respected),
            ("replay", Some(_)) => Deed::Replay(AgeLimit::Waived),
            ("purge", _) => Deed::Purge,
            _ => return Err("Nothing was chosen to be done.".into()),
        };
        let mut filter = filter(fields, now)?;
        let mut arguments = String::new();
        filter.limit = None;
        if fields.text("scope") == "all" {
            for (name, value) in fields.iter().filter(|(name, _)| NARROWING.contains(name)) {
                said(&mut arguments, &format!("--{} {value}", name.replace('_', "-")));
            }
        } else {
            filter = Filter { ids: fields.all("id").filter_map(EventId::parse).collect(), ..Filter::default() };
            if filter.ids.is_empty() {
                return Err("No postback was chosen.".into());
            }
        }
        let allowed = deed.states();
        if filter.states.is_empty() {
            filter.states = allowed.to_vec();
        }
        filter.states.retain(|state| allowed.contains(state));
        if filter.states.is_empty() {
            return Err(format!("Nothing of that can be done to what is {}.", fields.text("state")));
        }
        Ok(Self { deed, filter, arguments, is_confirmed: fields.get("confirmed").is_some() })
    }

    /// What the audit says of it.
    pub(super) fn described(&self) -> String {
        let mut words = self.arguments.clone();
        self.filter.ids.iter().take(SAID).for_each(|id| said(&mut words, &id.to_string()));
        if self.filter.ids.len() > SAID {
            said(&mut words, "…");
        }
        if words.is_empty() {
            said(&mut words, "--all");
        }
        if let Deed::Replay(AgeLimit::Waived) = self.deed {
            said(&mut words, "--even-if-old");
        }
        words
    }
}

impl Deed {
    /// The command's word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Replay(_) => "replay",
            Self::Purge => "purge",
        }
    }

    const fn states(self) -> &'static [RowState] {
        match self {
            Self::Replay(_) => &[RowState::Dead],
            Self::Purge => &[RowState::Pending, RowState::Dead, RowState::Incomplete],
        }
    }
}

/// Which rows a list shows.
pub(super) fn filter(fields: &Fields, now: Timestamp) -> Result<Filter, Refusal> {
    let owned = |name| fields.get(name).map(ToOwned::to_owned);
    let aged = |name| fields.get(name).map(|text| age(text).map(|age| ago(now, age))).transpose();
    let limit = fields.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(LISTED);
    Ok(Filter {
        site: owned("site"),
        network: owned("network"),
        conversion: owned("conversion"),
        verdict: owned("verdict"),
        states: match STATES.iter().find(|(word, ..)| Some(*word) == fields.get("state")) {
            Some((_, _, states)) => states.to_vec(),
            None => NEEDS_A_PERSON.to_vec(),
        },
        before: aged("older_than")?,
        since: aged("newer_than")?,
        ids: Vec::new(),
        limit: Some(limit.clamp(1, MOST_LISTED)),
    })
}

const NEEDS_A_PERSON: &[RowState] = &[RowState::Dead, RowState::Incomplete];
/// The states that a list can be narrowed to.
pub(super) const STATES: [(&str, &str, &[RowState]); 7] = [
    ("person", "needs a person", NEEDS_A_PERSON),
    ("dead", "dead letters", &[RowState::Dead]),
    ("incomplete", "incomplete", &[RowState::Incomplete]),
    ("pending", "pending", &[RowState::Pending]),
    ("settled", "settled", &[RowState::Settled]),
    ("candidate", "candidates", &[RowState::Candidate]),
    ("all", "all", &[]),
];
/// The fields that narrow a list.
pub(super) const NARROWING: [&str; 7] =
    ["state", "site", "network", "conversion", "verdict", "older_than", "newer_than"];
/// Rows on a page.
pub(super) const LISTED: usize = 100;
const MOST_LISTED: usize = 500;
/// Event ids that are entered in the audit.
const SAID: usize = 10;
