//! Taking up a changed configuration while requests and postbacks go on.
//!
//! Everything that can fail is done first and beside what is in force; a mistake changes nothing. Then
//! the new state is put in force at once: what is under way ends as it began, what begins from now on
//! sees the new state alone. What only a new process can change is refused as a whole. Who asks for
//! it (a signal, an operator), and what a section means, does not belong here.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync, task::spawn_blocking};

use crate::{
    config::{
        Config, Environment, Server,
        difference::differences,
        problem::{Place, Problem, Severity},
    },
    delivery::{Delivery, Destinations, Replacement},
    metrics::Metrics,
    proxy::{
        edition::{Current, Edition},
        runtime::{Names, SiteTable, Tracker},
        tls::{Certificates, Pairs},
    },
    store::{Store, clock},
};

pub mod last_good;

mod fixed;
mod report;
mod standing;

pub use report::{Refused, Report};
pub use standing::{Source, Standing};

/// Reads the configuration again and puts it in force.
pub struct Reloader {
    running: Running,
    runtime: Handle,
    in_force: ArcSwap<InForce>,
    /// One reload at a time.
    turn: sync::Mutex<()>,
    standing: Mutex<Standing>,
}

/// What a running proxy consists of, as far as a configuration can change it.
pub struct Running {
    /// The file that is read again.
    pub file: PathBuf,
    /// What requests begin with.
    pub current: Arc<Current>,
    /// What each listener shows over TLS, in the order of the configuration.
    pub certificates: Vec<Option<Arc<Certificates>>>,
    /// Who sends postbacks.
    pub delivery: Delivery,
    /// Where conversions are kept.
    pub store: Store,
    /// What is counted, from the start of the process to its end.
    pub metrics: Arc<Metrics>,
    /// What the secret of a configuration makes.
    pub names: fn(&Server) -> Option<Names>,
    /// Others who follow each configuration that was put in force.
    pub followers: Vec<Follower>,
}

/// Follows a configuration that was put in force; it must neither fail nor wait.
pub type Follower = Box<dyn Fn(&Config) + Send + Sync>;

/// What is kept of the configuration in force.
#[derive(Debug)]
pub struct InForce {
    /// What was read.
    pub config: Arc<Config>,
    /// Where postbacks go.
    pub destinations: Arc<Destinations>,
}

impl Reloader {
    /// Watches over a proxy that was started with this configuration; `runtime` serves its requests.
    #[must_use]
    pub fn new(
        running: Running,
        config: Config,
        destinations: Arc<Destinations>,
        source: Source,
        runtime: Handle,
    ) -> Arc<Self> {
        let is_of_the_file = matches!(source, Source::File);
        running.metrics.config_last_reload_successful.set(is_of_the_file.into());
        for result in [SUCCESS, FAILURE] {
            running.metrics.config_reloads_total.with_label_values(&[result]).inc_by(0);
        }
        if is_of_the_file {
            last_good::keep(&config.server.state, &config.texts);
        }
        Arc::new(Self {
            running,
            runtime,
            in_force: ArcSwap::from_pointee(InForce::of(config, destinations)),
            turn: sync::Mutex::new(()),
            standing: Mutex::new(Standing { since: clock::now(), source }),
        })
    }

    /// Reads the configuration again and puts it in force, or says why not and changes nothing.
    ///
    /// On any runtime. A reload that has begun is carried out, also when nobody waits for it any more.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, and what only a new process can change.
    pub async fn reload(self: &Arc<Self>) -> Result<Report, Refused> {
        let reloader = Arc::clone(self);
        let done = self.runtime.spawn(async move {
            let _turn = reloader.turn.lock().await;
            let result = reloader.take_turn().await;
            reloader.tell(&result);
            result
        });
        done.await.unwrap_or_else(|_| Err(self.refusal("the process ends")))
    }

