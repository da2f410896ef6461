//! What machines ask the admin port: how much there is of everything, and whether visitors can be sent here.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio::{task::spawn_blocking, time::timeout};

use super::{Shared, door::Refused};
use crate::{
    config::problem::Severity,
    reload::{Running, Source, Standing},
    store::{Health, Store, bypass::Bypass, clock, fleet::FleetHealth, inspector::QueueCounts},
    tracking::timestamp::Timestamp,
};

/// All metrics, for whoever may see them.
pub(super) async fn metrics(State(console): State<Shared>, headers: HeaderMap) -> Response {
    let (admin, door) = (&console.admin, &console.door);
    if door.is_locked() && !door.is_shown_token(&headers) {
        door.count(Refused::Token);
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, "the admin token is missing or wrong\n").into_response();
    }
    if !door.is_locked() && !door.is_ours(&headers) {
        door.count(Refused::Host);
        let text = "the admin port is not known under this name: see admin.hosts\n";
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    let (Running { metrics, store, .. }, now) = (console.running(), clock::now());
    metrics.store_up.set(i64::from(store.health() == Health::Ready));
    match queue(store).await {
        Ok(counts) => {
            let in_force = admin.reloader.in_force();
            metrics.show_queue(&counts, now, &in_force.destinations);
        }
        Err(error) => tracing::debug!(%error, "the queue cannot be counted"),
    }
    if store.fleet().is_some()
        && let Some(rows) = store.departing()
    {
        metrics.show_departures(rows);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
}

/// How much waits, by site and network.
pub(super) async fn queue(store: &Store) -> Result<Vec<QueueCounts>, String> {
    match store.fleet() {
        // Every node says the same of the queue that they share.
        Some(fleet) => match timeout(PATIENCE, fleet.gauges()).await {
            Ok(counts) => counts.map_err(|error| error.to_string()),
            Err(late) => Err(late.to_string()),
        },
        None => {
            let inspector = store.inspect();
            let counts = spawn_blocking(move || inspector.counts(clock::now()).map_err(|error| error.to_string()));
            counts.await.unwrap_or_else(|error| Err(error.to_string()))
        }
    }
}

/// Ready as long as pages are served: a store that cannot write must not take the site off the air.
pub(super) async fn readiness(State(console): State<Shared>) -> Response {
    let (admin, running) = (&console.admin, console.running());
    let stopping = *admin.stopping.borrow();
    let store = match running.store.health() {
        Health::Ready => json!({ "state": "ready" }),
        Health::Degraded { reason, since } => {
            json!({ "state": "degraded", "reason": reason, "since": since.rfc3339() })
        }
    };
    let Standing { since, source } = admin.reloader.standing();
    let mut answer = json!({ "ready": !stopping, "store": store, "configuration": configured(since, &source) });
    if let (Some(fleet), Some(members)) = (running.store.fleet(), answer.as_object_mut()) {
        let fleet = match fleet.health() {
            FleetHealth::Ready => json!({ "state": "ready" }),
            FleetHealth::Away { reason, since } => {
                let waiting = running.store.departing();
                json!({ "state": "away", "reason": reason, "since": since.rfc3339(), "waiting": waiting })
            }
        };
        members.insert("fleet".to_owned(), fleet);
    }
    let bypassed: Vec<_> = running.store.switches().in_force().iter().map(shown).collect();
    if let (false, Some(members)) = (bypassed.is_empty(), answer.as_object_mut()) {
        members.insert("bypassed".to_owned(), bypassed.into());
    }
    let status = if stopping { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(answer)).into_response()
}

/// Which configuration is in force; what is wrong with the other one stands in the log.
fn configured(since: Timestamp, source: &Source) -> serde_json::Value {
    match source {
        Source::File => json!({ "state": source.as_str() }),
        Source::Before(problems) | Source::LastGood(problems) => {
            let mistakes = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
            json!({ "state": source.as_str(), "mistakes": mistakes, "since": since.rfc3339() })
        }
    }
}

/// What an operator has switched, without saying who.
fn shown(bypass: &Bypass) -> serde_json::Value {
    let Bypass { target, tracking, until, .. } = bypass;
    json!({ "site": target.site, "network": target.network, "tracking": tracking.as_str(), "until": until.map(Timestamp::rfc3339) })
}

/// How long a scrape waits for a fleet's database; what it showed last stays.
const PATIENCE: Duration = Duration::from_secs(1);
