//! The story of an order, a click or an event: what happened, in order of time, and why nothing was
//! reported if nothing was.

use axum::{
    Extension,
    extract::{RawQuery, State},
};
use maud::{Markup, html};

use super::{
    Shared,
    door::Guest,
    form::Fields,
    frame::{self, Notice, Section},
    phrase::{time, word},
};
use crate::{
    guide::{self, Meaning},
    operator::refusal,
    store::{
        Attempt,
        audit::AuditEntry,
        clock,
        story::{Field, Happening, HitFilter, HitRecord, Scene, Story},
    },
    tracking::timestamp::Timestamp,
};

/// The page: a search, or the newest hits.
pub(super) async fn show(
    State(console): State<Shared>,
    Extension(guest): Extension<Guest>,
    RawQuery(query): RawQuery,
) -> Markup {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let found = match fields.get("q").map(ToOwned::to_owned) {
        Some(text) if text.len() > LONGEST => Err("No order id or click ID is so long.".to_owned()),
        Some(text) => {
            let in_force = console.in_force();
            let stories = console.at_work(&guest, move |_, office| {
                let stories = office.story(&text).map_err(refusal)?;
                let requests = in_force.requests(&stories);
                Ok(stories.into_iter().zip(requests).collect::<Vec<_>>())
            });
            stories.await.map(|stories| told(&stories))
        }
        None => {
            let filter = filter(&fields);
            let hits = console.at_work(&guest, move |_, office| office.hits(&filter).map_err(refusal)).await;
            hits.map(|hits| html! { (filters(&fields)) (listed(&hits)) })
        }
    };
    let content = html! {
        form.search method="get" action="/console/search" role="search" {
            label { "Order id, click ID or event id"
                input type="search" name="q" value=(fields.text("q")) maxlength=(LONGEST) autocomplete="off" spellcheck="false";
            }
            button.primary type="submit" { "Search" }
        }
        @match found { Ok(found) => (found), Err(refusal) => (frame::notice(Notice::Bad, &refusal)) }
    };
    frame::page(&guest, Section::Search, "Search", &content)
}

/// Where the story of something is told.
pub(super) fn link(text: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", text).finish();
    format!("/console/search?{query}")
}

fn filter(fields: &Fields) -> HitFilter {
    let owned = |name| fields.get(name).map(ToOwned::to_owned);
    HitFilter {
        site: owned("site"),
        network: owned("network"),
        conversion: owned("conversion"),
        outcome: owned("outcome"),
        limit: Some(NEWEST),
        ..HitFilter::default()
    }
}

fn filters(fields: &Fields) -> Markup {
    html! {
        form.filters method="get" action="/console/search" {
            label { "Outcome" select name="outcome" {
                option value="" { "any" }
                @for outcome in crate::tracking::conversion::Outcome::ALL.map(crate::tracking::conversion::Outcome::as_str) {
                    option value=(outcome) selected[fields.get("outcome") == Some(outcome)] { (word(outcome)) }
                }
            } }
            @for (name, label) in [("site", "Site"), ("network", "Network"), ("conversion", "Conversion")] {
                label { (label) input type="text" name=(name) value=(fields.text(name)) placeholder="any" maxlength="100"; }
            }
            button type="submit" { "Show" }
        }
    }
}

/// The newest hits.
fn listed(hits: &[HitRecord]) -> Markup {
    let now = clock::now();
    html! {
        h2 { "Newest hits" }
        @if hits.is_empty() { (frame::notice(Notice::Plain, "None so far.")) } @else {
            div.table.lines tabindex="0" role="region" aria-label="Newest hits" {
                table {
                    thead { tr {
                        th scope="col" { "Page" } th scope="col" { "Site" } th scope="col" { "Conversion" } th scope="col" { "Network" }
                        th scope="col" { "Order" } th.number scope="col" { "Value" } th scope="col" { "Outcome" } th scope="col" { "Verdict" }
                    } }
                    tbody { @for hit in hits { (line(hit, now)) } }
                }
            }
        }
    }
}

fn line(hit: &HitRecord, now: Timestamp) -> Markup {
    let id = hit.event_id.map(|id| id.to_string());
    let about = hit.order_id.as_ref().or(id.as_ref());
    html! {
        tr {
            td { (time(hit.time, now)) } td { (hit.site) } td { (hit.conversion) } td { (hit.network) }
            td.mono { @if let Some(about) = about { a href=(link(about)) { @match &hit.order_id { Some(order) => (order), None => "story" } } } }
            td.number { (money(hit)) }
            td { (badge(&hit.outcome)) }
            td { @if let Some(verdict) = &hit.verdict { (badge(verdict)) } }
        }
    }
}

fn told(stories: &[(Story, Option<String>)]) -> Markup {
    html! {
        @if stories.is_empty() {
            (frame::notice(Notice::Plain, "Nothing is known of it. Either no thank-you page with it was answered, or it is older than the history."))
        }
        @for (story, request) in stories { (tell(story, request.as_deref())) }
    }
}

fn tell(story: &Story, request: Option<&str>) -> Markup {
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
        Happening::Deed(AuditEntry { who, action, .. }) => html! { b { "Operator" } ": " (who) " did " (action) },
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

fn money(hit: &HitRecord) -> Markup {
    html! { @if let Some(value) = &hit.value { (value) @if let Some(currency) = &hit.currency { " " (currency) } } }
}

fn badge(text: &str) -> Markup {
    let is_good = text == "queued" || REPORTED.contains(&text);
    let is_bad = BAD.contains(&text);
    html! { span.badge.good[is_good].bad[is_bad] { (word(text)) } }
}

/// A text of the guide: what stands between backticks is code.
fn marked(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

const REPORTED: [&str; 2] = ["delivered", "already_known"];
const BAD: [&str; 7] = ["rejected", "unclear", "expired", "invalid_click", "unstored", "incomplete", "missing"];
/// Hits on the first page.
const NEWEST: usize = 50;
/// Click IDs have at most so many bytes.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_guide_becomes_code_and_plain_words() {
        assert_eq!(marked("a `b < c`, <d> `").into_string(), "a <code>b &lt; c</code>, &lt;d&gt; <code></code>");
    }
}
