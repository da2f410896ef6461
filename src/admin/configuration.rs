//! The configuration in force: what was written, over the defaults and the networks' files.

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use maud::{Markup, html};

use super::{
    Shared,
    door::Guest,
    form::Submitted,
    frame::{self, Notice, Section, proof},
    phrase::time,
};
use crate::{
    config::problem::Problem,
    operator::{counted, refusal},
    reload::{Refused, Report, Source},
    store::{audit::Action, clock},
};

/// The page.
pub(super) async fn show(State(console): State<Shared>, Extension(guest): Extension<Guest>) -> Markup {
    page(&console, &guest, &html! {})
}

/// Reads the configuration again and puts it in force.
pub(super) async fn reload(
    State(console): State<Shared>,
    Extension(guest): Extension<Guest>,
    _: Submitted,
) -> Response {
    let done = console.admin.reloader.reload().await;
    let (word, said) = match &done {
        Ok(report) => ("in force", accepted(report)),
        Err(Refused { problems }) => ("refused", refused(problems)),
    };
    let action = Action { word: "reload", arguments: word.to_owned() };
    let entered = console.at_work(&guest, move |_, office| office.enter(&action).map_err(refusal)).await;
    let said = html! {
        (said)
        @if let Err(reason) = entered { (frame::notice(Notice::Bad, &format!("It is not in the audit: {reason}"))) }
    };
    page(&console, &guest, &said).into_response()
}

fn page(console: &Shared, guest: &Guest, said: &Markup) -> Markup {
    let in_force = console.in_force();
    let content = html! {
        (said)
        @match &in_force.standing.source {
            Source::File => {},
            Source::Before(problems) => (troubled("The file was changed and has mistakes: what was in force before stays.", problems)),
            Source::LastGood(problems) => (troubled("The file had mistakes at the start: the last configuration that was accepted is in force.", problems)),
        }
        dl.facts {
            div { dt { "File" } dd.mono { (in_force.config.texts.file.display()) } }
            div { dt { "Read" } dd { (time(in_force.standing.since, clock::now())) } }
            div { dt { "Sites" } dd { (in_force.config.sites.len()) } }
        }
        form method="post" action="/console/configuration" {
            (proof(guest))
            button.primary type="submit" { "Read the file again" }
            span.hint { " A mistake changes nothing." }
        }
        @if !in_force.config.warnings.is_empty() {
            section.card {
                div.title { h2 { "Legal but odd" } }
                ul { @for warning in &in_force.config.warnings { li { (warning) } } }
            }
        }
        p.hint { "Secrets are shown by their names: the variable or the file that holds them." }
        pre.config tabindex="0" aria-label="Configuration" { code { (in_force.shown()) } }
    };
    frame::page(guest, Section::Configuration, "Configuration", &content)
}

fn accepted(Report { differences, has_other_secrets, .. }: &Report) -> Markup {
    let changes = counted(differences.len(), "key has", "keys have");
    html! {
        (frame::notice(Notice::Good, &format!("The configuration was read again and is in force; {changes} changed.")))
        @if *has_other_secrets { (frame::notice(Notice::Plain, "Variables or files of secrets hold something else now.")) }
        @if !differences.is_empty() {
            ul.card.changes { @for difference in differences.iter().take(SHOWN) { li.mono { (difference) } } }
        }
    }
}

fn refused(problems: &[Problem]) -> Markup {
    html! {
        (frame::notice(Notice::Bad, "The configuration cannot be used; nothing was changed."))
        (listed(problems))
    }
}

fn troubled(text: &str, problems: &[Problem]) -> Markup {
    html! { (frame::notice(Notice::Bad, text)) (listed(problems)) }
}

fn listed(problems: &[Problem]) -> Markup {
    html! { ul.card.changes { @for problem in problems.iter().take(SHOWN) { li.mono { (problem) } } } }
}

/// Differences and problems that are listed.
const SHOWN: usize = 100;
