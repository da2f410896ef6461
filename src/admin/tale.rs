//! A story as the console tells it: in words, with what to do, and scene by scene.

use maud::{Markup, html};

use super::phrase::{number, time, word};
use crate::{
    guide::{self, Meaning},
    store::{
        Attempt,
        audit::AuditEntry,
        clock,
        story::{Field, Happening, HitRecord, Scene, Story},
    },
    tracking::timestamp::Timestamp,
};

/// One story: what became of it and why, what to do, and all that happened.
pub(super) fn tell(story: &Story, request: Option<&str>) -> Markup {
    let (hit, now) = (&story.hit, clock::now());
    html! {
        article.card {
            div.title {
                h2 { (hit.conversion) " to " (hit.network) }
                (badge(&hit.outcome))
                @if let Some(verdict) = &hit.verdict { (badge(verdict)) }
            }
            (why(hit))
            dl.facts {
                div { dt { "Page" } dd { (time(hit.time, now)) } }
                div { dt { "Site" } dd { (hit.site) } }
                @if let Some(order) = &hit.order_id { div { dt { "Order" } dd.mono { (order) } } }
                @if hit.value.is_some() { div { dt { "Value" } dd { (money(hit)) } } }
                @if let Some(id) = hit.event_id { div { dt { "Event" } dd.mono {
                    @if story.state.is_some() { a href=(format!("/console/outbox/{id}")) { (id) } } @else { (id) }
                } } }
            }
            ol.story { @for scene in &story.scenes { (played(scene, now)) } }
            @if let Some(request) = request {
                details { summary { "The request, as the configuration in force makes it" } pre.request { (request) } }
            }
        }
    }
}

/// Why it was not reported, or whether it was, in words, and what to do.
fn why(hit: &HitRecord) -> Markup {
    let is_reported = hit.verdict.as_deref().is_some_and(|verdict| REPORTED.contains(&verdict));
    let meaning = match &hit.verdict {
        Some(verdict) => guide::verdict(verdict),
        None => guide::outcome(&hit.outcome),
    };
    let lead = match (is_reported, &hit.verdict, hit.outcome.as_str()) {
        (true, ..) => "Reported",
        (false, None, "queued") => "Not reported yet",
        (false, ..) => "Not reported",
    };
    let kind = if is_reported { "notice good" } else { "notice" };
    html! {
        p class=(kind) {
            b { (lead) } ": "
            @match &meaning {
                Some(Meaning { means, .. }) => (marked(means)),
                None => (word(hit.verdict.as_ref().unwrap_or(&hit.outcome))),
            }
            @if let Some(reason) = &hit.reason { " (" (word(reason)) ")" }
            "."
            @if let Some(Meaning { remedy, .. }) = meaning.filter(|meaning| meaning.remedy != "nothing") {
                br; b { "What to do" } ": " (marked(&remedy)) "."
            }
        }
    }
}

fn played(Scene { at, what }: &Scene, now: Timestamp) -> Markup {
    html! { li {
        span.when { @if let Some(at) = at { (time(*at, now)) } }
        div { (happened(what, now)) }
    } }
}

fn happened(what: &Happening, now: Timestamp) -> Markup {
    match what {
        Happening::Landing(landing) => html! {
            b { @if landing.is_carried { "Click ID in a cookie" } @else { "Landing" } } ": " (landing.network)
            ", " code { (landing.param) } " = " span.mono { (landing.click_id) }
        },
        Happening::Capture { name } => html! { b { "Capture" } ": " (name) },
        Happening::Rival(rival) => html! { b { "Another paid visit" } ": " (rival.by) },
        Happening::Page { status } => html! {
            b { "Thank-you page" } @if let Some(status) = status { ", answered with " (status) }
        },
        Happening::Consent(choice) => html! {
            b { "Consent" } ": " (word(&choice.decision)) @if let Some(from) = &choice.from { ", from " (from) }
        },
        Happening::Match { by } => {
            html! { b { "Journey found" } " by " (by.iter().map(|it| word(it)).collect::<Vec<_>>().join(", ")) }
        }
        Happening::Clicks { ids, from } => html! {
            b { "Click IDs" } ": " span.mono { (ids.join(", ")) } @if let Some(from) = from { " " small { "from " (from) } }
        },
        Happening::Fields { fields } => {
            html! { b { "Fields" } dl.pairs { @for field in fields { (read(field, now)) } } }
        }
        Happening::Outcome { outcome, reason } => html! {
            b { "Outcome" } ": " (badge(outcome)) @if let Some(reason) = reason { " " (word(reason)) }
        },
        Happening::WouldSend { request } => html! { b { "Would have been sent" } pre.request { (request) } },
        Happening::Attempt(Attempt { number, answer }) => html! {
            b { "Attempt " (number) } ": " (badge(&answer.result))
            @if let Some(status) = answer.status { " status " (status) } ", " (answer.millis) " ms"
            @if !answer.body.is_empty() { pre.request { (answer.body) } }
        },
        Happening::Waits { next, reason, missing } => html! {
            b { "Waits" }
            @if !missing.is_empty() { " for a person who adds " (missing.join(", ")) }
            @if let Some(next) = next { "; next attempt " (time(*next, now)) }
            @if let Some(reason) = reason { " (" (word(reason)) ")" }
        },
        Happening::Verdict { verdict, reason } => html! {
            b { "Verdict" } ": " (badge(verdict)) @if let Some(reason) = reason { " " (word(reason)) }
        },
        Happening::Deed(AuditEntry { who, action, arguments, count, .. }) => html! {
            b { "Operator" } ": " (who) " did " (action) " " code { (arguments) }
            @if *count > 1 { " to " (number(*count)) " rows" }
        },
    }
}

fn read(field: &Field, now: Timestamp) -> Markup {
    html! { div {
        dt { (field.name) }
        dd {
            @match &field.value { Some(value) => { span.mono { (value) } }, None => (badge(field.result.as_deref().unwrap_or("missing"))) }
            @if let Some(from) = &field.from { " " small { "from " (from) } }
            @if let Some(captured) = field.captured { " " small { "captured " (time(captured, now)) } }
        }
    } }
}

/// The order's value.
pub(super) fn money(hit: &HitRecord) -> Markup {
    html! { @if let Some(value) = &hit.value { (value) @if let Some(currency) = &hit.currency { " " (currency) } } }
}

/// A word of ours, coloured by whether it is good news.
pub(super) fn badge(text: &str) -> Markup {
    let is_good = text == "queued" || REPORTED.contains(&text);
    let is_bad = BAD.contains(&text);
    html! { span.badge.good[is_good].bad[is_bad] { (word(text)) } }
}

/// A text of the guide: what stands between backticks is code.
pub(super) fn marked(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

const REPORTED: [&str; 2] = ["delivered", "already_known"];
const BAD: [&str; 7] = ["rejected", "unclear", "expired", "invalid_click", "unstored", "incomplete", "missing"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_guide_becomes_code_and_plain_words() {
        assert_eq!(marked("a `b < c`, <d> `").into_string(), "a <code>b &lt; c</code>, &lt;d&gt; <code></code>");
    }
}
