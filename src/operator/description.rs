//! A postback as people see it: everything that is known of it, personal values masked.

use serde_json::{Value, json};

use crate::{
    store::{
        Attempt,
        inspector::RowDetail,
        mask::{HIDDEN, is_personal, without_personal},
        row::StoredAnswer,
    },
    tracking::{
        event::{Datum, Payload},
        timestamp::Timestamp,
    },
};

/// Everything that is known of a postback, without what tells of a person.
#[must_use]
pub fn describe(row: &RowDetail) -> Value {
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
