//! Switching tracking off for a site or a network, for a while, without touching the configuration.

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use maud::{Markup, html};

use super::{
    Shared,
    door::Guest,
    form::{Fields, Submitted},
    frame::{self, Notice, Section, proof},
    phrase::time,
};
use crate::{
    config::Config,
    operator::{Refusal, age, refusal},
    store::{
        bypass::{Bypass, Done, Halt, Target},
        clock,
    },
    tracking::timestamp::Timestamp,
};

/// The page.
pub(super) async fn show(State(console): State<Shared>, Extension(guest): Extension<Guest>) -> Markup {
    page(&console, &guest, html! {}).await
}

/// Switches something off, or on again.
pub(super) async fn switch(
    State(console): State<Shared>,
    Extension(guest): Extension<Guest>,
    Submitted(fields): Submitted,
) -> Response {
    let in_force = console.in_force();
    let actor = guest.actor();
    let done = console.aside(move || {
        let (config, folder) = (&in_force.config, &in_force.config.server.state);
        let target: Target = fields.text("target").parse()?;
        if fields.get("end").is_some() {
            let Done { result, unaudited } = Bypass::end(folder, &actor, &target).map_err(refusal)?;
            let said = if result.is_some() { "is tracked as configured from now on" } else { "was not bypassed" };
            return Ok((format!("{target} {said}."), unaudited.map(refusal)));
        }
        if !targets(config).contains(&target.to_string()) {
            return Err(format!("There is no site or network {target}."));
        }
        let (halt, until) = wish(&fields, clock::now())?;
        let Done { unaudited, .. } = Bypass::set(folder, &actor, target.clone(), halt, until).map_err(refusal)?;
        Ok((format!("{target} is bypassed within two seconds."), unaudited.map(refusal)))
    });
    let said = match done.await {
        Ok((said, unaudited)) => html! {
            (frame::notice(Notice::Good, &said))
            @if let Some(reason) = unaudited { (frame::notice(Notice::Bad, &format!("It is not in the audit: {reason}"))) }
        },
        Err(refusal) => frame::notice(Notice::Bad, &refusal),
    };
    page(&console, &guest, said).await.into_response()
}

async fn page(console: &Shared, guest: &Guest, said: Markup) -> Markup {
    let in_force = console.in_force();
    let folder = in_force.config.server.state.clone();
    let bypasses = console.aside(move || Bypass::list(&folder).map_err(refusal)).await;
    let content = html! {
        (said)
        p.hint { "A bypassed site is served as ever, only without tracking. What waits for delivery is still delivered." }
        @match &bypasses {
            Err(refusal) => (frame::notice(Notice::Bad, refusal)),
            Ok(bypasses) if bypasses.is_empty() => (frame::notice(Notice::Plain, "Nothing is bypassed.")),
            Ok(bypasses) => (table(bypasses, guest)),
        }
        form.card method="post" action=(PATH) {
            (proof(guest))
            h2 { "Bypass" }
            div.grid {
                label { "Site, or network of a site" select name="target" {
                    @for target in targets(&in_force.config) { option value=(target) { (target) } }
                } }
                label { "Tracking" select name="tracking" {
                    option value="off" { "off: nothing is done" }
                    option value="observe" { "observe: evaluated, nothing changed or sent" }
                } }
                label { "For" select name="for" {
                    @for (value, name) in SPANS { option value=(value) selected[value == "1h"] { (name) } }
                } }
            }
            div.buttons { button.danger type="submit" { "Bypass" } }
        }
    };
    frame::page(guest, Section::Bypass, "Bypass", &content)
}

fn table(bypasses: &[Bypass], guest: &Guest) -> Markup {
    let now = clock::now();
    html! {
        div.table.lines tabindex="0" role="region" aria-label="What is bypassed" {
            table {
                thead { tr {
                    th scope="col" { "What" } th scope="col" { "Tracking" } th scope="col" { "Since" }
                    th scope="col" { "Until" } th scope="col" { "By" } th scope="col" { span.unseen { "End it" } }
                } }
                tbody { @for Bypass { target, tracking, since, until, who } in bypasses {
                    tr {
                        th scope="row" { (target) } td { span.badge.bad { (tracking.as_str()) } } td data-name="since" { (time(*since, now)) }
                        td data-name="until" { @match until { Some(until) => (time(*until, now)), None => "somebody ends it" } }
                        td data-name="by" { (who) }
                        td { form method="post" action=(PATH) {
                            (proof(guest))
                            input type="hidden" name="target" value=(target);
                            button type="submit" name="end" value="yes" aria-label=(format!("End the bypass of {target}")) { "End" }
                        } }
                    }
                } }
            }
        }
    }
}

/// Sites, and below each its networks.
fn targets(config: &Config) -> Vec<String> {
    let sites = config.sites.iter().map(|site| &site.rules);
    let of = |rules: &crate::tracking::site::SiteRules| {
        let networks = rules.networks.iter().map(|network| format!("{}/{}", rules.name, network.key));
        std::iter::once(rules.name.to_string()).chain(networks).collect::<Vec<_>>()
    };
    sites.flat_map(of).collect()
}

fn wish(fields: &Fields, now: Timestamp) -> Result<(Halt, Option<Timestamp>), Refusal> {
    let halt = match fields.text("tracking") {
        "off" => Halt::Off,
        "observe" => Halt::Observe,
        _ => return Err("Off, or observe?".to_owned()),
    };
    let until = match fields.get("for") {
        None | Some("ever") => None,
        Some(span) => Some(now.plus(age(span)?)),
    };
    Ok((halt, until))
}

const PATH: &str = "/console/bypass";
const SPANS: [(&str, &str); 5] =
    [("15m", "15 minutes"), ("1h", "1 hour"), ("4h", "4 hours"), ("1d", "1 day"), ("ever", "until it is ended")];
