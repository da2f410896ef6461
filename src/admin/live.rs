//! What happens, as it happens: all events, or what is decided about one visitor who previews a site.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::unfold;
use maud::{Markup, html};
use serde::Serialize;
use tokio::{
    sync::{
        OwnedSemaphorePermit,
        broadcast::{self, error::RecvError},
    },
    time::{Instant, sleep_until},
};

use super::{
    Shared,
    door::Guest,
    form::{Fields, Submitted},
    frame::{self, Notice, SCRIPT, Section, proof},
    phrase::time,
};
use crate::{
    events::Record,
    operator::{PreviewLink, PreviewWish, Refusal, age, site_address},
    proxy::preview::{self, PreviewDecision},
    store::clock,
    tracking::preview::{Conversions, PreviewId},
};

/// The page.
pub(super) async fn show(
    State(console): State<Shared>,
    Extension(guest): Extension<Guest>,
    RawQuery(query): RawQuery,
) -> Markup {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    page(&console, &guest, fields.get("preview").and_then(PreviewId::parse), &html! {})
}

/// Makes a link that begins a preview.
pub(super) async fn begin(
    State(console): State<Shared>,
    Extension(guest): Extension<Guest>,
    Submitted(fields): Submitted,
) -> Markup {
    let in_force = console.in_force();
    let made = console.aside(move || wish(&fields).and_then(|wish| in_force.preview(wish))).await;
    let said = match &made {
        Ok(link) => linked(link),
        Err(refusal) => frame::notice(Notice::Bad, refusal),
    };
    page(&console, &guest, made.ok().map(|link| link.preview.id), &said)
}

