//! What the networks of a fleet wrote down, and what should not have happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use crate::support::server::lock;

/// What the network wrote down of each attempt.
#[derive(Debug, Default)]
pub(super) struct Records(Mutex<BTreeMap<String, Order>>);

#[derive(Debug, Default)]
struct Order {
    events: BTreeSet<String>,
    taken: bool,
}

/// What should not have happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Audit {
    /// Orders that visitors noted and the network never took in.
    pub(super) lost: Vec<String>,
    /// Orders that came under more than one event id.
    pub(super) twice: Vec<String>,
}

impl Records {
    pub(super) fn note(&self, order: &str, event: &str, taken: bool) {
        let mut orders = lock(&self.0);
        let order = orders.entry(order.to_owned()).or_default();
        order.events.insert(event.to_owned());
        order.taken |= taken;
    }

    pub(super) fn audit(&self, noted: &BTreeSet<String>) -> Audit {
        let orders = lock(&self.0);
        let taken = |order: &String| orders.get(order).is_some_and(|order| order.taken);
        let twice = orders.iter().filter(|(_, order)| order.events.len() > 1);
        Audit {
            lost: noted.iter().filter(|order| !taken(order)).cloned().collect(),
            twice: twice.map(|(order, _)| order.clone()).collect(),
        }
    }
}
