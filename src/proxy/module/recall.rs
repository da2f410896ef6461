//! A visitor's journey on its way from the store.
//!
//! The question leaves with the request and its answer is waited for when the site has answered, so
//! that most of the waiting is the site's own; what is left of it never exceeds `max_page_delay`. A
//! journey that comes later still decides the conversion, only the page is gone by then.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};

use super::super::runtime::Tracker;
use crate::{
    store::Store,
    tracking::{
        journey::{Journey, JourneyKey},
        visit::Visit,
    },
};

/// A journey that has been asked for.
pub(super) struct Recall(JoinHandle<Option<Journey>>);

/// A journey, as far as it is there when the page must go on.
pub(super) enum Recalled {
    /// All that is known.
    InTime(Option<Box<Journey>>),
    /// Nothing yet.
    Late(LateJourney),
}

/// A journey that is still awaited.
pub(super) struct LateJourney(JoinHandle<Option<Journey>>);

impl LateJourney {
    /// Waits for it, after the page; one that does not come at all is none.
    pub(super) async fn arrived(self) -> Option<Journey> {
        timeout(PATIENCE, self.0).await.ok()?.ok().flatten()
    }
}

impl Recall {
    /// Asks for the journey of a visitor, if a conversion may need it.
    pub(super) fn start(tracker: &Arc<Tracker>, visit: &Visit) -> Option<Self> {
        if !visit.recalls() {
            return None;
        }
        let keys = visit.recalled_keys();
        if keys.is_empty() {
            return None;
        }
        let store = tracker.store.clone();
        let runtime = Handle::try_current().ok()?;
        Some(Self(runtime.spawn(async move { whole(&store, keys).await })))
    }

    /// Waits for it, and for the journey of the order that another server reports, until the page must
    /// go on.
    pub(super) async fn finish(
        recall: Option<Self>,
        tracker: &Tracker,
        visit: &Visit,
        response: &HeaderMap,
    ) -> Recalled {
        let orders = if visit.recalls() { visit.order_keys(response) } else { Vec::new() };
        if recall.is_none() && orders.is_empty() {
            return Recalled::InTime(None);
        }
        let store = tracker.store.clone();
        let mut both = Box::pin(async move {
            let visitor = match recall {
                Some(recall) => recall.0.await.ok().flatten(),
                None => None,
            };
            let order = if orders.is_empty() { None } else { whole(&store, orders).await };
            match (visitor, order) {
                (Some(mut visitor), Some(order)) => {
                    visitor.merge(order);
                    Some(visitor)
                }
                (visitor, order) => visitor.or(order),
            }
        });
        if let Ok(journey) = timeout(tracker.max_page_delay, &mut both).await {
            Recalled::InTime(journey.map(Box::new))
        } else {
            tracker.metrics.late_recalls_total.inc();
            Recalled::Late(LateJourney(tokio::spawn(both)))
        }
    }
}

/// A journey with everything that is known under its other names.
async fn whole(store: &Store, keys: Vec<JourneyKey>) -> Option<Journey> {
    let mut journey = store.recall(&keys).await?;
    let more: Vec<JourneyKey> = journey.keys.keys().filter(|key| !keys.contains(key)).copied().collect();
    if !more.is_empty()
        && let Some(rest) = store.recall(&more).await
    {
        journey.merge(rest);
    }
    Some(journey)
}

/// How long a late journey is waited for. Until then its conversion is in memory only.
const PATIENCE: Duration = Duration::from_secs(10);
