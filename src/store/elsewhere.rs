//! What a node asks its fleet while a page waits, after it has looked into its own store.
//!
//! A fleet that is away is not asked, and one that hangs is not waited for longer than a statement may
//! take: what this node knows itself is the answer then. How long the page waits is its own business.

use std::time::Duration;

use tokio::{sync::oneshot, time::timeout};

use super::{
    Accepted, Claim, Fate, Fleet, Store,
    fleet::{FleetError, FleetHealth},
};
use crate::tracking::{
    event::EventId,
    journey::{Journey, JourneyKey},
    timestamp::Timestamp,
};

impl Store {
    /// What other nodes know of a visitor.
    pub(super) async fn recall_elsewhere(&self, keys: &[JourneyKey], now: Timestamp) -> Option<Journey> {
        if keys.is_empty() {
            return None;
        }
        self.elsewhere(async |fleet| fleet.recall(keys, now).await).await.flatten()
    }

    /// Adds the verdicts that are not known here.
    pub(super) async fn complete_verdicts(&self, ids: &[EventId], verdicts: &mut [Option<String>]) {
        self.complete(ids, verdicts, async |fleet, unknown| fleet.verdicts(&unknown).await).await;
    }

    /// Adds the fates that are not known here.
    pub(super) async fn complete_fates(&self, ids: &[EventId], fates: &mut [Option<Fate>]) {
        self.complete(ids, fates, async |fleet, unknown| fleet.fates(&unknown).await).await;
    }

    /// Has the fleet confirm the keys that were free here; what another node has is given back here.
    ///
    /// The errand that came with the key tells the fleet again if it is not reached now.
    pub(super) fn confirm(
        &self,
        claims: Vec<Claim>,
        here: oneshot::Receiver<Vec<Accepted>>,
    ) -> oneshot::Receiver<Vec<Accepted>> {
        let (answer, receiver) = oneshot::channel();
        let store = self.clone();
        tokio::spawn(async move {
            let Ok(mut accepted) = here.await else { return };
            let is_ours = |accepted: &Accepted| *accepted == Accepted::Queued;
            let ours: Vec<Claim> = claims
                .iter()
                .zip(&accepted)
                .filter(|(_, accepted)| is_ours(accepted))
                .map(|(claim, _)| *claim)
                .collect();
            let said = store.elsewhere(async |fleet| fleet.claim(&ours).await).await.unwrap_or_default();
            let mut lost = Vec::new();
            let places = accepted.iter_mut().filter(|accepted| is_ours(accepted));
            for ((claim, place), said) in ours.iter().zip(places).zip(said) {
                if said == Accepted::Duplicate {
                    *place = Accepted::Duplicate;
                    lost.push((claim.event_id, claim.dedup.key));
                }
            }
            if let Err(accepted) = answer.send(accepted) {
                // The page has left: nothing was shown, so the next one must find the keys free.
                let taken = claims.iter().zip(accepted).filter(|(_, accepted)| is_ours(accepted));
                lost.extend(taken.map(|(claim, _)| (claim.event_id, claim.dedup.key)));
            }
            if !lost.is_empty() {
                store.give_back(lost).await;
            }
        });
        receiver
    }

    async fn complete<T>(
        &self,
        ids: &[EventId],
        known: &mut [Option<T>],
        ask: impl AsyncFnOnce(&Fleet, Vec<EventId>) -> Result<Vec<Option<T>>, FleetError>,
    ) {
        let unknown = ids.iter().zip(known.iter()).filter(|(_, known)| known.is_none()).map(|(id, _)| *id);
        let unknown: Vec<EventId> = unknown.collect();
        if unknown.is_empty() {
            return;
        }
        let found = self.elsewhere(async |fleet| ask(fleet, unknown).await).await.unwrap_or_default();
        known.iter_mut().filter(|known| known.is_none()).zip(found).for_each(|(known, found)| *known = found);
    }

    /// Asks the fleet, if there is one that answers.
    async fn elsewhere<T>(&self, ask: impl AsyncFnOnce(&Fleet) -> Result<T, FleetError>) -> Option<T> {
        let fleet = self.shared.fleet.as_ref()?;
        if !matches!(fleet.health(), FleetHealth::Ready) {
            return None;
        }
        match timeout(PATIENCE, ask(fleet)).await {
            Ok(Ok(found)) => Some(found),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the fleet could not be asked");
                None
            }
            Err(_) => None,
        }
    }
}

/// A statement takes no longer, and then this node's own answer stands.
const PATIENCE: Duration = Duration::from_secs(2);
