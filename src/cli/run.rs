//! `throughline run`: from a configuration to a running proxy, and back to a stopped one.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use tokio::{
    join, runtime,
    signal::unix::{SignalKind, signal},
    sync::{mpsc::UnboundedReceiver, watch},
};
use uuid::Uuid;

use super::{Exit, check, complain, logging, say};
use crate::{
    admin::Admin,
    config::{Config, Environment, Server},
    delivery::{Delivery, Destinations},
    metrics::Metrics,
    proxy::{
        edition::{Current, Edition},
        runtime::{SiteTable, Tracker},
        server::{self, Listeners, Unusable},
    },
    reload::{Reloader, Running, Source, last_good},
    store::{Fleet, ForwardObserver, Forwarder, Health, LeasedRow, Store},
};

mod descriptors;
mod reload;
pub(super) mod secret;

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Options {
    /// Exit instead of serving pages without tracking when the state folder cannot be used
    #[arg(long)]
    strict: bool,
    /// With a configuration that has mistakes, run on the last one that was accepted
    #[arg(long)]
    last_good: bool,
}

pub(super) fn execute(file: &Path, options: &Options) -> Exit {
    let (config, source) = match load(file, options) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
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
    descriptors::raise(&config.server.limits);
    match Prepared::new(file, config, source, options.strict) {
        Ok(prepared) => prepared.run(Hangup::Reloads),
        Err(exit) => exit,
    }
}

/// Reads the configuration, or the last one that was accepted if that is what the operator wants.
fn load(file: &Path, options: &Options) -> Result<(Config, Source), Exit> {
    let error = match Config::load(file, Environment::Process) {
        Ok(config) => return Ok((config, Source::File)),
        Err(error) => error,
    };
    check::print(&error.problems);
    if !options.last_good {
        return Err(Exit::Configuration);
    }
    let texts = last_good::find(file).map_err(|error| {
        complain(&format!("there is no configuration that was accepted before: {error}"));
        Exit::Configuration
    })?;
    let config = Config::read(&texts, Environment::Process).map_err(|error| {
        complain("the configuration that was accepted before cannot be used any more, either:");
        check::print(&error.problems);
        Exit::Configuration
    })?;
    Ok((config, Source::LastGood(error.problems)))
}

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hangup {
    /// The configuration is to be read again.
    Reloads,
    /// The end: the terminal that this process belongs to was closed.
    Ends,
}

/// A proxy whose sockets are bound and whose store is open.
pub(super) struct Prepared {
    listeners: Listeners,
    admin: TcpListener,
    file: PathBuf,
    config: Config,
    source: Source,
    current: Arc<Current>,
    destinations: Arc<Destinations>,
    delivery: Delivery,
    forwarder: Forwarder,
}

impl Prepared {
    /// Prepares everything, or says what is in the way.
    pub(super) fn new(file: &Path, config: Config, source: Source, strict: bool) -> Result<Self, Exit> {
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
        let table = SiteTable::new(&config).map_err(|error| {
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
        let current = Current::new(Edition { tracker, table, limits: config.server.limits });
        let file = file.to_owned();
        Ok(Self { listeners, admin, file, config, source, current, destinations, delivery, forwarder })
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
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(self.config.server.threads).enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                complain(&format!("no threads can be started: {error}"));
                return Exit::Failure;
            }
        };
        let Self { listeners, admin, file, config, source, current, destinations, delivery, forwarder } = self;
        let tracker = Arc::clone(&current.edition().tracker);
        let (store, metrics) = (tracker.store.clone(), Arc::clone(&tracker.metrics));
        drop(tracker);
        let (stopping, stopped) = watch::channel(false);
        let (token, hosts) = (config.server.admin_token.clone(), config.server.admin_hosts.clone());
        let running = Running {
            file,
            current: Arc::clone(&current),
            certificates: listeners.certificates(),
            delivery: delivery.clone(),
            store: store.clone(),
            metrics,
            names: secret::names,
            followers: vec![Box::new(|config| descriptors::raise(&config.server.limits))],
        };
        let reloader = Reloader::new(running, config, destinations, source, runtime.handle().clone());
        let admin = Admin { reloader: Arc::clone(&reloader), token, hosts, stopping: stopped.clone() }.start(admin);
        runtime.block_on(async {
            for address in listeners.addresses() {
                say(&format!("listening {address}"));
            }
            match admin {
                Ok(address) => say(&format!("admin listening {address}")),
                Err(error) => tracing::error!(%error, "the admin port is closed"),
            }
            let proxy = tokio::spawn(server::serve(listeners, current, stopped));
            signalled(hung_up, &reload::Hangups::followed_by(reloader)).await;
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

/// Waits for SIGTERM or SIGINT. SIGHUP, unless said otherwise, reads the configuration again, and SIGQUIT must not end a
/// proxy that is in the way of a site.
async fn signalled(hung_up: Hangup, hangups: &reload::Hangups) {
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
                Hangup::Reloads => hangups.received(),
            },
            _ = quit.recv() => tracing::warn!("SIGQUIT ignored: no successor is waiting"),
        }
    }
}

/// How long postbacks under way may go on after that.
const DRAIN: Duration = Duration::from_secs(5);
