//! The end of a running proxy: those who serve are told, then pages, postbacks and the store are finished, in
//! this order.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{join, sync::watch, task::JoinHandle};

use super::{Signals, lineage::Ending};
use crate::{
    admin::Callers,
    delivery::Delivery,
    events::Bus,
    handover::parent,
    proxy::edition::Current,
    store::{Forwarder, Store},
    supervisor,
};

/// What has to be finished, in reverse of how it was begun.
pub(super) struct Closing {
    pub(super) current: Arc<Current>,
    pub(super) forwarder: Forwarder,
    pub(super) delivery: Delivery,
    pub(super) store: Store,
    pub(super) events: Bus,
    pub(super) callers: Callers,
    pub(super) told: Told,
}

/// How those who serve are told that it ends.
#[derive(Debug, Default)]
pub(super) struct Told {
    stopping: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    handed_over: watch::Sender<bool>,
}

impl Told {
    /// Says true when this process is about to end, and no other serves in its place.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Says true when no more requests are wanted.
    pub(super) fn stop(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Says true when another process serves in the place of this one, and false again when this one is to
    /// wait no longer for visitors who ask for nothing.
    pub(super) fn handed_over(&self) -> watch::Receiver<bool> {
        self.handed_over.subscribe()
    }
}

impl Closing {
    /// Ends everything behind `proxy`, which serves until it is told to stop.
    pub(super) async fn end(self, ending: Ending, proxy: JoinHandle<()>, signals: &Signals) {
        let Self { current, forwarder, delivery, store, events, callers, told } = self;
        match ending {
            Ending::Stopped | Ending::Failed => {
                supervisor::stopping(current.edition().limits.shutdown_grace + DRAIN * 2);
                told.stopping.send_replace(true);
            }
            Ending::HandedOver(pid) => {
                parent::stand_in_for(pid);
                told.handed_over.send_replace(true);
            }
        }
        tracing::info!("stopping: finishing what is under way");
        told.stop.send_replace(true);
        let finished = async {
            if proxy.await.is_err() {
                tracing::error!("the proxy ended in a panic");
            }
            if let Ending::HandedOver(_) = ending {
                // Who asked the admin port at the last moment gets an answer.
                callers.leave(LAST_ANSWERS).await;
            }
            join!(forwarder.drain(DRAIN), delivery.drain(DRAIN));
            store.close().await;
            events.drain(DRAIN).await;
        };
        patiently(finished, &told.handed_over, signals).await;
    }
}

/// Waits for the end; told to stop once more, for nothing.
///
/// Who has handed over is then told for the first time: it no longer waits for visitors who ask for nothing.
async fn patiently(end: impl Future<Output = ()>, handed_over: &watch::Sender<bool>, signals: &Signals) {
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return,
            () = signals.stop() => if !handed_over.send_replace(false) {
                return tracing::warn!("told to stop a second time: ending at once, whatever is under way");
            },
        }
    }
}

/// How long postbacks under way may go on after the last page.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the admin port takes for answers that were asked for just before a hand-over.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
