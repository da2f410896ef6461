//! Taking up a changed configuration while requests and postbacks go on.
//!
//! Everything that can fail is done first and beside what is in force; a mistake changes nothing. Then
//! the new state is put in force at once: what is under way ends as it began, what begins from now on
//! sees the new state alone. What only a new process can change is refused as a whole. Who asks for
//! it (a signal, an operator), and what a section means, does not belong here.

use std::{fmt, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync, task::spawn_blocking};

use crate::{
    config::{
        Config, ConfigError, Environment, Server,
        difference::{Difference, differences},
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
    tracking::timestamp::Timestamp,
};

pub mod last_good;

mod fixed;

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

/// How the configuration in force stands to the one in its file.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Since when.
    pub since: Timestamp,
    /// Which one is in force.
    pub source: Source,
}

/// Which configuration is in force.
#[derive(Clone, Debug)]
pub enum Source {
    /// The one of the file, as it was last read.
    File,
    /// The one before: the file was changed, and these problems stand in the way.
    Before(Vec<Problem>),
    /// The last one that was accepted: at the start, these problems stood in the way of the file.
    LastGood(Vec<Problem>),
}

/// What a reload has changed.
#[derive(Debug)]
pub struct Report {
    /// By the paths of keys.
    pub differences: Vec<Difference>,
    /// Whether variables or files of secrets hold something else now.
    pub has_other_secrets: bool,
    /// What is legal but odd.
    pub warnings: Vec<Problem>,
}

/// Why nothing was changed.
#[derive(Debug)]
pub struct Refused {
    /// All that is wrong, warnings included.
    pub problems: Vec<Problem>,
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
            let planning = Arc::clone(&reloader);
            // Files are read, certificates and rules are parsed.
            match spawn_blocking(move || planning.plan()).await {
                Ok(Ok(plan)) => Ok(reloader.carry_out(plan).await),
                Ok(Err(refused)) => Err(refused),
                Err(_) => Err(reloader.refusal("a fault of Throughline itself has ended the reload")),
            }
        });
        let result = match done.await {
            Ok(result) => result,
            Err(_) => Err(self.refusal("a fault of Throughline itself has ended the reload, or the process ends")),
        };
        self.tell(&result);
        result
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
        Ok(Plan { table, certificates, destinations, replacement, names, report, config })
    }

    /// Puts a plan in force; nothing of that fails.
    async fn carry_out(&self, plan: Plan) -> Report {
        let Plan { config, table, certificates, destinations, replacement, names, report } = plan;
        let Running { current, delivery, store, metrics, .. } = &self.running;
        // First, so that conversions of a network that is new find it.
        delivery.replace(replacement);
        let tracker = Tracker::new(&config, names.as_ref(), store.clone(), metrics);
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

impl Source {
    /// The word for it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Before(_) => "before",
            Self::LastGood(_) => "last_good",
        }
    }

    /// What stands in the way of the file.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::File => &[],
            Self::Before(problems) | Self::LastGood(problems) => problems,
        }
    }
}

impl Report {
    fn log(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        let Self { differences, has_other_secrets, .. } = self;
        let changes = differences.len();
        tracing::info!(changes, "the configuration was read again and is in force");
        for difference in differences.iter().take(LOGGED) {
            tracing::info!("changed: {difference}");
        }
        if changes > LOGGED {
            tracing::info!("changed: {} keys more", changes - LOGGED);
        }
        if *has_other_secrets {
            tracing::info!("changed: what variables or files of secrets hold");
        }
    }
}

impl Refused {
    fn log(&self) {
        for problem in &self.problems {
            match problem.severity {
                Severity::Error => tracing::error!("{problem}"),
                Severity::Warning => tracing::warn!("{problem}"),
            }
        }
        tracing::error!("the configuration was read again and cannot be used; nothing was changed");
    }
}

impl From<ConfigError> for Refused {
    fn from(error: ConfigError) -> Self {
        Self { problems: error.problems }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

const SUCCESS: &str = "success";
const FAILURE: &str = "failure";
/// Differences that one reload writes into the log.
const LOGGED: usize = 50;
