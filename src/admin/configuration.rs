//! The configuration in force: what was written, over the defaults and the networks' files.

use axum::{Extension, extract::State};
use maud::{Markup, html};

use super::{
    Shared,
    door::Guest,
    frame::{self, Section},
    phrase::time,
};
use crate::store::clock;

/// The page.
pub(super) async fn show(State(console): State<Shared>, Extension(guest): Extension<Guest>) -> Markup {
    let in_force = console.in_force();
    let content = html! {
        dl.facts {
            div { dt { "File" } dd.mono { (in_force.file.display()) } }
            div { dt { "In force" } dd { "since " (time(in_force.since, clock::now())) } }
            div { dt { "Sites" } dd { (in_force.config.sites.len()) } }
        }
        @if !in_force.config.warnings.is_empty() {
            section.card {
                div.title { h2 { "Legal but odd" } }
                ul { @for warning in &in_force.config.warnings { li { (warning) } } }
            }
        }
        p.hint { "Secrets are shown by their names: the variable or the file that holds them." }
        pre.config tabindex="0" aria-label="Configuration" { code { (in_force.shown) } }
    };
    frame::page(&guest, Section::Configuration, "Configuration", &content)
}