    /// What is kept of the configuration in force.
    #[must_use]
    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// How that stands to the configuration in the file.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.lock().clone()
    }

    /// What a running proxy consists of.
    #[must_use]
    pub const fn running(&self) -> &Running {
        &self.running
    }

    async fn take_turn(self: &Arc<Self>) -> Result<Report, Refused> {
        let fault = |_| self.refusal("a fault of Throughline itself has ended the reload");
        let planning = Arc::clone(self);
        // Files are read, certificates and rules are parsed.
        let plan = spawn_blocking(move || planning.plan()).await.map_err(fault)??;
        let carrying = Arc::clone(self);
        // As a task of its own, so that a panic is told, too.
        tokio::spawn(async move { carrying.carry_out(plan).await }).await.map_err(fault)
    }

    /// Makes all that may fail.
    fn plan(&self) -> Result<Plan, Refused> {
        let config = Config::load(&self.running.file, Environment::Process)?;
        let in_force = self.in_force();
        let fixed = fixed::changes(&in_force.config.server, &config);
        if !fixed.is_empty() {
            return Err(Refused { problems: [config.warnings, fixed].concat() });
        }
        let edition = self.running.current.edition();
        let table = edition.table.succeeding(&config).map_err(|error| self.refusal(&error.to_string()))?;
        let shown = config.server.listen.iter().map(|listener| match listener.tls.as_slice() {
            [] => Ok(None),
            files => Pairs::read(files).map(Some),
        });
        let certificates = shown.collect::<Result<_, _>>().map_err(|error| self.refusal(&error.to_string()))?;
        let destinations = Arc::new(config.destinations());
        let replacement = self.running.delivery.prepare(Arc::clone(&destinations));
        let replacement = replacement.map_err(|error| self.refusal(&format!("no HTTP client can be made: {error}")))?;
        let report = Report {
            differences: differences(&in_force.config.texts, &config.texts),
            has_other_secrets: !in_force.config.mask.is_like(&config.mask),
            warnings: config.warnings.clone(),
        };
        let names = (self.running.names)(&config.server);
        Ok(Plan { config, table, certificates, destinations, replacement, names, report })
    }

    /// Puts a plan in force; nothing of that fails.
    async fn carry_out(&self, plan: Plan) -> Report {
        let Plan { config, table, certificates, destinations, replacement, names, report } = plan;
        let Running { current, delivery, store, metrics, .. } = &self.running;
        // First, so that conversions of a network that is new find it.
        delivery.replace(replacement);
        let events = &current.edition().tracker.events;
        let tracker = Tracker::new(&config, names.as_ref(), store.clone(), metrics, events);
        current.replace(Edition { tracker, table, limits: config.server.limits }).await;
        for (shown, pairs) in self.running.certificates.iter().zip(certificates) {
            if let (Some(shown), Some(pairs)) = (shown, pairs) {
                shown.replace(pairs);
            }
        }
        store.retain(config.server.retention);
        self.running.followers.iter().for_each(|follow| follow(&config));
        let (folder, texts) = (config.server.state.clone(), config.texts.clone());
        self.in_force.store(Arc::new(InForce::of(config, destinations)));
        // Its failure is told there.
        spawn_blocking(move || last_good::keep(&folder, &texts)).await.ok();
        report
    }

    /// Tells operators how it ended.
    fn tell(&self, result: &Result<Report, Refused>) {
        let metrics = &self.running.metrics;
        metrics.config_last_reload_successful.set(result.is_ok().into());
        metrics.config_reloads_total.with_label_values(&[if result.is_ok() { SUCCESS } else { FAILURE }]).inc();
        let mut standing = self.standing.lock();
        let source = match result {
            Ok(_) => Source::File,
            Err(refused) => match &standing.source {
                Source::LastGood(_) => Source::LastGood(refused.problems.clone()),
                Source::File | Source::Before(_) => Source::Before(refused.problems.clone()),
            },
        };
        *standing = Standing { since: clock::now(), source };
        drop(standing);
        match result {
            Ok(report) => report.log(),
            Err(refused) => refused.log(),
        }
    }

    /// A mistake that no key is to blame for alone.
    fn refusal(&self, message: &str) -> Refused {
        let place = Place { file: self.running.file.display().to_string().into(), line: 1, column: 1 };
        let (path, message) = (String::new(), message.to_owned());
        Refused { problems: vec![Problem { place, path, message, remedy: None, severity: Severity::Error }] }
    }
}

/// A configuration that can be put in force.
struct Plan {
    config: Config,
    table: SiteTable,
    certificates: Vec<Option<Pairs>>,
    destinations: Arc<Destinations>,
    replacement: Replacement,
    names: Option<Names>,
    report: Report,
}

impl InForce {
    fn of(config: Config, destinations: Arc<Destinations>) -> Self {
        Self { config: Arc::new(config), destinations }
    }
}

const SUCCESS: &str = "success";
const FAILURE: &str = "failure";
