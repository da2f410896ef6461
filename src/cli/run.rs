//! `throughline run`: from a configuration to a running proxy, and back to a stopped one.

use std::{
    ffi::OsString,
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use tokio::{
    join, runtime,
    signal::unix::{SignalKind, signal},
    sync::{mpsc::UnboundedReceiver, oneshot, watch},
};
use uuid::Uuid;

use super::{Exit, check, complain, logging, say};
use crate::{
    admin::Admin,
    config::{Config, Environment, Limits, Server},
    delivery::{Delivery, Destinations},
    handover::parent,
    metrics::Metrics,
    proxy::{
        runtime::{SiteTable, Tracker},
        server::{self, Course, Listeners, Unusable},
        sockets::{Inherited, Listening, Role},
    },
    store::{Fleet, ForwardObserver, Forwarder, Health, LeasedRow, Store},
    supervisor,
};

mod descriptors;
mod lineage;
mod obstacle;
pub(super) mod secret;

use lineage::Ending;
pub(super) use lineage::Lineage;
use obstacle::{Obstacle, bind_admin};

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Options {
    /// Exit instead of serving pages without tracking when the state folder cannot be used
    #[arg(long)]
    strict: bool,
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
        self.strict.then(|| "--strict".into()).into_iter().collect()
    }
}

pub(super) fn execute(file: &Path, options: &Options) -> Exit {
    let mut lineage = match Lineage::begin(options) {
        Ok(lineage) => lineage,
        Err(error) => return Obstacle::from(error).tell(),
    };
    let config = match Config::load(file, Environment::Process) {
        Ok(config) => config,
        Err(error) => {
            check::print(&error.problems);
            lineage.fail_by(&error.problems);
            return Exit::Configuration;
        }
    };
    logging::start(&config.server.log);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let (version, sites) = (env!("CARGO_PKG_VERSION"), config.sites.len());
    tracing::info!(version, sites, state = %config.server.state.display(), "throughline starts");
    descriptors::raise(&config.server.limits);
    let mut inherited = match lineage.inherit(options, &config.server) {
        Ok(inherited) => inherited,
        Err(error) => return Obstacle::from(error).tell(),
    };
    match Prepared::new(&config, options.strict, &mut inherited) {
        Ok(prepared) => {
            // What nobody has claimed is no address of this configuration any more.
            drop(inherited);
            prepared.run(Hangup::Ignored, lineage)
        }
        Err(obstacle) => {
            lineage.fail(&obstacle.reason);
            obstacle.tell()
        }
    }
}

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hangup {
    /// Nothing, as long as there is nothing to reload.
    Ignored,
    /// The end: the terminal that this process belongs to was closed.
    Ends,
}

/// A proxy whose sockets are bound and whose store is open.
pub(super) struct Prepared {
    listeners: Listeners,
    admin: TcpListener,
    /// As it is written.
    admin_address: SocketAddr,
    admin_token: Option<String>,
    tracker: Arc<Tracker>,
    table: Arc<SiteTable>,
    destinations: Arc<Destinations>,
    delivery: Delivery,
    forwarder: Forwarder,
    threads: usize,
    limits: Limits,
}

