//! Tells of postbacks, and of what a fleet decides: what is sent, what is answered, what comes of it.
//!
//! It stands between the store and the delivery worker and whoever else hears of their work. A record
//! that cannot be built is left out; nothing else depends on it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{Bus, Personal, Record, Whose};
use crate::{
    delivery::{DeliveryObserver, Destination, client::Reply},
    store::{ErrorKind, Settled, StoreObserver, clock},
    tracking::{conversion::Outcome, event::Event, postback::PostbackRule, verdict::Verdict},
};

/// Hears of work, tells of it, and passes on what it hears.
#[derive(Debug)]
pub struct Reporter<O> {
    bus: Bus,
    next: Arc<O>,
}

impl<O> Reporter<O> {
    /// Tells this bus, and passes everything on to `next`.
    #[must_use]
    pub const fn new(bus: Bus, next: Arc<O>) -> Self {
        Self { bus, next }
    }

    fn tell(&self, build: impl Fn(Personal) -> Record) {
        // What was stored of a stranger's request may make anything panic that looks at it.
        let told = catch_unwind(AssertUnwindSafe(|| self.bus.publish(Whose::Visitor, build)));
        if told.is_err() {
            tracing::debug!("an event record cannot be built");
        }
    }
}

#[deny(clippy::missing_trait_methods, reason = "what is not passed on is heard by nobody")]
impl<O: DeliveryObserver> DeliveryObserver for Reporter<O> {
    fn attempted(&self, site: &str, network: &str, result: &'static str, took: Duration) {
        self.next.attempted(site, network, result, took);
    }

    fn settled(&self, site: &str, network: &str, verdict: Verdict) {
        self.next.settled(site, network, verdict);
    }

    fn address_refused(&self, site: &str, network: &str) {
        self.next.address_refused(site, network);
    }

    fn left_alone(&self, site: &str, network: &str, is_left_alone: bool) {
        self.next.left_alone(site, network, is_left_alone);
    }

    fn gone(&self, site: &str, network: &str) {
        self.next.gone(site, network);
    }

    fn sent(&self, event: &Event, rule: &PostbackRule, to: &Destination) {
        self.tell(|personal| Record::request(clock::now(), event, rule, to, personal));
        self.next.sent(event, rule, to);
    }

    fn answered(&self, event: &Event, reply: &Reply, body: &[u8]) {
        self.tell(|personal| Record::response(clock::now(), event, reply, body, personal));
        self.next.answered(event, reply, body);
    }

    fn concluded(&self, event: &Event, outcome: Settled) {
        self.tell(|_| Record::verdict(clock::now(), event, outcome));
        self.next.concluded(event, outcome);
    }
}

#[deny(clippy::missing_trait_methods, reason = "what is not passed on is heard by nobody")]
impl<O: StoreObserver> StoreObserver for Reporter<O> {
    fn committed(&self, took: Duration, rows: usize) {
        self.next.committed(took, rows);
    }

    fn failed(&self, kind: ErrorKind) {
        self.next.failed(kind);
    }

    fn withdrawn(&self, site: &str, network: &str) {
        self.next.withdrawn(site, network);
    }

    fn clock_jumped(&self) {
        self.next.clock_jumped();
    }

    fn purged(&self, site: &str, network: &str, count: u64) {
        self.next.purged(site, network, count);
    }

    fn replayed(&self, site: &str, network: &str, count: u64) {
        self.next.replayed(site, network, count);
    }

    fn dropped(&self, hits: u64) {
        self.next.dropped(hits);
    }

    fn sized(&self, bytes: u64) {
        self.next.sized(bytes);
    }

    fn decided(&self, site: &str, conversion: &str, network: &str, outcome: Outcome) {
        self.tell(|_| {
            let names = [site, conversion, network].map(Arc::<str>::from);
            let [site, conversion, network] = &names;
            Record::conversion(clock::now(), (site, conversion, network), None, outcome)
        });
        self.next.decided(site, conversion, network, outcome);
    }
}
