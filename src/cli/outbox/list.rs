//! `throughline outbox list`: a line for each postback, without personal values.

use clap::Args;
use serde_json::json;

use super::{Refusal, refusal};
use crate::{
    cli::{Exit, say},
    operator::Selection,
    store::{
        clock,
        inspector::{Filter, RowSummary},
        office::Office,
    },
};

/// Options of `outbox list`.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    selection: Selection,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(office: &Office, list: &List) -> Result<Exit, Refusal> {
    let filter = list.selection.filter(office, &[], clock::now())?;
    let rows = office.list(&filter).map_err(refusal)?;
    if list.json {
        rows.iter().for_each(|row| say(&json!(row).to_string()));
    } else if rows.is_empty() {
        say("nothing here");
    } else {
        say(&line(["EVENT", "TIME", "SITE", "CONVERSION", "NETWORK", "STATE", "TRIES", "VERDICT"]));
        rows.iter().for_each(|row| say(&summary(row)));
    }
    if let Filter { limit: None, .. } = filter
        && rows.len() == MANY
        && !list.json
    {
        say("… there may be more: --limit");
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

/// What a list shows unless told otherwise.
const MANY: usize = 100;
