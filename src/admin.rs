//! The admin port: metrics, health and the console, on a thread of its own.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn_with_state, map_response_with_state},
    response::Redirect,
    routing::{get, post},
};
use tokio::{
    runtime,
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::{interval, timeout},
};

use crate::{
    config::Config,
    metrics::reading::Reading,
    operator::{Refusal, refusal},
    proxy::runtime::Tracker,
    reload::{Reloader, Running},
    store::{clock, office::Office},
    tracking::timestamp::Timestamp,
};

mod answer;
mod audit;
mod bypass;
mod chart;
mod configuration;
mod door;
mod form;
mod frame;
mod in_force;
mod ledger;
mod letter;
mod live;
mod login;
mod outbox;
mod overview;
mod patience;
mod phrase;
mod port;
mod probes;
mod question;
mod samples;
mod search;
mod session;
mod tale;

use door::{Door, Guest};
use in_force::InForce;
pub use port::Callers;
use port::{Caller, Port};
use samples::Samples;

/// What operators can ask for.
#[derive(Clone)]
pub struct Admin {
    /// The running proxy, and its configuration.
    pub reloader: Arc<Reloader>,
    /// What must be shown, as `Authorization: Bearer TOKEN` or at the login; never for the two probes.
    pub token: Option<String>,
    /// Names that the console may be asked for by, besides its address.
    pub hosts: Vec<String>,
    /// Says true when the process is about to end, and no other serves in its place.
    pub stopping: watch::Receiver<bool>,
}

/// What the pages of the console share.
struct Console {
    admin: Admin,
    door: Door,
    samples: Mutex<Samples>,
    /// Places for work beside the pages.
    places: Arc<Semaphore>,
    /// Places for those who watch what comes live.
    watchers: Arc<Semaphore>,
    started: Timestamp,
}

type Shared = Arc<Console>;

impl Admin {
    /// Serves on a bound socket until `handed_over` says true; yields its address.
    pub fn start(
        self,
        listener: TcpListener,
        handed_over: watch::Receiver<bool>,
        callers: &Callers,
    ) -> io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().max_blocking_threads(THREADS).build()?;
        let port = {
            let _context = runtime.enter();
            Port::new(listener, handed_over.clone(), callers)?
        };
        let console = Arc::new(Console::new(self, address));
        let routes = routes(&console).layer(map_response_with_state(handed_over, port::part));
        thread::Builder::new().name("admin".into()).spawn(move || {
            let served = runtime.block_on(async move {
                tokio::spawn(keep_samples(console));
                axum::serve(port, routes.into_make_service_with_connect_info::<Caller>()).await
            });
            if let Err(error) = served {
                tracing::error!(%error, "the admin port is closed");
            }
        })?;
        Ok(address)
    }
}

fn routes(console: &Shared) -> Router {
    let guarded = Router::new()
        .route(frame::HOME, get(overview::show))
        .route(login::PATH, get(login::form).post(login::submit))
        .route("/console/logout", post(login::leave))
        .route("/console/live", get(live::show).post(live::begin))
        .route("/console/live/stream", get(live::stream))
        .route("/console/search", get(search::show))
        .route("/console/outbox", get(outbox::list).post(outbox::act))
        .route("/console/outbox/{id}", get(letter::show))
        .route("/console/outbox/{id}/complete", post(letter::correct))
        .route("/console/bypass", get(bypass::show).post(bypass::switch))
        .route("/console/explain", get(question::form).post(question::submit))
        .route("/console/configuration", get(configuration::show).post(configuration::reload))
        .route("/console/audit", get(audit::show))
        .route(frame::STYLE, get(frame::style))
        .route(frame::SCRIPT, get(frame::script))
        .layer(from_fn_with_state(Arc::clone(console), door::guard))
        .layer(DefaultBodyLimit::max(LARGEST_FORM));
    Router::new()
        .route("/", get(async || Redirect::to(frame::HOME)))
        .route("/console", get(async || Redirect::to(frame::HOME)))
        .route("/metrics", get(probes::metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(probes::readiness))
        .merge(guarded)
        .with_state(Arc::clone(console))
}

impl Console {
    fn new(admin: Admin, address: SocketAddr) -> Self {
        let refused = admin.reloader.running().metrics.admin_refused_total.clone();
        Self {
            door: Door::new(admin.token.clone(), admin.hosts.clone(), address.ip(), refused),
            admin,
            samples: Mutex::default(),
            places: Arc::new(Semaphore::new(PLACES)),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
            started: clock::now(),
        }
    }

    fn running(&self) -> &Running {
        self.admin.reloader.running()
    }

    /// The sites in force.
    fn tracker(&self) -> Arc<Tracker> {
        Arc::clone(&self.running().current.edition().tracker)
    }

    fn in_force(&self) -> InForce {
        InForce::now(&self.admin.reloader)
    }

    /// Reads the counters and adds them to the samples.
    fn sample(&self) -> Reading {
        let reading = self.running().metrics.reading();
        self.samples().take(&reading, clock::now().as_millis() / 60_000);
        reading
    }

    fn samples(&self) -> MutexGuard<'_, Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something where operators work, in the name of this one.
    async fn at_work<T: Send + 'static>(
        &self,
        guest: &Guest,
        act: impl FnOnce(&Config, &Office) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (in_force, actor) = (self.in_force(), guest.actor());
        self.aside(move || {
            let (config, server) = (&in_force.config, &in_force.config.server);
            let office = Office::open(&server.state, server.fleet.as_ref(), actor).map_err(refusal)?;
            act(config, &office)
        })
        .await
    }

    /// Does something that blocks, beside the pages: few at a time, and nobody waits for one for long.
    async fn aside<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let done = timeout(PATIENCE_OF_PEOPLE, async {
            let place = Arc::clone(&self.places).acquire_owned().await.map_err(refusal)?;
            let work = spawn_blocking(move || {
                let done = act();
                // What takes longer than somebody waits for it still takes its place.
                drop(place);
                done
            });
            work.await.map_err(refusal)?
        });
        done.await.unwrap_or_else(|_| Err("It takes longer than expected and goes on; look again later.".to_owned()))
    }
}

/// Looks at the counters now and then.
async fn keep_samples(console: Shared) {
    let mut ticks = interval(BETWEEN_SAMPLES);
    loop {
        ticks.tick().await;
        console.sample();
    }
}

/// How long an operator waits for a page.
const PATIENCE_OF_PEOPLE: Duration = Duration::from_secs(20);
/// Searches and changes at the same time: they share the disk with conversions.
const PLACES: usize = 2;
/// Browsers that watch at the same time.
const WATCHERS: usize = 32;
/// For these, the counting of the queue, and what goes on though nobody waits for it any more.
const THREADS: usize = 8;
/// A page with everything that is to be explained about it.
const LARGEST_FORM: usize = 1 << 20;
const BETWEEN_SAMPLES: Duration = Duration::from_secs(15);
