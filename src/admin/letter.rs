//! One postback with everything that is known of it, and what can be done about it.

use axum::{
    Extension,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use maud::{Markup, html};
use serde_json::Value;

use super::{
    Shared,
    door::Guest,
    form::Submitted,
    frame::{self, Notice, Section, proof},
    outbox::{state, verdict},
    phrase::time,
};
use crate::{
    operator::{complete, describe, refusal},
    store::{
        Attempt, clock,
        desk::Corrected,
        inspector::{RowDetail, RowState},
    },
    tracking::timestamp::Timestamp,
};

/// The page of one postback, or of all of an order.
pub(super) async fn show(
    State(console): State<Shared>,
    Extension(guest): Extension<Guest>,
    Path(id): Path<String>,
) -> Response {
    render(&console, &guest, id, html! {}).await
}

/// Adds what an incomplete conversion lacks.
pub(super) async fn correct(
    State(console): State<Shared>,
    Extension(guest): Extension<Guest>,
    Path(id): Path<String>,
    Submitted(fields): Submitted,
) -> Response {
    let values = fields.iter().filter_map(|(name, value)| Some(format!("{}={value}", name.strip_prefix("value.")?)));
    let values: Vec<String> = values.collect();
    let said = if values.is_empty() {
        frame::notice(Notice::Bad, "Nothing was written.")
    } else {
        let meant = id.clone();
        let corrected = console.at_work(&guest, move |config, office| complete(config, office, &meant, &values)).await;
        match corrected {
            Ok(Corrected::Queued) => frame::notice(Notice::Good, "Complete: it will be sent."),
            Ok(Corrected::Incomplete(missing)) => {
                frame::notice(Notice::Plain, &format!("Still missing: {}.", missing.join(", ")))
            }
            Ok(Corrected::Duplicate) => {
                frame::notice(Notice::Bad, "Another conversion has this order id; nothing was changed.")
            }
            Ok(Corrected::Unknown) => frame::notice(Notice::Bad, "It is not incomplete any more; nothing was changed."),
            Err(refusal) => frame::notice(Notice::Bad, &refusal),
        }
    };
    render(&console, &guest, id, said).await
}

async fn render(console: &Shared, guest: &Guest, id: String, said: Markup) -> Response {
    let meant = id.clone();
    let rows = console.at_work(guest, move |_, office| office.show(&meant).map_err(refusal)).await;
    let (status, content) = match &rows {
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, frame::notice(Notice::Bad, refusal)),
        Ok(rows) if rows.is_empty() => {
            let text = format!("No postback has the event id or order id “{id}”.");
            (StatusCode::NOT_FOUND, frame::notice(Notice::Bad, &text))
        }
        Ok(rows) => (StatusCode::OK, html! { @for row in rows { (letter(row, guest)) } }),
    };
    let content = html! { (said) (content) p { a href="/console/outbox" { "To the list" } } };
    (status, frame::page(guest, Section::Outbox, "Postback", &content)).into_response()
}

fn letter(row: &RowDetail, guest: &Guest) -> Markup {
    let (it, now) = (&row.summary, clock::now());
    let id = it.event_id.map(|id| id.to_string()).unwrap_or_default();
    let described = describe(row);
    let member = |name: &str| described.get(name).filter(|value| !value.is_null());
    html! {
        article.card {
            div.title { h2 { (it.conversion) " to " (it.network) } (state(it.state)) }
            dl.facts {
                div { dt { "Event" } dd.mono { (id) } }
                div { dt { "Page" } dd { (time(it.time, now)) } }
                div { dt { "Site" } dd { (it.site) } }
                div { dt { "Tries" } dd { (it.attempts) } }
                div { dt { "Verdict" } dd { (verdict(it, now)) } }
                @if let Some(settled) = it.settled { div { dt { "Settled" } dd { (time(settled, now)) } } }
            }
            (pairs("Click IDs", member("clicks")))
            (pairs("Fields", member("fields")))
            (pairs("Parameters", member("parameters")))
            @if !row.attempts.is_empty() { (attempts(&row.attempts, member("tried"), now)) }
            @if it.state == RowState::Incomplete { (completion(&id, &it.missing, guest)) }
            @if matches!(it.state, RowState::Dead | RowState::Incomplete | RowState::Pending) { (deeds(&id, it.state, guest)) }
        }
    }
}

fn pairs(title: &str, value: Option<&Value>) -> Markup {
    let pairs: Vec<(String, String)> = match value {
        Some(Value::Object(members)) => members.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        Some(Value::Array(items)) => items.iter().map(|item| (String::new(), plain(item))).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => Vec::new(),
    };
    html! {
        @if !pairs.is_empty() {
            h3 { (title) }
            dl.pairs { @for (name, value) in pairs { div { @if !name.is_empty() { dt { (name) } } dd.mono { (value) } } } }
        }
    }
}

/// The answers as they are described: without what tells of a person.
fn attempts(attempts: &[Attempt], described: Option<&Value>, now: Timestamp) -> Markup {
    let body = |index: usize| described.and_then(|all| all.get(index)?.get("body")).map(plain).unwrap_or_default();
    html! {
        h3 { "Attempts" }
        div.table tabindex="0" role="region" aria-label="Attempts" {
            table {
                thead { tr {
                    th.number scope="col" { "#" } th scope="col" { "When" } th scope="col" { "Result" }
                    th.number scope="col" { "Status" } th.number scope="col" { "Took" } th scope="col" { "Answer" }
                } }
                tbody { @for (index, Attempt { number, answer }) in attempts.iter().enumerate() {
                    tr {
                        td.number { (number) } td { (time(answer.at, now)) } td { (answer.result) }
                        td.number { @match answer.status { Some(status) => (status), None => "–" } }
                        td.number { (answer.millis) " ms" } td.answer { (body(index)) }
                    }
                } }
            }
        }
    }
}

fn completion(id: &str, missing: &[String], guest: &Guest) -> Markup {
    html! {
        form.card.inner method="post" action=(format!("/console/outbox/{id}/complete")) {
            (proof(guest))
            h3 { "Complete it" }
            @for name in missing {
                @match name.as_str() {
                    "proof" => label.choice { input type="checkbox" name="value.proof" value="yes"; " it is known to be a conversion" },
                    "journey" => label.choice { input type="checkbox" name="value.journey" value="yes"; " it has all that is known of the visitor" },
                    _ => label { (name) input type="text" name=(format!("value.{name}")) maxlength="1024" autocomplete="off"; },
                }
            }
            p.hint { "Once nothing is missing, it is sent." }
            button.primary type="submit" { "Save" }
        }
    }
}

fn deeds(id: &str, state: RowState, guest: &Guest) -> Markup {
    html! {
        form.deeds method="post" action="/console/outbox" {
            (proof(guest))
            input type="hidden" name="id" value=(id);
            @if state == RowState::Dead {
                label.choice { input type="checkbox" name="even_if_old" value="yes"; " also if it is older than " code { "max_age" } }
            }
            div.buttons {
                @if state == RowState::Dead { button.primary type="submit" name="deed" value="replay" { "Send again" } }
                button.danger type="submit" name="deed" value="purge" { "End without sending" }
            }
        }
    }
}

/// A text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}
