//! What would be done about a request, and why: a form and its answer.

use std::net::{IpAddr, Ipv4Addr};

use axum::{Extension, extract::State};
use http::Method;
use maud::{Markup, html};

use super::{
    Shared,
    answer::answer,
    door::Guest,
    form::{Fields, Submitted},
    frame::{self, Notice, Section, proof},
};
use crate::{
    explain::{self, Asked},
    operator::{Refusal, refusal},
};

/// The form alone.
pub(super) async fn form(Extension(guest): Extension<Guest>) -> Markup {
    page(&guest, &Fields::default(), &html! {})
}

/// The answer, above the form as it was filled in.
pub(super) async fn submit(
    State(console): State<Shared>,
    Extension(guest): Extension<Guest>,
    Submitted(fields): Submitted,
) -> Markup {
    let account = match asked(&fields) {
        Ok(asked) => {
            let in_force = console.in_force();
            console.aside(move || in_force.explain(&asked).map_err(refusal)).await
        }
        Err(refusal) => Err(refusal),
    };
    let said = match &account {
        Ok(account) => answer(account),
        Err(refusal) => frame::notice(Notice::Bad, refusal),
    };
    page(&guest, &fields, &said)
}

fn asked(fields: &Fields) -> Result<Asked, Refusal> {
    let lines = |name| fields.text(name).lines().map(str::trim).filter(|line| !line.is_empty());
    let headers = |name| lines(name).map(explain::header).collect::<Result<Vec<_>, _>>();
    let listed = |name| lines(name).map(ToOwned::to_owned).collect();
    let url = explain::address(fields.get("url").ok_or("Which address?")?)?;
    let method = fields.get("method").map(|method| method.parse::<Method>().map_err(refusal)).transpose()?;
    let status = fields.get("status").map_or(Ok(200), str::parse::<u16>).ok().filter(|it| (101..600).contains(it));
    let address = fields.get("address").map(|text| text.parse::<IpAddr>().map_err(refusal)).transpose()?;
    Ok(Asked {
        url,
        method,
        headers: headers("headers")?,
        cookies: listed("cookies"),
        body: fields.get("body").map(|body| body.as_bytes().to_vec()),
        content_type: fields.get("content_type").map(|it| it.parse().map_err(refusal)).transpose()?,
        address: address.unwrap_or(NOBODY),
        passed: listed("passed"),
        remembered: listed("remembered"),
        status: status.ok_or("The status is a number from 101 to 599.")?,
        response_headers: headers("response_headers")?,
        page: fields.get("page").map(|_| fields.text("page").as_bytes().to_vec()),
        is_live: fields.get("live").is_some(),
    })
}

fn page(guest: &Guest, fields: &Fields, said: &Markup) -> Markup {
    let is_open = |names: &[&str]| names.iter().any(|name| fields.get(name).is_some());
    let line = |name: &str, label: &str, hint: &str| {
        html! { label { (label) input type="text" name=(name) value=(fields.text(name)) placeholder=(hint) autocomplete="off"; } }
    };
    let text = |name: &str, label: &str, hint: &str| {
        html! { label { (label) textarea name=(name) rows="3" placeholder=(hint) spellcheck="false" { (fields.text(name)) } } }
    };
    let content = html! {
        (said)
        form.ask method="post" action="/console/explain" {
            (proof(guest))
            p.hint { "Nothing is stored or sent. The store is not asked: whether an order is known already stays open." }
            label { "Address, as a visitor's browser asks for it"
                input type="url" name="url" value=(fields.text("url")) placeholder="https://shop.example/thank-you/1001?total=49.90" required autocomplete="off";
            }
            (text("cookies", "Cookies, one a line", "_exoclick_cid=abc"))
            label.choice { input type="checkbox" name="live" value="yes" checked[fields.get("live").is_some()]; " ask the site's own server for the page (GET and HEAD alone)" }
            details open[is_open(&["method", "headers", "body", "content_type", "address"])] {
                summary { "More of the request" }
                div.grid {
                    (line("method", "Method", "GET, or POST with a body"))
                    (line("address", "Visitor's address", "192.0.2.1"))
                    (line("content_type", "Content-Type of the body", "application/x-www-form-urlencoded"))
                }
                (text("headers", "Headers, one a line", "Sec-GPC: 1"))
                (text("body", "Body", "email=a%40b.example"))
            }
            details open[is_open(&["passed", "remembered"])] {
                summary { "What came before" }
                (text("passed", "Captures that this visitor has passed, one a line", "checkout"))
                (text("remembered", "Fields that are remembered, one a line", "email=a@b.example"))
            }
            details open[is_open(&["status", "response_headers", "page"])] {
                summary { "The site's answer" }
                div.grid { (line("status", "Status", "200")) }
                (text("response_headers", "Headers, one a line", "Content-Type: text/html"))
                (text("page", "Body", "<html>…"))
            }
            button.primary type="submit" { "Explain" }
        }
    };
    frame::page(guest, Section::Explain, "Explain", &content)
}

/// Kept for documentation (RFC 5737).
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
