//! `throughline outbox list`: a line for each postback, without personal values.

use clap::Args;
use serde_json::json;

use super::{Refusal, refusal};
use crate::{
    cli::{
        Exit,
        listing::{Column, line, say_if_more},
        say,
    },
    operator::Selection,
    store::{clock, inspector::RowSummary, office::Office},
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
        say(&line(COLUMNS, ["EVENT", "TIME", "SITE", "CONVERSION", "NETWORK", "STATE", "TRIES", "VERDICT"]));
        rows.iter().for_each(|row| say(&summary(row)));
    }
    if !list.json {
        say_if_more(filter.limit, rows.len());
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
    line(
        COLUMNS,
        [
            &id,
            &row.time.rfc3339(),
            &row.site,
            &row.conversion,
            &row.network,
            row.state.as_str(),
            &row.attempts.to_string(),
            &verdict,
        ],
    )
}

const COLUMNS: [Column; 8] = [
    Column::Text(36),
    Column::Text(24),
    Column::Text(12),
    Column::Text(12),
    Column::Text(16),
    Column::Text(10),
    Column::Number(5),
    Column::Text(0),
];
