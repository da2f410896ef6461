//! Tells of postbacks: what is sent, what is answered, what comes of it.
//!
//! It stands between the delivery worker and whoever else hears of its work. A record that cannot be
//! built is left out; nothing else depends on it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{Bus, Personal, Record, Whose};
use crate::{
    delivery::{DeliveryObserver, Destination, client::Reply},
    store::{Settled, clock},
    tracking::{event::Event, postback::PostbackRule, verdict::Verdict},
};

/// Hears of deliveries, tells of them, and passes on what it hears.
pub struct Reporter {
    bus: Bus,
    next: Arc<dyn DeliveryObserver>,
}

impl Reporter {
    /// Tells this bus, and passes everything on to `next`.
    #[must_use]
    pub fn new(bus: Bus, next: Arc<dyn DeliveryObserver>) -> Self {
        Self { bus, next }
    }

    fn tell(&self, build: impl Fn(Personal) -> Record) {
        // What was stored of a stranger's request made the worker panic once, and may here.
        let told = catch_unwind(AssertUnwindSafe(|| self.bus.publish(Whose::Visitor, build)));
        if told.is_err() {
            tracing::debug!("an event record cannot be built");
        }
    }
}

impl DeliveryObserver for Reporter {
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
