//! `throughline run`: from a configuration to a running proxy, and back to a stopped one.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use clap::Args;
use tokio::{
    join, runtime,
    signal::unix::{SignalKind, signal},
    sync::{mpsc::UnboundedReceiver, watch},
};
use uuid::Uuid;

use super::{Exit, check, complain, logging, say};
use crate::{
    admin::{Admin, InForce},
    config::{Config, Environment, Limits, Server},
    delivery::{Delivery, Destinations},
    metrics::Metrics,
    proxy::{
        runtime::{SiteTable, Tracker},
        server::{self, Listeners, Unusable},
    },
    store::{Fleet, ForwardObserver, Forwarder, Health, LeasedRow, Store},
};

mod descriptors;
pub(super) mod secret;

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Options {
    /// Exit instead of serving pages without tracking when the state folder cannot be used
    #[arg(long)]
    strict: bool,
}

pub(super) fn execute(file: &Path, options: &Options) -> Exit {
    let config = match Config::load(file, Environment::Process) {
        Ok(config) => config,
        Err(error) => {
            check::print(&error.problems);
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
    match Prepared::new(file, Arc::new(config), options.strict) {
        Ok(prepared) => prepared.run(Hangup::Ignored),
        Err(exit) => exit,
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
    in_force: InForce,
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
    pub(super) fn new(file: &Path, config: Arc<Config>, strict: bool) -> Result<Self, Exit> {
        // Fails when a provider is installed already, which is then the same one.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let listeners = Listeners::bind(&config.server.listen).map_err(|(address, unusable)| match unusable {
            Unusable::Address(error) => cannot_listen(address, &error),
            Unusable::Certificate(reason) => {
                complain(&format!("cannot speak TLS on {address}: {reason}"));
                Exit::Configuration
            }
        })?;
        let admin = bind_admin(config.server.admin).map_err(|error| cannot_listen(config.server.admin, &error))?;
        let metrics = Arc::new(Metrics::new());
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let (store, fresh) = open(&config.server, &metrics)?;
        if let (true, Health::Degraded { reason, .. }) = (strict, store.health()) {
            complain(&format!("the state folder cannot be used: {reason}"));
            return Err(Exit::Failure);
        }
        let names = secret::names(&config.server);
        let table = SiteTable::new(&config, &metrics).map_err(|error| {
            complain(&error.to_string());
            Exit::Configuration
        })?;
        let tracker = Tracker::new(&config, names.as_ref(), store.clone(), &metrics);
        let destinations = Arc::new(config.destinations());
        let forwarder = Forwarder::start(&store, metrics.clone()).map_err(|error| {
            complain(&format!("the forwarder can't be started: {error}"));
            Exit::Failure
        })?;
        let delivery = Delivery::start(store, fresh, Arc::clone(&destinations), metrics).map_err(|error| {
            complain(&error.to_string());
            Exit::Failure
        })?;
        Ok(Self {
            listeners,
            admin,
            tracker,
            table: Arc::new(table),
            destinations,
            delivery,
            forwarder,
            threads: config.server.threads,
            limits: config.server.limits,
            in_force: InForce::new(file, config, names),
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

    /// Serves until a signal says stop, then ends in order: pages, postbacks, store.
    pub(super) fn run(self, hung_up: Hangup) -> Exit {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(self.threads).enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                complain(&format!("no threads can be started: {error}"));
                return Exit::Failure;
            }
        };
        let Self { listeners, admin, in_force, tracker, table, destinations, delivery, forwarder, limits, .. } = self;
        let store = tracker.store.clone();
        let (stopping, stopped) = watch::channel(false);
        let server = &in_force.config.server;
        let (token, hosts) = (server.admin_token.clone(), server.admin_hosts.clone());
        let in_force = Arc::new(ArcSwap::from_pointee(in_force));
        let (tracker_of_admin, stopping_admin) = (Arc::clone(&tracker), stopped.clone());
        let admin = Admin { tracker: tracker_of_admin, destinations, token, hosts, in_force, stopping: stopping_admin }
            .start(admin);
        runtime.block_on(async {
            for address in listeners.addresses() {
                say(&format!("listening {address}"));
            }
            match admin {
                Ok(address) => say(&format!("admin listening {address}")),
                Err(error) => tracing::error!(%error, "the admin port is closed"),
            }
            let proxy = tokio::spawn(server::serve(listeners, tracker, table, limits, stopped));
            signalled(hung_up).await;
            tracing::info!("stopping: finishing what is under way");
            stopping.send_replace(true);
            if proxy.await.is_err() {
                tracing::error!("the proxy ended in a panic");
            }
            join!(forwarder.drain(DRAIN), delivery.drain(DRAIN));
            store.close().await;
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
        Exit::Success
    }
}

/// Opens the store: of this process alone, or of one node of a fleet.
fn open(server: &Server, metrics: &Arc<Metrics>) -> Result<(Store, UnboundedReceiver<LeasedRow>), Exit> {
    let (folder, retention) = (&server.state, server.retention);
    let Some(settings) = &server.fleet else { return Ok(Store::start(folder, retention, metrics.clone())) };
    // The name is for people who look into the database; leases tell nodes apart by their attempts.
    let node = format!("{}-{}", std::process::id(), Uuid::new_v4().simple());
    let fleet = Fleet::new(settings, node.into()).map_err(|error| {
        complain(&format!("the fleet's database cannot be used: {error}"));
        Exit::Configuration
    })?;
    metrics.reached(false);
    Ok(Store::join(folder, retention, metrics.clone(), fleet))
}

fn bind_admin(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Exit {
    complain(&format!("cannot listen on {address}: {error}"));
    if error.kind() == io::ErrorKind::AddrInUse { Exit::TryAgain } else { Exit::Failure }
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
            _ = quit.recv() => tracing::warn!("SIGQUIT ignored: no successor is waiting"),
        }
    }
}

/// How long postbacks under way may go on after that.
const DRAIN: Duration = Duration::from_secs(5);
