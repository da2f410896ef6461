//! `throughline outbox show`: everything known of one postback, personal values masked.

use clap::Args;
use serde_json::Value;

use super::{Refusal, refusal};
use crate::{
    cli::{Exit, complain, listing, say},
    operator::describe,
    store::office::Office,
};

/// Options of `outbox show`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// An event id, the beginning of one, or an order id
    id: String,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(office: &Office, show: &Show) -> Result<Exit, Refusal> {
    let rows = office.show(&show.id).map_err(refusal)?;
    if rows.is_empty() {
        complain(&format!("no postback has the event id or order id `{}`", show.id));
        return Ok(Exit::Failure);
    }
    for row in &rows {
        let described = describe(row);
        if show.json {
            say(&described.to_string());
        } else {
            print(&described);
        }
    }
    Ok(Exit::Success)
}

fn print(described: &Value) {
    let Some(members) = described.as_object() else { return };
    for (name, value) in members.iter().filter(|(name, value)| !value.is_null() && *name != "tried") {
        say(&format!("{:<12} {}", name, plain(value)));
    }
    for attempt in described.get("tried").and_then(Value::as_array).into_iter().flatten() {
        let of = |name: &str| attempt.get(name).map(plain).unwrap_or_default();
        let (number, at, result, millis) = (of("number"), of("at"), of("result"), of("millis"));
        let status = attempt.get("status").and_then(Value::as_u64).map(|status| format!(" {status}"));
        say(&format!(
            "{:<12} {at}{} {result}, {millis} ms: {}",
            format!("attempt {number}"),
            status.unwrap_or_default(),
            of("body")
        ));
    }
    say("");
}

/// A text without quotes and in one line, anything else as JSON.
fn plain(value: &Value) -> String {
    listing::plain(&value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
}
