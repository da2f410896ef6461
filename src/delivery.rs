//! The delivery of conversions: what is accepted is sent until it has a verdict.
//!
//! A [`Delivery`] runs on a thread of its own with its own runtime, so that no network ever takes
//! time from a page. It decides who is sent next and what a failure leads to; what a row holds,
//! what a request looks like and what an answer means stand in `store` and `tracking`.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::{
    mpsc::{self, UnboundedReceiver},
    oneshot,
};

use crate::{
    store::{LeasedRow, Settled, Store},
    tracking::{event::Event, postback::PostbackRule, verdict::Verdict},
};

pub mod address;
pub mod breaker;
pub mod client;
pub mod destination;
pub mod outbound;
pub mod rate;
pub mod retry;
pub mod route;
pub mod share;

mod alarm;
mod departure;
mod drain;
mod echo;
mod lane;
mod load;
mod order;
mod outcome;
mod queue;
mod resolver;
mod sender;
mod token;
mod worker;

#[cfg(test)]
mod tests;

pub use crate::tracking::mask;
pub use destination::{Destination, Destinations};

use breaker::BreakerState;
use client::{Clients, Reply};
use queue::Queue;
use sender::Sender;
use worker::{Control, Render, Worker};

/// The delivery worker of this process; it ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Delivery {
    control: mpsc::UnboundedSender<Control>,
    /// Of the configuration in force.
    clients: Arc<Mutex<Clients>>,
}

/// Another configuration, ready to be put in force.
#[derive(Debug)]
pub struct Replacement {
    destinations: Arc<Destinations>,
    clients: Clients,
}

/// Where breakers stand, by site and network.
pub type Breakers = Vec<(Arc<str>, Arc<str>, BreakerState)>;

/// Hears about attempts and verdicts, on the worker's thread.
pub trait DeliveryObserver: Send + Sync {
    /// An attempt ended: the verdict's label, or `retry`.
    fn attempted(&self, site: &str, network: &str, result: &'static str, took: Duration);
    /// A postback has its verdict.
    fn settled(&self, site: &str, network: &str, verdict: Verdict);
    /// A connection was not made, because its name stands for private or reserved addresses alone.
    fn address_refused(&self, _site: &str, _network: &str) {}
    /// A network is left alone from now on, or no longer.
    fn left_alone(&self, _site: &str, _network: &str, _is_left_alone: bool) {}
    /// A network is no longer configured.
    fn gone(&self, _site: &str, _network: &str) {}
    /// A request about this event is on its way.
    fn sent(&self, _event: &Event, _rule: &PostbackRule, _to: &Destination) {}
    /// The network has answered; the body comes without secrets, and without other events of the request.
    fn answered(&self, _event: &Event, _reply: &Reply, _body: &[u8]) {}
    /// What came of an attempt, or of an event that is not sent.
    fn concluded(&self, _event: &Event, _outcome: Settled) {}
}

/// Why delivery can't start.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// The machine has no thread or no runtime for it.
    #[error("the delivery worker can't be started: {0}")]
    Thread(#[from] io::Error),
    /// TLS or a proxy can't be set up: no root certificates, for example.
    #[error("the HTTP client of the delivery worker can't be made: {0}")]
    Client(#[from] reqwest::Error),
}

impl Delivery {
    /// Starts to deliver: what is accepted from now on, and what waits in the store.
    ///
    /// `fresh` is the receiver that came with the store. A process needs a rustls crypto provider
    /// installed before this.
    ///
    /// # Errors
    /// See [`NotStarted`].
    pub fn start(
        store: Store,
        fresh: UnboundedReceiver<LeasedRow>,
        destinations: Arc<Destinations>,
        observer: Arc<dyn DeliveryObserver>,
    ) -> Result<Self, NotStarted> {
        Self::start_with(store, fresh, destinations, observer, Box::new(PostbackRule::render))
    }

    fn start_with(
        store: Store,
        fresh: UnboundedReceiver<LeasedRow>,
        destinations: Arc<Destinations>,
        observer: Arc<dyn DeliveryObserver>,
        render: Render,
    ) -> Result<Self, NotStarted> {
        let clients = Clients::of(&destinations, &Clients::default())?;
        let sender = Sender::new(&destinations, clients.clone(), Arc::clone(&observer));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (control, commands) = mpsc::unbounded_channel();
        let queue = {
            // Its tasks run beside the worker.
            let _on_its_runtime = runtime.enter();
            Queue::of(store, Arc::clone(&observer))
        };
        let worker = Worker::new(queue, fresh, commands, destinations, observer, sender, render);
        thread::Builder::new().name("delivery".into()).spawn(move || runtime.block_on(worker.run()))?;
        Ok(Self { control, clients: Arc::new(Mutex::new(clients)) })
    }

    /// Makes what another configuration needs; nothing changes yet. Reads files of the system.
    ///
    /// # Errors
    /// When TLS or a proxy can't be set up.
    pub fn prepare(&self, destinations: Arc<Destinations>) -> Result<Replacement, reqwest::Error> {
        let known = self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Replacement { clients: Clients::of(&destinations, &known)?, destinations })
    }

    /// Puts another configuration in force for everything that is not yet under way.
    pub fn replace(&self, replacement: Replacement) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&replacement.clients);
        // A worker that has ended needs no configuration.
        drop(self.control.send(Control::Replace(replacement)));
    }

    /// Where the breakers stand; nothing when the worker has ended.
    pub async fn breakers(&self) -> Breakers {
        let (answer, states) = oneshot::channel();
        if self.control.send(Control::Breakers(answer)).is_err() {
            return Vec::new();
        }
        states.await.unwrap_or_default()
    }

    /// Stops claiming, waits for what is under way, gives the rest back and ends the worker.
    ///
    /// Attempts that take longer than `within` are broken off and made again by whoever is next.
    pub async fn drain(&self, within: Duration) {
        let (done, drained) = oneshot::channel();
        if self.control.send(Control::Drain { within, done }).is_ok() {
            // An error means that the worker ended in another way.
            drop(drained.await);
        }
    }
}
