//! The story of an order, a click or an event: what happened, in order of time, and why nothing was
//! reported if nothing was.

use std::{cmp::Reverse, collections::BTreeSet};

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
    tale::{badge, marked, money, tell},
};
use crate::{
    guide::{self, Meaning},
    operator::{Refusal, refusal},
    store::{
        clock,
        story::{HitFilter, HitRecord, Stories, Story},
    },
    tracking::{conversion::Outcome, timestamp::Timestamp},
};

/// What a search has found on disk.
struct Found {
    /// Each with the request that it makes, by the configuration in force.
    stories: Vec<(Story, Option<String>)>,
    /// Whether everything was looked through.
    is_whole: bool,
}

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
            let (in_force, unwritten) = (console.in_force(), console.running().store.unwritten_stories(&text));
            let found = console.at_work(&guest, move |_, office| {
                let Stories { told, is_whole } = office.story(&text).map_err(refusal)?;
                let requests = in_force.requests(&told);
                Ok(Found { stories: told.into_iter().zip(requests).collect(), is_whole })
            });
            answered(found.await, &unwritten)
        }
        None => {
            let filter = filter(&fields);
            let unwritten = console.running().store.unwritten_hits(&filter);
            let hits = console.at_work(&guest, move |_, office| office.hits(&filter).map_err(refusal)).await;
            newest(hits, unwritten).map(|hits| html! { (filters(&fields)) (hits) })
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

/// What is on disk, and what is known in memory alone: while the disk is away, that is all there is.
fn answered(found: Result<Found, Refusal>, unwritten: &[Story]) -> Result<Markup, Refusal> {
    let waiting = html! { @for story in unwritten { (tell(story, None)) } };
    match found {
        Err(refusal) if unwritten.is_empty() => Err(refusal),
        Err(refusal) => Ok(html! { (frame::notice(Notice::Bad, &refusal)) (waiting) }),
        Ok(Found { stories, is_whole }) => Ok(html! {
            @if !is_whole { (frame::notice(Notice::Plain, "Not everything was looked through: the store is large, and its older rows were not reached in time.")) }
            @if unwritten.is_empty() || !stories.is_empty() { (told(&stories)) }
            (waiting)
        }),
    }
}

/// The newest of both.
fn newest(hits: Result<Vec<HitRecord>, Refusal>, unwritten: Vec<HitRecord>) -> Result<Markup, Refusal> {
    match hits {
        Err(refusal) if unwritten.is_empty() => Err(refusal),
        Err(refusal) => Ok(html! { (frame::notice(Notice::Bad, &refusal)) (listed(&unwritten)) }),
        Ok(mut hits) => {
            hits.extend(unwritten);
            hits.sort_by_key(|hit| Reverse(hit.time));
            hits.truncate(NEWEST);
            Ok(listed(&hits))
        }
    }
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
                @for outcome in Outcome::ALL.map(Outcome::as_str) {
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
            (meanings(hits))
        }
    }
}

/// What the outcomes of a list mean, and what to do.
fn meanings(hits: &[HitRecord]) -> Markup {
    let outcomes: BTreeSet<&str> = hits.iter().map(|hit| hit.outcome.as_str()).collect();
    let told = outcomes.into_iter().filter(|outcome| *outcome != Outcome::Queued.as_str());
    html! {
        dl.pairs { @for (outcome, Meaning { means, remedy }) in told.filter_map(|it| Some((it, guide::outcome(it)?))) {
            div { dt { (word(outcome)) } dd { (marked(&means)) ". " b { "What to do" } ": " (marked(&remedy)) "." } }
        } }
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
            td { (badge(&hit.outcome)) @if let Some(reason) = &hit.reason { " " small { (word(reason)) } } }
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

/// Hits on the first page.
const NEWEST: usize = 50;
/// Click IDs have at most so many bytes.
const LONGEST: usize = 1024;
