//! A proxy before it runs: its sockets are bound, its store is open, its delivery works off what is left of
//! last time.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::mpsc::UnboundedReceiver;
use uuid::Uuid;

use super::{
    obstacle::{Obstacle, bind_admin},
    secret,
};
use crate::{
    cli::Exit,
    config::{Config, Server},
    delivery::{Delivery, Destinations},
    events::{Bus, Reporter},
    metrics::Metrics,
    proxy::{
        edition::{Current, Edition},
        logbook::Logbook,
        runtime::{SiteTable, Tracker},
        server::{Listeners, Unusable},
        sockets::{Inherited, Listening, Role},
    },
    reload::Source,
    store::{Fleet, ForwardObserver, Forwarder, Health, LeasedRow, Store},
};

/// A proxy whose sockets are bound and whose store is open.
pub(in crate::cli) struct Prepared {
    pub(super) listeners: Listeners,
    pub(super) admin: TcpListener,
    /// As it is written.
    admin_address: SocketAddr,
    pub(super) file: PathBuf,
    pub(super) config: Config,
    pub(super) source: Source,
    pub(super) current: Arc<Current>,
    pub(super) destinations: Arc<Destinations>,
    pub(super) delivery: Delivery,
    pub(super) forwarder: Forwarder,
    pub(super) logbook: Arc<Logbook>,
}

impl Prepared {
    /// Prepares everything, or says what is in the way.
    pub(in crate::cli) fn new(
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
    pub(in crate::cli) fn address(&self) -> Option<SocketAddr> {
        self.listeners.addresses().next()
    }

    /// Where operators connect; the port is the real one.
    pub(in crate::cli) fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Copies of all sockets, for a process that takes over.
    pub(super) fn share(&self) -> io::Result<Vec<Listening>> {
        let mut sockets = self.listeners.share()?;
        let (role, configured) = (Role::Admin, self.admin_address);
        sockets.push(Listening { role, configured, socket: self.admin.try_clone()? });
        Ok(sockets)
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
