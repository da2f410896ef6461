//! What is told about a request, step by step, as a page.

use maud::{Markup, html};

use crate::explain::{
    Account,
    account::{ConsentAccount, ConversionAccount, FieldAccount, PixelAccount, PostbackAccount, SendAccount},
};

/// One card for each step, in the order in which decisions are made.
pub(super) fn answer(account: &Account) -> Markup {
    html! {
        section.account aria-label="Answer" {
            p.mono { (account.request) }
            @if let Some(site) = &account.site {
                dl.facts {
                    div { dt { "Site" } dd { (site) } }
                    div { dt { "Visitor" } dd { (account.visitor) } }
                }
                (consent(&account.consent))
            }
            @if !account.clicks.is_empty() { (step("Clicks", &html! {
                ul { @for click in &account.clicks {
                    li {
                        b { (click.network) } ": "
                        @if let Some(result) = click.result { (badge(result, result == "accepted")) " " }
                        (click.because)
                        @if !click.arrived.is_empty() { " " span.mono { (click.arrived.join(", ")) } }
                        @if !click.carried.is_empty() { "; in its cookie " span.mono { (click.carried.join(", ")) } }
                    }
                } }
            })) }
            @if !account.captures.is_empty() { (step("Captures", &html! {
                ul { @for capture in &account.captures {
                    li {
                        b { (capture.name) } ": "
                        @if let Some(result) = capture.result { (badge(result, result == "remembered")) " " }
                        (capture.because)
                        @for (name, value) in &capture.remembered { br; (name) " = " span.mono { (value) } }
                    }
                } }
            })) }
            @for conversion in &account.conversions { (converted(conversion)) }
            (pixels(&account.pixels))
            @if !account.set_cookies.is_empty() { (step("Cookies that are set", &html! {
                ul { @for line in &account.set_cookies { li.mono { (line) } } }
            })) }
            @if !account.notes.is_empty() { (step("To be known", &html! { ul { @for note in &account.notes { li { (note) } } } })) }
        }
    }
}

fn consent(account: &ConsentAccount) -> Markup {
    step(
        "Consent",
        &html! {
            p { (badge(account.decision, account.decision == "granted")) " " (account.because) }
            @if !account.signals.is_empty() || !account.networks.is_empty() {
                ul {
                    @for (name, reading) in &account.signals { li { (name) ": " (reading) } }
                    @for (name, decision) in &account.networks { li { b { (name) } ": " (decision) } }
                }
            }
            @if account.withdraws { p { "Our cookies, the journey and what is still queued are deleted." } }
        },
    )
}

fn converted(account: &ConversionAccount) -> Markup {
    let title = format!("Conversion {}", account.name);
    step(
        &title,
        &html! {
            p { @if !account.matches { (badge("no", false)) " " } (account.because) }
            @if !account.path.is_empty() || !account.fields.is_empty() {
                dl.pairs {
                    @for (name, value) in &account.path { div { dt { "path." (name) } dd.mono { (value) } } }
                    @for field in &account.fields { (read(field)) }
                }
            }
            @for network in &account.networks { (told(network)) }
        },
    )
}

fn read(FieldAccount { name, result, value, from }: &FieldAccount) -> Markup {
    html! { div {
        dt { (name) }
        dd {
            @match value { Some(value) => { span.mono { (value) } }, None => { (badge(result, false)) } }
            " " small { "from " (from) }
        }
    } }
}

fn told(account: &SendAccount) -> Markup {
    html! {
        div.card.inner {
            h4 { (account.network) " " (badge(account.outcome, account.outcome == "queued")) }
            @if !account.because.is_empty() { p { (account.because) } }
            dl.pairs {
                @if let Some(by) = &account.told_apart_by { div { dt { "once per" } dd { (by) } } }
                @if !account.clicks.is_empty() { div { dt { "clicks" } dd.mono { (account.clicks.join(", ")) } } }
                @for url in &account.pixels { div { dt { "pixel" } dd.mono { (url) } } }
            }
            @if let Some(PostbackAccount { method, url, headers, body }) = &account.postback {
                pre.request {
                    (method) " " (url) "\n"
                    @for (name, value) in headers { (name) ": " (value) "\n" }
                    @if let Some(body) = body { "\n" (body) }
                }
            }
        }
    }
}

fn pixels(account: &PixelAccount) -> Markup {
    html! {
        @if !account.injected.is_empty() || !account.refused.is_empty() {
            (step("Page", &html! { ul {
                @for (network, urls) in &account.injected { li { (urls.len()) " pixels of " b { (network) } " go in" } }
                @for (network, reason) in &account.refused { li { "no pixels of " b { (network) } ": " (reason) } }
            } }))
        }
    }
}

fn step(title: &str, content: &Markup) -> Markup {
    html! { section.card { h3 { (title) } (content) } }
}

fn badge(word: &str, is_good: bool) -> Markup {
    html! { span.badge.good[is_good] { (super::phrase::word(word)) } }
}
