//! How sites and networks fare: the last hour, what was counted since the start, what waits.

use axum::{
    Extension,
    extract::{RawQuery, State},
};
use maud::{Markup, html};

use super::{
    Console, Shared, chart,
    door::Guest,
    form::Fields,
    frame::{self, Notice, Section},
    ledger::{Ledger, Sums},
    outbox,
    phrase::{mode, number, span, time, word},
    probes::queue,
    samples::{Count, Samples},
};
use crate::{
    metrics::reading::Reading,
    proxy::runtime::TrackedSite,
    store::{
        Health, clock,
        fleet::{Fleet, FleetHealth},
        inspector::QueueCounts,
    },
    tracking::{network::NetworkRules, timestamp::Timestamp},
};

/// The page.
pub(super) async fn show(
    State(console): State<Shared>,
    Extension(guest): Extension<Guest>,
    RawQuery(query): RawQuery,
) -> Markup {
    let reading = console.sample();
    let waiting = queue(&console.running().store).await;
    let queue = waiting.as_deref().unwrap_or_default();
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let look = Look {
        console: &console,
        reading: &reading,
        ledger: Ledger::new(&reading, queue),
        samples: &console.samples(),
        is_queue_known: waiting.is_ok(),
        now: clock::now(),
    };
    let tracker = console.tracker();
    let sites = &tracker.sites;
    let first = fields.get("from").and_then(|from| from.parse().ok()).unwrap_or(0).min(sites.len());
    let content = html! {
        @if let Err(reason) = &waiting { (frame::notice(Notice::Bad, &format!("What waits is not known: {reason}"))) }
        (look.process())
        @for site in sites.iter().skip(first).take(SITES) { (look.site(&site.in_force())) }
        @if sites.len() > SITES {
            nav.pages aria-label="Sites" {
                @if first > 0 { a href=(format!("?from={}", first.saturating_sub(SITES))) { "Sites before" } }
                @if first + SITES < sites.len() { a href=(format!("?from={}", first + SITES)) { "More sites" } }
            }
        }
        (look.parked(queue))
    };
    frame::page(&guest, Section::Overview, "Overview", &content)
}

/// Everything that the page is made of.
struct Look<'a> {
    console: &'a Console,
    reading: &'a Reading,
    ledger: Ledger<'a>,
    samples: &'a Samples,
    is_queue_known: bool,
    now: Timestamp,
}

