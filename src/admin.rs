//! The admin port: metrics and health, on a thread of its own.

use std::{io, net::SocketAddr, net::TcpListener, sync::Arc, thread, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::{runtime, sync::watch, time::timeout};

use crate::{
    config::problem::Severity,
    reload::{Reloader, Running, Source, Standing},
    store::{Health, bypass::Bypass, clock, fleet::FleetHealth},
    tracking::timestamp::Timestamp,
};

/// What operators can ask for.
#[derive(Clone)]
pub struct Admin {
    /// The running proxy, and its configuration.
    pub reloader: Arc<Reloader>,
    /// What must be shown, as `Authorization: Bearer TOKEN`; never for the two probes.
    pub token: Option<String>,
    /// Says true when the process is about to end, and no other serves in its place.
    pub stopping: watch::Receiver<bool>,
}

impl Admin {
    /// Serves on a bound socket until `handed_over` says true; yields its address.
    pub fn start(self, listener: TcpListener, mut handed_over: watch::Receiver<bool>) -> io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let routes = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readiness))
            .with_state(self);
        thread::Builder::new().name("admin".into()).spawn(move || {
            let closed = async move {
                // Who was not told is not closed.
                if handed_over.wait_for(|handed_over| *handed_over).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let served = runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, routes).with_graceful_shutdown(closed).await
            });
            if let Err(error) = served {
                tracing::error!(%error, "the admin port is closed");
            }
        })?;
        Ok(address)
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        self.token.as_ref().is_none_or(|token| equal(token.as_bytes(), shown.as_bytes()))
    }
}

async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    if !admin.admits(&headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, "the admin token is missing or wrong\n").into_response();
    }
    let Running { metrics, store, .. } = admin.reloader.running();
    let now = clock::now();
    metrics.store_up.set(i64::from(store.health() == Health::Ready));
    let counts = match store.fleet() {
        // Every node says the same of the queue that they share.
        Some(fleet) => match timeout(PATIENCE, fleet.gauges()).await {
            Ok(counts) => counts.map_err(|error| error.to_string()),
            Err(late) => Err(late.to_string()),
        },
        None => store.inspect().counts(now).map_err(|error| error.to_string()),
    };
    match counts {
        Ok(counts) => {
            let in_force = admin.reloader.in_force();
            metrics.show_queue(&counts, now, &|site, network| Some(in_force.destinations.find(site, network)?.max_age));
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

/// Ready as long as pages are served: a store that cannot write must not take the site off the air.
async fn readiness(State(admin): State<Admin>) -> Response {
    let stopping = *admin.stopping.borrow();
    let running = admin.reloader.running();
    let store = match running.store.health() {
        Health::Ready => json!({ "state": "ready" }),
        Health::Degraded { reason, since } => {
            json!({ "state": "degraded", "reason": reason, "since": since.rfc3339() })
        }
    };
    let Standing { since, source } = admin.reloader.standing();
    let mut answer = json!({ "ready": !stopping, "store": store, "configuration": configuration(since, &source) });
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
fn configuration(since: Timestamp, source: &Source) -> serde_json::Value {
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

/// Compares without telling by its time where two texts begin to differ.
fn equal(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differences == 0
}

/// How long a scrape waits for a fleet's database; what it showed last stays.
const PATIENCE: Duration = Duration::from_secs(1);
