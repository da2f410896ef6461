//! `throughline outbox`: what waits, what was delivered, what was given up.

use std::path::Path;

use aho_corasick::{AhoCorasick, MatchKind};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Exit, check, complain, say};
use crate::{
    config::{Config, Environment},
    store::{
        inspector::{Filter, InspectError, Inspector, RowDetail, RowState, RowSummary},
        row::StoredAnswer,
    },
    tracking::{event::Datum, timestamp::Timestamp},
};

mod set;

use set::Set;

/// Options of `outbox`.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists postbacks, newest first
    List(List),
    /// Shows everything known of one postback, personal values masked
    Show(Show),
    /// Adds what an incomplete conversion lacks; once nothing is missing, it is sent
    Set(Set),
}

#[derive(Debug, Args)]
struct List {
    /// Only those of this site
    #[arg(long)]
    site: Option<String>,
    /// Only those to this network
    #[arg(long)]
    network: Option<String>,
    /// Only those of this conversion
    #[arg(long)]
    conversion: Option<String>,
    /// Only those in this state
    #[arg(long)]
    state: Option<State>,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    /// An event id, the beginning of one, or an order id
    id: String,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Pending,
    Dead,
    Settled,
    Candidate,
    Incomplete,
}

pub(super) fn execute(file: &Path, options: Options) -> Exit {
    // Only the folder is wanted: whoever looks into the outbox need not have the secrets at hand.
    let config = match Config::load(file, Environment::Ignored) {
        Ok(config) => config,
        Err(error) => {
            check::print(&error.problems);
            return Exit::Configuration;
        }
    };
    let folder = &config.server.state;
    if config.server.fleet.is_some() {
        complain(
            "this instance is a node of a fleet: below is what waits on this node; the rest is in the fleet's database",
        );
    }
    let printed = match options.command {
        Command::List(list) => print_list(folder, list),
        Command::Show(show) => print_rows(folder, &show),
        Command::Set(set) => return set::execute(&config, &set),
    };
    printed.unwrap_or_else(|error| {
        complain(&error.to_string());
        Exit::Failure
    })
}

fn print_list(folder: &Path, list: List) -> Result<Exit, InspectError> {
    let state = list.state.map(|state| match state {
        State::Pending => RowState::Pending,
        State::Dead => RowState::Dead,
        State::Settled => RowState::Settled,
        State::Candidate => RowState::Candidate,
        State::Incomplete => RowState::Incomplete,
    });
    let filter =
        Filter { site: list.site, network: list.network, conversion: list.conversion, state, limit: list.limit };
    let rows = Inspector::open(folder)?.list(&filter)?;
    if list.json {
        for row in &rows {
            say(&json!(row).to_string());
        }
    } else if rows.is_empty() {
        say("nothing here");
    } else {
        say(&line(["EVENT", "TIME", "SITE", "CONVERSION", "NETWORK", "STATE", "TRIES", "VERDICT"]));
        for row in &rows {
            say(&summary(row));
        }
    }
    Ok(Exit::Success)
}

fn summary(row: &RowSummary) -> String {
    let id = row.event_id.map(|id| id.to_string()).unwrap_or_default();
    let verdict = match (&row.verdict, &row.reason) {
        (Some(verdict), Some(reason)) => format!("{verdict} ({reason})"),
        (Some(verdict), None) => verdict.clone(),
        (None, Some(reason)) => format!("retry ({reason})"),
        (None, None) if !row.missing.is_empty() => format!("lacks {}", row.missing.join(", ")),
        (None, None) => "-".to_owned(),
    };
    line([
        &id,
        &row.time.rfc3339(),
        &row.site,
        &row.conversion,
        &row.network,
        row.state.as_str(),
        &row.attempts.to_string(),
        &verdict,
    ])
}

fn line(cells: [&str; 8]) -> String {
    let [id, time, site, conversion, network, state, tries, verdict] = cells;
    format!("{id:<36}  {time:<24}  {site:<12}  {conversion:<12}  {network:<16}  {state:<10}  {tries:>5}  {verdict}")
}

fn print_rows(folder: &Path, show: &Show) -> Result<Exit, InspectError> {
    let rows = Inspector::open(folder)?.show(&show.id)?;
    if rows.is_empty() {
        complain(&format!("no postback has the event id or order id `{}`", show.id));
        return Ok(Exit::Failure);
    }
    for row in &rows {
        let described = describe(row);
        if show.json {
            say(&described.to_string());
        } else if let Value::Object(members) = described {
            members.iter().filter(|(_, value)| !value.is_null()).for_each(|(name, value)| {
                say(&format!("{:<12} {}", name, value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)));
            });
            say("");
        }
    }
    Ok(Exit::Success)
}

fn describe(row: &RowDetail) -> Value {
    let it = &row.summary;
    let fields = row.payload.fields.iter().map(|(name, text)| (name.clone(), masked(name, json!(text))));
    let parameters = row.payload.parameters.iter().map(|(name, datum)| {
        let value = match datum {
            Datum::One(text) => json!(text),
            Datum::Many(texts) => json!(texts),
        };
        (name.clone(), masked(name, value))
    });
    let answer = row.last_answer.clone().map(|answer| StoredAnswer { body: without(&answer.body, row), ..answer });
    json!({
        "event": it.event_id,
        "time": it.time.rfc3339(),
        "site": it.site,
        "conversion": it.conversion,
        "network": it.network,
        "state": it.state.as_str(),
        "verdict": it.verdict,
        "reason": it.reason,
        "missing": (!it.missing.is_empty()).then_some(&it.missing),
        "attempts": it.attempts,
        "next": it.next.map(Timestamp::rfc3339),
        "settled": it.settled.map(Timestamp::rfc3339),
        "clicks": row.payload.clicks,
        "fields": Value::Object(fields.collect()),
        "parameters": Value::Object(parameters.collect()),
        "answer": answer,
    })
}

/// Hides what tells a person: the operator needs orders and clicks, not addresses.
fn masked(name: &str, value: Value) -> Value {
    if is_personal(name) { Value::from("***") } else { value }
}

/// A network may repeat in its answer what it was sent.
fn without(text: &str, row: &RowDetail) -> String {
    let fields = row.payload.fields.iter().map(|(name, text)| (name, vec![text]));
    let parameters = row.payload.parameters.iter().map(|(name, datum)| match datum {
        Datum::One(text) => (name, vec![text]),
        Datum::Many(texts) => (name, texts.iter().collect()),
    });
    let personal = fields.chain(parameters).filter(|(name, _)| is_personal(name)).flat_map(|(_, texts)| texts);
    let long_enough: Vec<&String> = personal.filter(|value| value.len() > 2).collect();
    // A network may write it in other letters than it was sent.
    let mut finder = AhoCorasick::builder();
    match finder.ascii_case_insensitive(true).match_kind(MatchKind::LeftmostLongest).build(&long_enough) {
        Ok(finder) => finder.replace_all(text, &vec!["***"; long_enough.len()]),
        Err(_) => "***".to_owned(),
    }
}

/// Nobody can tell from a name what an operator's own field holds, so only these are shown.
fn is_personal(name: &str) -> bool {
    !["order_id", "value", "currency", "device_type"].contains(&name)
}