impl Look<'_> {
    fn process(&self) -> Markup {
        let (store, now) = (&self.console.running().store, self.now);
        let errors = self.reading.value("store_errors_total");
        let late = self.reading.value("late_commits_total");
        html! {
            @if let Health::Degraded { reason, since } = store.health() {
                p.notice.bad role="alert" { "The store is degraded since " (time(since, now)) ": " (reason) }
            }
            @if let Some(FleetHealth::Away { reason, since }) = store.fleet().map(Fleet::health) {
                p.notice.bad role="alert" { "The fleet's database is away since " (time(since, now)) ": " (reason) }
            }
            @if !self.console.in_force().standing.source.problems().is_empty() {
                p.notice.bad role="alert" { "The configuration in its file has mistakes; another one " a href="/console/configuration" { "is in force" } "." }
            }
            @for bypass in store.switches().in_force() {
                p.notice.bad role="alert" {
                    (bypass.target) " is " a href="/console/bypass" { "bypassed" } ": tracking " (bypass.tracking.as_str())
                    @if let Some(until) = bypass.until { ", ends " (time(until, now)) }
                }
            }
            dl.facts {
                (fact("Version", &html! { (env!("CARGO_PKG_VERSION")) }))
                (fact("Started", &time(self.console.started, now)))
                (fact("Configuration", &html! { "read " (time(self.console.in_force().standing.since, now)) }))
                (fact("Store", &html! { @match store.health() { Health::Ready => "ready", Health::Degraded { .. } => "degraded" } }))
                @if let Some(fleet) = store.fleet() {
                    (fact("Fleet", &html! { @match fleet.health() { FleetHealth::Ready => "ready", FleetHealth::Away { .. } => "away" } }))
                }
                (fact("On disk", &html! { (number(positive(self.reading.value("store_bytes") / (1 << 20)))) " MiB" }))
                (fact("Late commits", &html! { span.bad[late > 0] { (number(positive(late))) } }))
                (fact("Store errors", &html! { span.bad[errors > 0] { (number(positive(errors))) } }))
            }
        }
    }

    fn site(&self, site: &TrackedSite) -> Markup {
        let (rules, name) = (&site.rules, &*site.rules.name);
        let minutes = |count| self.samples.minutes(count, name, "");
        html! {
            section.card {
                div.title {
                    h2 { (name) " " (tracking(mode(rules.mode))) }
                    ul.servers {
                        @for (server, is_up) in self.ledger.servers(name) {
                            li { span.dot.good[is_up].bad[!is_up] {} (server) " " @if is_up { "up" } @else { strong.bad { "down" } } }
                        }
                    }
                }
                div.charts {
                    (figure("Requests", &minutes(Count::Requests), &[]))
                    (figure("Clicks", &minutes(Count::Clicks), &[]))
                    (figure("Hits × networks", &minutes(Count::Hits), &[]))
                    (figure("Postbacks", &minutes(Count::Reported), &minutes(Count::Failed)))
                }
                @if rules.networks.is_empty() {
                    p.hint { "This site has no networks." }
                } @else {
                    div.table.lines tabindex="0" role="region" aria-label=(format!("Networks of {name}")) {
                        table {
                            thead { tr {
                                th scope="col" { "Network" }
                                th scope="col" { "Postbacks, last hour" }
                                th scope="col" { "Clicks" }
                                th scope="col" { "Hits by outcome" }
                                th scope="col" { "Postbacks by verdict" }
                                th.number scope="col" { "Waiting" }
                                th.number scope="col" { "Dead letters" }
                            } }
                            tbody { @for network in &rules.networks { (self.network(site, network)) } }
                        }
                    }
                }
            }
        }
    }

    fn network(&self, site: &TrackedSite, network: &NetworkRules) -> Markup {
        let (name, key) = (&*site.rules.name, &*network.key);
        let minutes = |count| self.samples.minutes(count, name, key);
        let figures = self.ledger.figures(name, key);
        let counts = figures.and_then(|figures| figures.waiting);
        let (pending, dead) = counts.map_or((0, 0), |counts| (counts.pending, counts.dead));
        html! {
            tr {
                th scope="row" {
                    (key) " "
                    (tracking(mode(site.rules.mode_of(network))))
                    @if figures.is_some_and(|figures| figures.is_left_alone) {
                        span.badge.bad title="It fails or refuses our credentials; it is tried again by itself." { "left alone" }
                    }
                }
                td.spark { (chart::bars("Postbacks", &minutes(Count::Reported), &minutes(Count::Failed))) }
                td data-name="clicks" { (words(figures.map(|figures| &figures.clicks))) }
                td data-name="hits" { (words(figures.map(|figures| &figures.outcomes))) }
                td data-name="postbacks" { (words(figures.map(|figures| &figures.verdicts))) }
                td.number data-name="waiting" {
                    @if !self.is_queue_known { "?" } @else if pending == 0 { "0" } @else {
                        a href=(outbox::link(name, key, "pending")) { (number(pending)) }
                    }
                    @if let Some(oldest) = counts.and_then(|counts| counts.oldest_event) {
                        br; small { "oldest " (span(self.now.since(oldest))) }
                    }
                }
                td.number data-name="dead letters" {
                    @if !self.is_queue_known { "?" } @else if dead == 0 { "0" } @else {
                        a.bad href=(outbox::link(name, key, "dead")) { (number(dead)) }
                    }
                }
            }
        }
    }

    /// What waits for a site or network that is no longer configured.
    fn parked(&self, queue: &[QueueCounts]) -> Markup {
        let in_force = self.console.admin.reloader.in_force();
        let destinations = &in_force.destinations;
        let is_parked =
            |it: &&QueueCounts| it.pending + it.dead > 0 && destinations.find(&it.site, &it.network).is_none();
        let parked: Vec<_> = queue.iter().filter(is_parked).take(SITES).collect();
        html! {
            @if !parked.is_empty() {
                section.card {
                    div.title { h2 { "Parked " span.badge.bad { "no longer configured" } } }
                    ul { @for it in parked {
                        li {
                            a href=(outbox::link(&it.site, &it.network, "all")) { (it.site) " / " (it.network) }
                            ": " (number(it.pending)) " waiting, " (number(it.dead)) " dead letters"
                        }
                    } }
                    p.hint { "A new name adopts them with " code { "throughline outbox reassign" } "." }
                }
            }
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn figure(name: &str, good: &[i64], bad: &[i64]) -> Markup {
    let sum = good.iter().chain(bad).sum();
    html! { figure { figcaption { (name) " " strong { (number(positive(sum))) } } (chart::bars(name, good, bad)) } }
}

fn words(sums: Option<&Sums<'_>>) -> Markup {
    let mut sums: Vec<_> = sums.into_iter().flatten().collect();
    sums.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    html! {
        @if sums.is_empty() { span.hint { "none" } } @else {
            ul.words { @for (name, count) in sums { li { (word(name)) " " b { (number(*count)) } } } }
        }
    }
}

/// Where tracking stands, when that is worth a word.
fn tracking(mode: &str) -> Markup {
    html! { @if mode != "on" { span.badge.bad { "tracking " (mode) } } }
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Sites on one page.
const SITES: usize = 50;
