//! Who changed what, the newest first.

use axum::{Extension, extract::State};
use maud::{Markup, html};

use super::{
    Shared,
    door::Guest,
    frame::{self, Notice, Section},
    phrase::{number, time},
};
use crate::{
    operator::refusal,
    store::{audit::AuditEntry, clock},
};

/// The page.
pub(super) async fn show(State(console): State<Shared>, Extension(guest): Extension<Guest>) -> Markup {
    let entries = console.at_work(&guest, |_, office| office.audit(ENTRIES).map_err(refusal)).await;
    let content = match &entries {
        Err(refusal) => frame::notice(Notice::Bad, refusal),
        Ok(entries) if entries.is_empty() => frame::notice(Notice::Plain, "Nothing was changed so far."),
        Ok(entries) => table(entries),
    };
    frame::page(&guest, Section::Audit, "Audit", &content)
}

fn table(entries: &[AuditEntry]) -> Markup {
    let now = clock::now();
    html! {
        div.table.lines tabindex="0" role="region" aria-label="Audit" {
            table {
                thead { tr {
                    th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "Did" }
                    th scope="col" { "What it was told" } th.number scope="col" { "Rows" }
                } }
                tbody { @for AuditEntry { at, who, action, arguments, count } in entries {
                    tr {
                        td { (time(*at, now)) } td { (who) } td { (action) }
                        td.mono { (arguments) } td.number data-name="Rows" { (number(*count)) }
                    }
                } }
            }
        }
        @if entries.len() == ENTRIES { p.hint { "The newest " (ENTRIES) "; " code { "throughline outbox audit --limit" } " has more." } }
    }
}

const ENTRIES: usize = 200;