/// One event for each request that is decided; the browser comes again when it ends.
pub(super) async fn stream(State(console): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let Ok(place) = Arc::clone(&console.watchers).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many are watching already\n").into_response();
    };
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let only = fields.get("preview").and_then(PreviewId::parse);
    let watcher = Watcher {
        decisions: preview::watch(),
        // They are made for as long as somebody wants them.
        records: only.is_none().then(|| console.tracker().events.live()),
        only,
        until: Instant::now() + LONGEST_WATCH,
        _place: place,
    };
    let events = unfold(watcher, |mut watcher| async move {
        let line = watcher.next().await?;
        // Texts alone are always JSON.
        let event = Event::default().json_data(line).unwrap_or_default();
        Some((Ok::<_, Infallible>(event), watcher))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// What the page shows of something that happened.
#[derive(Debug, Serialize)]
struct Line {
    /// When, RFC 3339.
    at: String,
    /// Whose: the id of a preview.
    preview: String,
    site: String,
    /// What was asked for.
    request: String,
    /// What was decided.
    decisions: Vec<String>,
}

/// Somebody who looks at the page.
struct Watcher {
    decisions: broadcast::Receiver<Arc<PreviewDecision>>,
    records: Option<broadcast::Receiver<Arc<Record>>>,
    /// The only preview that is wanted.
    only: Option<PreviewId>,
    /// Then it is asked again who they are.
    until: Instant,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    async fn next(&mut self) -> Option<Line> {
        loop {
            let line = tokio::select! {
                () = sleep_until(self.until) => return None,
                decision = self.decisions.recv() => decision
                    .map(|decision| self.only.is_none_or(|only| only == decision.preview_id).then(|| Line::of(&decision))),
                record = next_of(&mut self.records) => record.map(|record| Some(Line::of_record(&record))),
            };
            match line {
                Ok(Some(line)) => return Some(line),
                Ok(None) => {}
                Err(RecvError::Lagged(missed)) => return Some(Line::missed(missed)),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// The next record, for whoever wants records.
async fn next_of(records: &mut Option<broadcast::Receiver<Arc<Record>>>) -> Result<Arc<Record>, RecvError> {
    match records {
        Some(records) => records.recv().await,
        None => std::future::pending().await,
    }
}

impl Line {
    fn of(decision: &PreviewDecision) -> Self {
        let PreviewDecision { preview_id, time, site, method, path, decisions } = decision;
        let decisions =
            if decisions.is_empty() { vec!["nothing concerns tracking".to_owned()] } else { decisions.clone() };
        Self {
            at: time.rfc3339(),
            preview: preview_id.to_string(),
            site: site.to_string(),
            request: format!("{method} {path}"),
            decisions,
        }
    }

    fn of_record(record: &Record) -> Self {
        let Record { timestamp, tag_name, kind, event_name, site, .. } = record;
        let words = [
            record.word.map(str::to_owned),
            record.request_method.clone(),
            record.request_url.clone(),
            record.response_status_code.map(|status| format!("status {status}")),
        ];
        Self {
            at: timestamp.rfc3339(),
            preview: String::new(),
            site: site.to_string(),
            request: match event_name {
                Some(conversion) => format!("{kind:?}: {conversion} to {tag_name}"),
                None => format!("{kind:?}: {tag_name}"),
            },
            decisions: words.into_iter().flatten().collect(),
        }
    }

    fn missed(count: u64) -> Self {
        let decisions = vec![format!("{count} events are not shown: they came too fast")];
        let (preview, site, request) = (String::new(), String::new(), String::new());
        Self { at: clock::now().rfc3339(), preview, site, request, decisions }
    }
}

fn wish(fields: &Fields) -> Result<PreviewWish<'_>, Refusal> {
    Ok(PreviewWish {
        site: fields.get("site"),
        conversions: if fields.get("hold").is_some() { Conversions::Held } else { Conversions::Sent },
        length: age(fields.get("for").unwrap_or("1h"))?,
        address: fields.get("address").map(site_address).transpose()?,
    })
}

fn page(console: &Shared, guest: &Guest, only: Option<PreviewId>, said: &Markup) -> Markup {
    let sites = console.tracker();
    let place = only.map_or_else(|| STREAM.to_owned(), |id| format!("{STREAM}?preview={id}"));
    let content = html! {
        (said)
        form.card method="post" action=(PATH) {
            (proof(guest))
            h2 { "Preview" }
            p.hint { "A link for your own browser: each answer then says what was decided about it, and the decisions appear below. Other visitors notice nothing." }
            div.grid {
                label { "Site" select name="site" {
                    @for site in &sites.sites { option value=(site.rules.name) { (site.rules.name) } }
                } }
                label { "For" select name="for" {
                    @for (value, name) in [("1h", "1 hour"), ("4h", "4 hours"), ("1d", "1 day")] { option value=(value) { (name) } }
                } }
                label { "Address of the site, if not as configured"
                    input type="url" name="address" placeholder="https://shop.example" autocomplete="off";
                }
            }
            label.choice { input type="checkbox" name="hold" value="yes" checked; " hold conversions: they are shown, and nothing is sent" }
            div.buttons { button.primary type="submit" { "Make a link" } }
        }
        section.card {
            div.title {
                h2 { "Live" }
                @if let Some(id) = only { span.badge { "preview " (id) } a href=(PATH) { "everything" } }
                span.badge #state { "not connected" }
            }
            noscript { p.notice role="note" { "What comes live needs JavaScript; all other pages work without it." } }
            ol.live #live data-stream=(place) aria-live="polite" {}
            p.hint #nothing { "Nothing yet. Clicks, hits, postbacks and the requests of visitors who preview a site appear here." }
        }
        script src=(SCRIPT) defer {}
    };
    frame::page(guest, Section::Live, "Live", &content)
}

fn linked(PreviewLink { preview, begin, end }: &PreviewLink) -> Markup {
    html! {
        div.notice.good role="status" {
            p { b { "Open this in the browser that is to preview the site:" } }
            p.mono { a href=(begin) rel="noreferrer" target="_blank" { (begin) } }
            p { "Preview " code { (preview.id) } ", ends " (time(preview.until, clock::now())) "; to end it sooner: " a.mono href=(end) rel="noreferrer" target="_blank" { (end) } }
        }
    }
}

/// Where the page stands.
const PATH: &str = "/console/live";
/// Where its stream comes from.
const STREAM: &str = "/console/live/stream";
/// Nobody watches longer without being asked for their session again.
const LONGEST_WATCH: Duration = Duration::from_mins(30);
