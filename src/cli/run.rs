//! `throughline run`: from a configuration to a running proxy, and back to a stopped one.

use std::{
    ffi::OsString,
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use tokio::{
    join, runtime,
    sync::{mpsc::UnboundedReceiver, oneshot, watch},
};
use uuid::Uuid;

use super::{Exit, check, complain, logging, say};
use crate::{
    admin::Admin,
    config::{Config, Environment, Server, problem::Problem},
    delivery::{Delivery, Destinations},
    events::{Bus, EventSettings, Reporter},
    handover::parent,
    metrics::Metrics,
    proxy::{
        edition::{Current, Edition},
        logbook::Logbook,
        runtime::{SiteTable, Tracker},
        server::{self, Course, Listeners, Unusable},
        sockets::{Inherited, Listening, Role},
    },
    reload::{Reloader, Running, Source, last_good},
    store::{Fleet, ForwardObserver, Forwarder, Health, LeasedRow, Store},
    supervisor, trace,
};

mod descriptors;
mod lineage;
mod obstacle;
pub(super) mod secret;
mod signals;

use lineage::Ending;
pub(super) use lineage::Lineage;
use obstacle::{Obstacle, bind_admin};
pub(super) use signals::Hangup;
use signals::Signals;

/// Options of `run`.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Debug, Args)]
pub struct Options {
    /// Exit instead of serving pages without tracking when the state folder cannot be used
    #[arg(long)]
    strict: bool,
    /// With a configuration that has mistakes, run on the last one that was accepted
    #[arg(long)]
    last_good: bool,
    /// Take over from the process that runs on the same state folder, if there is one
    #[arg(long)]
    upgrade: bool,
    /// That process is at the other end of the standard input
    #[arg(long, hide = true, requires = "upgrade")]
    from_stdin: bool,
}

impl Options {
    /// Those that a successor gets as well.
    fn passed_on(&self) -> Vec<OsString> {
        let passed_on = [(self.strict, "--strict"), (self.last_good, "--last-good")];
        passed_on.into_iter().filter(|(is_given, _)| *is_given).map(|(_, option)| option.into()).collect()
    }
}

pub(super) fn execute(file: &Path, options: &Options) -> Exit {
    let mut lineage = match Lineage::begin(options) {
        Ok(lineage) => lineage,
        Err(error) => return Obstacle::from(error).tell(),
    };
    let (config, source) = match load(file, options) {
        Ok(loaded) => loaded,
        Err(problems) => {
            lineage.fail_by(&problems);
            return Exit::Configuration;
        }
    };
    logging::start(&config.server.log);
    if let Source::LastGood(problems) = &source {
        let mistakes = problems.len();
        tracing::error!(file = %file.display(), mistakes, "the configuration cannot be used; the last one that was accepted is in force");
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let (version, sites) = (env!("CARGO_PKG_VERSION"), config.sites.len());
    tracing::info!(version, sites, state = %config.server.state.display(), "throughline starts");
    trace::start();
    descriptors::raise(&config.server.limits);
    let mut inherited = match lineage.inherit(options, &config.server) {
        Ok(inherited) => inherited,
        Err(error) => return Obstacle::from(error).tell(),
    };
    match Prepared::new(file, config, source, options.strict, &mut inherited) {
        Ok(prepared) => {
            // What nobody has claimed is no address of this configuration any more.
            drop(inherited);
            prepared.run(Hangup::Reloads, lineage)
        }
        Err(obstacle) => {
            lineage.fail(&obstacle.reason);
            obstacle.tell()
        }
    }
}

/// Reads the configuration, or the last one that was accepted if that is what the operator wants.
///
/// What is in the way has been told, and is yielded for whoever wanted this process.
fn load(file: &Path, options: &Options) -> Result<(Config, Source), Vec<Problem>> {
    let error = match Config::load(file, Environment::Process) {
        Ok(config) => return Ok((config, Source::File)),
        Err(error) => error,
    };
    check::print(&error.problems);
    if !options.last_good {
        return Err(error.problems.clone());
    }
    let texts = last_good::find(file).map_err(|reason| {
        complain(&format!("there is no configuration that was accepted before: {reason}"));
        error.problems.clone()
    })?;
    let config = Config::read(&texts, Environment::Process).map_err(|worse| {
        complain("the configuration that was accepted before cannot be used any more, either:");
        check::print(&worse.problems);
        error.problems.clone()
    })?;
    Ok((config, Source::LastGood(error.problems)))
}

/// A proxy whose sockets are bound and whose store is open.
pub(super) struct Prepared {
    listeners: Listeners,
    admin: TcpListener,
    /// As it is written.
    admin_address: SocketAddr,
    file: PathBuf,
    config: Config,
    source: Source,
    current: Arc<Current>,
    destinations: Arc<Destinations>,
    delivery: Delivery,
    forwarder: Forwarder,
    logbook: Arc<Logbook>,
}

impl Prepared {
    /// Prepares everything, or says what is in the way.
    pub(super) fn new(
        file: &Path,
        config: Config,
        source: Source,
        strict: bool,
        inherited: &mut Inherited,
    ) -> Result<Self, Obstacle> {
        // Fails when a provider is installed already, which is then the same one.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let listeners =
            Listeners::bind(&config.server.listen, inherited).map_err(|(address, unusable)| match unusable {
                Unusable::Address(error) => Obstacle::cannot_listen(address, &error),
                Unusable::Certificate(reason) => {
                    Obstacle::new(Exit::Configuration, format!("cannot speak TLS on {address}: {reason}"))
                }
            })?;
        let admin_address = config.server.admin;
        let admin = bind_admin(admin_address, inherited)?;
        let metrics = Arc::new(Metrics::new());
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let events = Bus::start(&config.server.events, metrics.clone())
            .map_err(|error| Obstacle::new(Exit::Failure, format!("the event records can't be written: {error}")))?;
        let reporter = Arc::new(Reporter::new(events.clone(), Arc::clone(&metrics)));
        let (store, fresh) = open(&config.server, &metrics, &reporter)?;
        if let (true, Health::Degraded { reason, .. }) = (strict, store.health()) {
            return Err(Obstacle::new(Exit::Failure, format!("the state folder cannot be used: {reason}")));
        }
        let logbook = Arc::new(Logbook::new(&config.server.log, &metrics));
        let names = secret::names(&config.server);
        let table = SiteTable::new(&config).map_err(|error| Obstacle::new(Exit::Configuration, error.to_string()))?;
        let tracker = Tracker::new(&config, names.as_ref(), store.clone(), &metrics, &events);
        let destinations = Arc::new(config.destinations());
        let forwarder = Forwarder::start(&store, metrics)
            .map_err(|error| Obstacle::new(Exit::Failure, format!("the forwarder can't be started: {error}")))?;
        let delivery = Delivery::start(store, fresh, Arc::clone(&destinations), reporter)
            .map_err(|error| Obstacle::new(Exit::Failure, error.to_string()))?;
        let current = Current::new(Edition { tracker, table, limits: config.server.limits });
        let file = file.to_owned();
        Ok(Self {
            listeners,
            admin,
            admin_address,
            file,
            config,
            source,
            current,
            destinations,
            delivery,
            forwarder,
            logbook,
        })
    }

    /// Where visitors connect; the port is the real one.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listeners.addresses().next()
    }

    /// Where operators connect; the port is the real one.
    pub(super) fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Copies of all sockets, for a process that takes over.
    fn share(&self) -> io::Result<Vec<Listening>> {
        let mut sockets = self.listeners.share()?;
        let (role, configured) = (Role::Admin, self.admin_address);
        sockets.push(Listening { role, configured, socket: self.admin.try_clone()? });
        Ok(sockets)
    }

    /// Serves until a signal says stop or another process takes over, then ends in order: pages,
    /// postbacks, store.
    pub(super) fn run(self, hung_up: Hangup, lineage: Lineage) -> Exit {
        let sockets = match self.share() {
            Ok(sockets) => sockets,
            Err(error) => {
                lineage.fail(&error.to_string());
                return Obstacle::new(Exit::Failure, format!("the sockets can't be shared: {error}")).tell();
            }
        };
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(self.config.server.threads).enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                complain(&format!("no threads can be started: {error}"));
                return Exit::Failure;
            }
        };
        let Self {
            listeners, admin, file, config, source, current, destinations, delivery, forwarder, logbook, ..
        } = self;
        let tracker = Arc::clone(&current.edition().tracker);
        let (store, metrics, events) = (tracker.store.clone(), Arc::clone(&tracker.metrics), tracker.events.clone());
        drop(tracker);
        let (stopping, stopped) = watch::channel(false);
        let (token, hosts) = (config.server.admin_token.clone(), config.server.admin_hosts.clone());
        let (followed, reopened, book) = (events.clone(), events.clone(), Arc::clone(&logbook));
        let running = Running {
            file,
            current: Arc::clone(&current),
            certificates: listeners.certificates(),
            delivery: delivery.clone(),
            store: store.clone(),
            metrics,
            names: secret::names,
            followers: vec![
                Box::new(|config| descriptors::raise(&config.server.limits)),
                Box::new(|config| logging::follow(&config.server.log)),
                Box::new(move |config| book.set(&config.server.log)),
                Box::new(move |config| follow(&followed, &config.server.events)),
            ],
        };
        let reloader = Reloader::new(running, config, destinations, source, runtime.handle().clone());
        let (closing, closed) = watch::channel(false);
        let (handing, handed_over) = watch::channel(false);
        let admin = Admin { reloader: Arc::clone(&reloader), token, hosts, stopping: stopped.clone() }
            .start(admin, handed_over.clone());
        let ending = runtime.block_on(async {
            let addresses: Vec<_> = listeners.addresses().collect();
            let announce = || {
                addresses.iter().for_each(|address| say(&format!("listening {address}")));
                match &admin {
                    Ok((address, _)) => say(&format!("admin listening {address}")),
                    Err(error) => tracing::error!(%error, "the admin port is closed"),
                }
            };
            let moved = Arc::clone(&logbook);
            let signals = Signals::new(
                hung_up,
                reloader,
                vec![Box::new(move || reopened.reopen()), Box::new(move || moved.access.reopen())],
            );
            let (begun, has_begun) = oneshot::channel();
            let course = Course { begun, stop: closed, handed_over };
            let proxy = tokio::spawn(server::serve(listeners, Arc::clone(&current), Arc::clone(&logbook), course));
            let ending = lineage.live(has_begun, sockets, &signals, announce).await;
            match ending {
                Ending::Stopped | Ending::Failed => {
                    supervisor::stopping(current.edition().limits.shutdown_grace + DRAIN * 2);
                    stopping.send_replace(true);
                }
                Ending::HandedOver(pid) => {
                    parent::stand_in_for(pid);
                    handing.send_replace(true);
                }
            }
            tracing::info!("stopping: finishing what is under way");
            closing.send_replace(true);
            let drained = async {
                if proxy.await.is_err() {
                    tracing::error!("the proxy ended in a panic");
                }
                if let (Ending::HandedOver(_), Ok((_, callers))) = (&ending, &admin) {
                    // Who asked the admin port at the last moment gets an answer.
                    callers.leave(LAST_ANSWERS).await;
                }
                join!(forwarder.drain(DRAIN), delivery.drain(DRAIN));
                store.close().await;
                events.drain(DRAIN).await;
            };
            lineage::patiently(drained, &handing, &signals).await;
            ending
        });
        logbook.access.close();
        trace::stop();
        runtime.shutdown_timeout(Duration::from_secs(1));
        match ending {
            Ending::HandedOver(pid) if parent::is_first() && !parent::outlive(pid) => Exit::Failure,
            Ending::HandedOver(_) | Ending::Stopped => Exit::Success,
            Ending::Failed => Exit::Failure,
        }
    }
}

/// Opens the store: of this process alone, or of one node of a fleet.
fn open(
    server: &Server,
    metrics: &Metrics,
    reporter: &Arc<Reporter<Metrics>>,
) -> Result<(Store, UnboundedReceiver<LeasedRow>), Obstacle> {
    let (folder, retention) = (&server.state, server.retention);
    let Some(settings) = &server.fleet else { return Ok(Store::start(folder, retention, reporter.clone())) };
    // The name is for people who look into the database; leases tell nodes apart by their attempts.
    let node = format!("{}-{}", std::process::id(), Uuid::new_v4().simple());
    let fleet = Fleet::new(settings, node.into())
        .map_err(|error| Obstacle::new(Exit::Configuration, format!("the fleet's database cannot be used: {error}")))?;
    metrics.reached(false);
    Ok(Store::join(folder, retention, reporter.clone(), fleet))
}

/// Lets event records go where another configuration wants them.
fn follow(events: &Bus, settings: &EventSettings) {
    if let Err(error) = events.replace(settings) {
        tracing::error!(%error, "the event records go where they went before");
    }
}

/// How long postbacks under way may go on after that.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the admin port takes for answers that were asked for just before a hand-over.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
