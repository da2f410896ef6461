//! What waits and what was given up: found by filters, sent again or ended, one by one or all at once.

use axum::{
    Extension,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use maud::{Markup, html};
use url::form_urlencoded;

use super::{
    Shared,
    door::Guest,
    form::{Fields, Submitted},
    frame::{self, Notice, Section, proof},
    phrase::{time, word},
};
use crate::{
    operator::{counted, max_age, refusal},
    store::{
        audit::Action,
        clock,
        desk::{Purged, Replayed},
        inspector::{RowState, RowSummary},
    },
    tracking::{timestamp::Timestamp, verdict::Verdict},
};

mod order;

use order::{Deed, LISTED, NARROWING, Order, STATES, filter};

/// The list.
pub(super) async fn list(
    State(console): State<Shared>,
    Extension(guest): Extension<Guest>,
    RawQuery(query): RawQuery,
) -> Markup {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let rows = match filter(&fields, clock::now()) {
        Ok(filter) => console.at_work(&guest, move |_, office| office.list(&filter).map_err(refusal)).await,
        Err(refusal) => Err(refusal),
    };
    let content = html! {
        (filters(&fields))
        @match &rows {
            Err(refusal) => (frame::notice(Notice::Bad, refusal)),
            Ok(rows) if rows.is_empty() => (frame::notice(Notice::Plain, "Nothing here.")),
            Ok(rows) => (table(rows, &fields, &guest)),
        }
    };
    frame::page(&guest, Section::Outbox, "Outbox", &content)
}

/// Sends again or ends what was chosen, after a question if that may be more than the operator sees.
pub(super) async fn act(
    State(console): State<Shared>,
    Extension(guest): Extension<Guest>,
    Submitted(fields): Submitted,
) -> Response {
    let content = match Order::of(&fields, clock::now()) {
        Err(refusal) => frame::notice(Notice::Bad, &refusal),
        Ok(order) if order.is_confirmed => {
            let deed = order.deed;
            let done = console.at_work(&guest, move |config, office| {
                let rows = office.choose(&order.filter).map_err(refusal)?;
                let action = Action { word: deed.word(), arguments: order.described() };
                match deed {
                    Deed::Replay(limit) => {
                        let max_age = max_age(config.destinations());
                        office.replay(&action, &rows, limit, &max_age).map(replayed).map_err(refusal)
                    }
                    Deed::Purge => office.purge(&action, &rows).map(purged).map_err(refusal),
                }
            });
            done.await.unwrap_or_else(|refusal| frame::notice(Notice::Bad, &refusal))
        }
        Ok(order) => {
            let filter = order.filter.clone();
            let rows = console.at_work(&guest, move |_, office| office.choose(&filter).map_err(refusal)).await;
            match rows {
                Ok(rows) if rows.is_empty() => frame::notice(Notice::Plain, "Nothing is meant."),
                Ok(rows) => question(order.deed, rows.len(), &fields, &guest),
                Err(refusal) => frame::notice(Notice::Bad, &refusal),
            }
        }
    };
    let content =
        html! { (content) p { a href=(format!("/console/outbox?{}", query(&fields))) { "Back to the list" } } };
    frame::page(&guest, Section::Outbox, "Outbox", &content).into_response()
}

/// The list of what waits, or was given up, for one network.
pub(super) fn link(site: &str, network: &str, state: &str) -> String {
    let pairs = [("state", state), ("site", site), ("network", network)];
    format!("/console/outbox?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
}

fn filters(fields: &Fields) -> Markup {
    let text = |name: &str, label: &str, hint: &str| {
        html! { label { (label) input type="text" name=(name) value=(fields.text(name)) placeholder=(hint) maxlength="100"; } }
    };
    html! {
        form.filters method="get" action="/console/outbox" {
            label { "State" select name="state" {
                @for (value, name, _) in STATES {
                    option value=(value) selected[fields.get("state") == Some(value)] { (name) }
                }
            } }
            label { "Verdict" select name="verdict" {
                option value="" { "any" }
                @for verdict in Verdict::LABELS { option value=(verdict) selected[fields.get("verdict") == Some(verdict)] { (word(verdict)) } }
            } }
            (text("site", "Site", "any"))
            (text("network", "Network", "any"))
            (text("conversion", "Conversion", "any"))
            (text("older_than", "Older than", "2d, 6h"))
            (text("newer_than", "Newer than", "2d, 6h"))
            button type="submit" { "Show" }
        }
    }
}

fn table(rows: &[RowSummary], fields: &Fields, guest: &Guest) -> Markup {
    let now = clock::now();
    html! {
        form method="post" action="/console/outbox" {
            (proof(guest))
            (carried(fields))
            div.table.lines tabindex="0" role="region" aria-label="Postbacks" {
                table {
                    thead { tr {
                        th scope="col" { span.unseen { "Choose" } }
                        th scope="col" { "Page" } th scope="col" { "Event" } th scope="col" { "Site" }
                        th scope="col" { "Conversion" } th scope="col" { "Network" } th scope="col" { "State" }
                        th.number scope="col" { "Tries" } th scope="col" { "Verdict" }
                    } }
                    tbody { @for row in rows { (line(row, now)) } }
                }
            }
            @if rows.len() >= LISTED { p.hint { "The newest " (rows.len()) "; there may be more." } }
            fieldset.deeds {
                legend { "Do something" }
                label.choice { input type="radio" name="scope" value="chosen" checked; " with what is chosen above" }
                label.choice { input type="radio" name="scope" value="all"; " with all that match, also those that are not listed" }
                label.choice { input type="checkbox" name="even_if_old" value="yes"; " send also what is older than " code { "max_age" } }
                div.buttons {
                    button.primary type="submit" name="deed" value="replay" { "Send dead letters again" }
                    button.danger type="submit" name="deed" value="purge" { "End without sending" }
                }
            }
        }
    }
}

fn line(row: &RowSummary, now: Timestamp) -> Markup {
    let id = row.event_id.map(|id| id.to_string()).unwrap_or_default();
    html! {
        tr {
            td { input type="checkbox" name="id" value=(id) aria-label=(format!("Choose {id}")); }
            td { (time(row.time, now)) }
            td { a.mono href=(format!("/console/outbox/{id}")) { (id.get(..8).unwrap_or(&id)) "…" (id.get(id.len().saturating_sub(4)..).unwrap_or_default()) } }
            td { (row.site) } td { (row.conversion) } td { (row.network) }
            td { (state(row.state)) }
            td.number data-name="Tries" { (row.attempts) }
            td { (verdict(row, now)) }
        }
    }
}

/// Where a row stands.
pub(super) fn state(state: RowState) -> Markup {
    let is_bad = matches!(state, RowState::Dead | RowState::Incomplete);
    let name = if state == RowState::Dead { "dead letter" } else { state.as_str() };
    html! { span.badge.bad[is_bad] { (name) } }
}

/// What became of it, or what it waits for.
pub(super) fn verdict(row: &RowSummary, now: Timestamp) -> Markup {
    let reason = row.reason.as_deref().map(|reason| format!(" ({})", word(reason))).unwrap_or_default();
    html! {
        @if let Some(verdict) = &row.verdict { (word(verdict)) (reason) }
        @else if !row.missing.is_empty() { "lacks " (row.missing.join(", ")) }
        @else {
            @if row.reason.is_some() { "retry" (reason) " " }
            @if let Some(next) = row.next { "next " (time(next, now)) }
        }
    }
}

fn question(deed: Deed, count: usize, fields: &Fields, guest: &Guest) -> Markup {
    let postbacks = counted(count, "postback", "postbacks");
    let (text, button) = match deed {
        Deed::Replay(_) => (format!("{postbacks} would be sent again."), "Send again"),
        Deed::Purge => (format!("{postbacks} would never be sent, and their values forgotten."), "End without sending"),
    };
    let danger = matches!(deed, Deed::Purge);
    html! {
        form.question method="post" action="/console/outbox" {
            (proof(guest))
            (carried(fields))
            @for (name, value) in fields.iter().filter(|(name, _)| ["deed", "scope", "even_if_old", "id"].contains(name)) {
                input type="hidden" name=(name) value=(value);
            }
            p { (text) }
            button.danger[danger].primary[!danger] type="submit" name="confirmed" value="yes" { (button) }
        }
    }
}

/// What the list is narrowed to, for the form below it.
fn carried(fields: &Fields) -> Markup {
    html! {
        @for (name, value) in fields.iter().filter(|(name, _)| NARROWING.contains(name)) {
            input type="hidden" name=(name) value=(value);
        }
    }
}

fn query(fields: &Fields) -> String {
    let narrowing = fields.iter().filter(|(name, _)| NARROWING.contains(name));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(narrowing).finish()
}

/// What became of dead letters.
pub(super) fn replayed(Replayed { queued, too_old, parked, gone }: Replayed) -> Markup {
    let kind = if queued > 0 { Notice::Good } else { Notice::Plain };
    html! {
        (frame::notice(kind, &format!("{} will be sent again.", counted(queued, "dead letter", "dead letters"))))
        @if too_old > 0 { (frame::notice(Notice::Bad, &format!("{too_old} not: older than max_age."))) }
        @if parked > 0 { (frame::notice(Notice::Bad, &format!("{parked} not: their site, network or conversion is no longer configured."))) }
        @if gone > 0 { (frame::notice(Notice::Plain, &format!("{gone} not: no dead letters any more."))) }
    }
}

/// What became of what was to end.
pub(super) fn purged(Purged { pending, dead, leased, gone }: Purged) -> Markup {
    let ended = counted(pending + dead, "postback is", "postbacks are");
    let kind = if pending + dead > 0 { Notice::Good } else { Notice::Plain };
    html! {
        (frame::notice(kind, &format!("{ended} ended; the values are gone, the orders are not counted again.")))
        @if leased > 0 { (frame::notice(Notice::Bad, &format!("{leased} not: being sent at this moment; try again."))) }
        @if gone > 0 { (frame::notice(Notice::Plain, &format!("{gone} not: over meanwhile."))) }
    }
}
