//! Which rows a command is about: the same options for all of them.

use std::{fmt::Write as _, time::Duration};

use clap::{Args, ValueEnum, builder::PossibleValuesParser};

use super::{Refusal, refusal};
use crate::{
    config::units,
    store::{
        inspector::{Filter, RowDetail, RowState},
        office::Office,
    },
    tracking::{event::EventId, timestamp::Timestamp, verdict::Verdict},
};

/// Which rows are meant.
#[derive(Clone, Debug, Default, Args)]
pub struct Selection {
    /// Event ids, beginnings of event ids, or order ids
    pub ids: Vec<String>,
    /// Only those of this site
    #[arg(long)]
    pub site: Option<String>,
    /// Only those to this network
    #[arg(long)]
    pub network: Option<String>,
    /// Only those of this conversion
    #[arg(long)]
    pub conversion: Option<String>,
    /// Only those with this verdict
    #[arg(long, value_parser = PossibleValuesParser::new(Verdict::LABELS))]
    pub verdict: Option<String>,
    /// Only those in this state
    #[arg(long)]
    pub state: Option<State>,
    /// Only those whose page is longer ago, as in `2d` or `6h`
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Only those whose page is not as long ago
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub newer_than: Option<Duration>,
    /// At most so many, the newest
    #[arg(long)]
    pub limit: Option<usize>,
}

/// A state that rows can be asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    Pending,
    Dead,
    Settled,
    Candidate,
    Incomplete,
}

impl Selection {
    /// The rows that are meant, of those in one of these states.
    ///
    /// # Errors
    /// When nothing can be done to what is meant, or a name means several.
    pub fn filter(&self, store: &Office, states: &[RowState], now: Timestamp) -> Result<Filter, Refusal> {
        let states = match self.state.map(State::of_row) {
            Some(state) if states.contains(&state) || states.is_empty() => vec![state],
            Some(state) => return Err(format!("nothing can be done here to what is {}", state.as_str())),
            None => states.to_vec(),
        };
        let mut ids = Vec::new();
        for text in &self.ids {
            ids.extend(meant(store, text, &states)?);
        }
        Ok(Filter {
            site: self.site.clone(),
            network: self.network.clone(),
            conversion: self.conversion.clone(),
            verdict: self.verdict.clone(),
            states,
            before: self.older_than.map(|age| ago(now, age)),
            since: self.newer_than.map(|age| ago(now, age)),
            ids,
            limit: self.limit,
        })
    }

    /// Whether rows are named one by one.
    pub const fn names_rows(&self) -> bool {
        !self.ids.is_empty()
    }

    /// Whether it means every row there is.
    pub const fn is_empty(&self) -> bool {
        let Self { ids, site, network, conversion, verdict, state, older_than, newer_than, limit: _ } = self;
        ids.is_empty()
            && site.is_none()
            && network.is_none()
            && conversion.is_none()
            && verdict.is_none()
            && state.is_none()
            && older_than.is_none()
            && newer_than.is_none()
    }

    /// What was asked for, for the audit: event ids instead of what led to them.
    pub fn described(&self, filter: &Filter) -> String {
        let mut words = String::new();
        let names = [("site", &self.site), ("network", &self.network), ("conversion", &self.conversion)];
        for (name, value) in names.into_iter().chain([("verdict", &self.verdict)]) {
            if let Some(value) = value {
                said(&mut words, &format!("--{name} {value}"));
            }
        }
        if let Some(state) = self.state {
            said(&mut words, &format!("--state {}", state.of_row().as_str()));
        }
        for (name, age) in [("older-than", self.older_than), ("newer-than", self.newer_than)] {
            if let Some(age) = age {
                said(&mut words, &format!("--{name} {}", units::written_duration(age)));
            }
        }
        if let Some(limit) = self.limit {
            said(&mut words, &format!("--limit {limit}"));
        }
        for id in filter.ids.iter().take(SAID) {
            said(&mut words, &id.to_string());
        }
        if filter.ids.len() > SAID {
            said(&mut words, "…");
        }
        if words.is_empty() { "--all".to_owned() } else { words }
    }
}

impl State {
    /// As rows have it.
    #[must_use]
    pub const fn of_row(self) -> RowState {
        match self {
            Self::Pending => RowState::Pending,
            Self::Dead => RowState::Dead,
            Self::Settled => RowState::Settled,
            Self::Candidate => RowState::Candidate,
            Self::Incomplete => RowState::Incomplete,
        }
    }
}

/// The events that a text means: all of an order, but never several by a beginning that is too short.
fn meant(store: &Office, text: &str, states: &[RowState]) -> Result<Vec<EventId>, Refusal> {
    let rows = store.show(text).map_err(refusal)?;
    let is_order = |row: &RowDetail| row.payload.fields.get("order_id").is_some_and(|order| order == text);
    let by_order: Vec<&RowDetail> = rows.iter().filter(|row| is_order(row)).collect();
    let meant = match (by_order.is_empty(), rows.as_slice()) {
        (_, []) => return Err(format!("no postback has the event id or order id `{text}`")),
        (false, _) => by_order,
        (true, [row]) => vec![row],
        (true, [..]) => return Err(format!("several postbacks are meant by `{text}`: write more of the event id")),
    };
    if let ([row], false) = (meant.as_slice(), states.is_empty())
        && !states.contains(&row.summary.state)
    {
        let verdict = row.summary.verdict.as_deref().unwrap_or_else(|| row.summary.state.as_str());
        return Err(format!("nothing can be done here to `{text}`, which is {verdict}"));
    }
    Ok(meant.into_iter().filter_map(|row| row.summary.event_id).collect())
}

/// Adds a word to what is entered in the audit.
pub fn said(words: &mut String, word: &str) {
    let space = if words.is_empty() { "" } else { " " };
    // Writing into a string can't fail.
    let _written = write!(words, "{space}{word}");
}

/// Reads an age like `2d`.
///
/// # Errors
/// When it is none.
pub fn age(text: &str) -> Result<Duration, &'static str> {
    units::duration(text).map_err(|_| "write an age like `30m`, `6h` or `2d`")
}

/// The time so long before.
#[must_use]
pub fn ago(now: Timestamp, age: Duration) -> Timestamp {
    Timestamp::from_millis(now.as_millis().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)))
}

/// Event ids that are entered in the audit.
const SAID: usize = 10;
