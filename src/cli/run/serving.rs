//! A proxy at work: who serves visitors and operators, who reloads, and what follows a reload.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{runtime::Handle, sync::oneshot};

use super::{
    Hangup, Lineage, Prepared, Signals,
    closing::{Closing, Told},
    descriptors,
    lineage::Ending,
    secret,
};
use crate::{
    admin::{Admin, Callers},
    cli::{logging, say},
    events::{Bus, EventSettings},
    proxy::{
        edition::Current,
        logbook::Logbook,
        server::{self, Course, Listeners},
        sockets::Listening,
    },
    reload::{Follower, Reloader, Running},
};

/// A proxy that begins to accept visitors when it is polled.
pub(super) struct Serving {
    listeners: Listeners,
    /// Where operators are answered, if they are.
    admin: io::Result<SocketAddr>,
    current: Arc<Current>,
    logbook: Arc<Logbook>,
    signals: Signals,
    closing: Closing,
}

impl Serving {
    /// Serves operators from now on, and reloads when one of them or a signal says so.
    pub(super) fn begin(prepared: Prepared, hung_up: Hangup) -> Self {
        let Prepared { listeners, config, current, delivery, logbook, .. } = prepared;
        let tracker = Arc::clone(&current.edition().tracker);
        let (store, events, metrics) = (tracker.store.clone(), tracker.events.clone(), Arc::clone(&tracker.metrics));
        let (token, hosts) = (config.server.admin_token.clone(), config.server.admin_hosts.clone());
        let running = Running {
            file: prepared.file,
            current: Arc::clone(&current),
            certificates: listeners.certificates(),
            delivery: delivery.clone(),
            store: store.clone(),
            metrics,
            names: secret::names,
            followers: followers(&logbook, &events),
        };
        let reloader = Reloader::new(running, config, prepared.destinations, prepared.source, Handle::current());
        let (told, callers) = (Told::default(), Callers::default());
        let admin = Admin { reloader: Arc::clone(&reloader), token, hosts, stopping: told.stopping() }.start(
            prepared.admin,
            told.handed_over(),
            &callers,
        );
        let (log, bus) = (Arc::clone(&logbook), events.clone());
        let files: Vec<Box<dyn Fn() + Send + Sync>> =
            vec![Box::new(move || bus.reopen()), Box::new(move || log.access.reopen())];
        let signals = Signals::new(hung_up, reloader, files);
        let forwarder = prepared.forwarder;
        let closing = Closing { current: Arc::clone(&current), forwarder, delivery, store, events, callers, told };
        Self { listeners, admin, current, logbook, signals, closing }
    }

    /// Serves visitors until a signal says stop or another process takes over, then ends.
    pub(super) async fn live(self, lineage: Lineage, sockets: Vec<Listening>) -> Ending {
        let Self { listeners, admin, current, logbook, signals, closing } = self;
        let addresses: Vec<_> = listeners.addresses().collect();
        let announce = move || {
            addresses.iter().for_each(|address| say(&format!("listening {address}")));
            match admin {
                Ok(address) => say(&format!("admin listening {address}")),
                Err(error) => tracing::error!(%error, "the admin port is closed"),
            }
        };
        let (begun, has_begun) = oneshot::channel();
        let course = Course { begun, stop: closing.told.stop(), handed_over: closing.told.handed_over() };
        let proxy = tokio::spawn(server::serve(listeners, current, logbook, course));
        let ending = lineage.live(has_begun, sockets, &signals, announce).await;
        closing.end(ending, proxy, &signals).await;
        ending
    }
}

/// What of a changed configuration is heeded outside of the proxy itself.
fn followers(logbook: &Arc<Logbook>, events: &Bus) -> Vec<Follower> {
    let (logbook, events) = (Arc::clone(logbook), events.clone());
    vec![
        Box::new(|config| descriptors::raise(&config.server.limits)),
        Box::new(|config| logging::follow(&config.server.log)),
        Box::new(move |config| logbook.set(&config.server.log)),
        Box::new(move |config| follow(&events, &config.server.events)),
    ]
}

/// Lets event records go where another configuration wants them.
fn follow(events: &Bus, settings: &EventSettings) {
    if let Err(error) = events.replace(settings) {
        tracing::error!(%error, "the event records go where they went before");
    }
}