impl Prepared {
    /// Prepares everything, or says what is in the way.
    pub(super) fn new(config: &Config, strict: bool, inherited: &mut Inherited) -> Result<Self, Obstacle> {
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
        let (store, fresh) = open(&config.server, &metrics)?;
        if let (true, Health::Degraded { reason, .. }) = (strict, store.health()) {
            return Err(Obstacle::new(Exit::Failure, format!("the state folder cannot be used: {reason}")));
        }
        let names = secret::names(&config.server);
        let table =
            SiteTable::new(config, &metrics).map_err(|error| Obstacle::new(Exit::Configuration, error.to_string()))?;
        let tracker = Tracker::new(config, names.as_ref(), store.clone(), &metrics);
        let destinations = Arc::new(config.destinations());
        let forwarder = Forwarder::start(&store, metrics.clone())
            .map_err(|error| Obstacle::new(Exit::Failure, format!("the forwarder can't be started: {error}")))?;
        let delivery = Delivery::start(store, fresh, Arc::clone(&destinations), metrics)
            .map_err(|error| Obstacle::new(Exit::Failure, error.to_string()))?;
        Ok(Self {
            listeners,
            admin,
            admin_address,
            admin_token: config.server.admin_token.clone(),
            tracker,
            table: Arc::new(table),
            destinations,
            delivery,
            forwarder,
            threads: config.server.threads,
            limits: config.server.limits,
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
        let runtime = runtime::Builder::new_multi_thread().worker_threads(self.threads).enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                complain(&format!("no threads can be started: {error}"));
                return Exit::Failure;
            }
        };
        let Self { listeners, admin, admin_token, tracker, table, destinations, delivery, forwarder, limits, .. } =
            self;
        let store = tracker.store.clone();
        let (stopping, stopped) = watch::channel(false);
        let (closing, closed) = watch::channel(false);
        let (handing, handed_over) = watch::channel(false);
        let admin =
            Admin { tracker: Arc::clone(&tracker), destinations, token: admin_token, stopping: stopped.clone() }
                .start(admin, handed_over.clone());
        let ending = runtime.block_on(async {
            for address in listeners.addresses() {
                say(&format!("listening {address}"));
            }
            match admin {
                Ok(address) => say(&format!("admin listening {address}")),
                Err(error) => tracing::error!(%error, "the admin port is closed"),
            }
            let (begun, has_begun) = oneshot::channel();
            let course = Course { begun, stop: closed, handed_over };
            let proxy = tokio::spawn(server::serve(listeners, tracker, table, limits, course));
            let ending = lineage.live(has_begun, sockets, hung_up).await;
            match ending {
                Ending::Stopped | Ending::Failed => {
                    supervisor::stopping(limits.shutdown_grace + DRAIN * 2);
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
                join!(forwarder.drain(DRAIN), delivery.drain(DRAIN));
                store.close().await;
            };
            lineage::patiently(drained, &handing, hung_up).await;
            ending
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
        match ending {
            Ending::HandedOver(pid) if parent::is_first() && !parent::outlive(pid) => Exit::Failure,
            Ending::HandedOver(_) | Ending::Stopped => Exit::Success,
            Ending::Failed => Exit::Failure,
        }
    }
}

/// Opens the store: of this process alone, or of one node of a fleet.
fn open(server: &Server, metrics: &Arc<Metrics>) -> Result<(Store, UnboundedReceiver<LeasedRow>), Obstacle> {
    let (folder, retention) = (&server.state, server.retention);
    let Some(settings) = &server.fleet else { return Ok(Store::start(folder, retention, metrics.clone())) };
    // The name is for people who look into the database; leases tell nodes apart by their attempts.
    let node = format!("{}-{}", std::process::id(), Uuid::new_v4().simple());
    let fleet = Fleet::new(settings, node.into())
        .map_err(|error| Obstacle::new(Exit::Configuration, format!("the fleet's database cannot be used: {error}")))?;
    metrics.reached(false);
    Ok(Store::join(folder, retention, metrics.clone(), fleet))
}

/// Waits for SIGTERM or SIGINT. SIGHUP, unless said otherwise, and SIGQUIT must not end a proxy that is in the way of a site.
async fn signalled(hung_up: Hangup) {
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
        signal(SignalKind::quit()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup), Ok(mut quit)) = signals else {
        tracing::error!("signals cannot be received; only SIGKILL ends this process");
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = interrupt.recv() => return,
            _ = hangup.recv() => match hung_up {
                Hangup::Ends => return,
                Hangup::Ignored => tracing::warn!("SIGHUP ignored: a changed configuration is read at a restart"),
            },
            _ = quit.recv() => tracing::warn!("SIGQUIT ignored: no successor is waiting; `throughline handover` starts one"),
        }
    }
}

/// How long postbacks under way may go on after that.
const DRAIN: Duration = Duration::from_secs(5);
