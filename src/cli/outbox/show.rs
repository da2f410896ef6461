//! `throughline outbox show`: everything known of one postback, personal values masked.

use clap::Args;
use serde_json::{Value, json};

use super::{Refusal, refusal};
use crate::{
    cli::{Exit, complain, say},
    store::{
        Attempt,
        inspector::RowDetail,
        mask::{is_personal, without_personal},
        office::Office,
        row::StoredAnswer,
    },
    tracking::{
        event::{Datum, Payload},
        mask::HIDDEN,
        timestamp::Timestamp,
    },
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
    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
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
    let answer = row.last_answer.as_ref().map(|answer| answered(answer, &row.payload));
    let attempts = row.attempts.iter().map(|Attempt { number, answer }| {
        let mut attempt = answered(answer, &row.payload);
        if let Some(members) = attempt.as_object_mut() {
            members.shift_insert(0, "number".to_owned(), json!(number));
        }
        attempt
    });
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
        "tried": attempts.collect::<Vec<_>>(),
    })
}

/// Versions before this one stored answers as they came.
fn answered(answer: &StoredAnswer, payload: &Payload) -> Value {
    let StoredAnswer { at, status, body, result, millis } = answer;
    let body = without_personal(body.as_bytes(), payload);
    json!({ "at": at.rfc3339(), "status": status, "body": body, "result": result, "millis": millis })
}

/// Hides what tells of a person: the operator needs orders and clicks, not addresses.
fn masked(name: &str, value: Value) -> Value {
    if is_personal(name) { Value::from(HIDDEN) } else { value }
}
