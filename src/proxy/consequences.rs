//! What follows from a plan: what is counted, remembered, forgotten and written down.

use std::sync::Arc;

use tokio::{runtime::Handle, sync::oneshot};

use super::{
    commit,
    runtime::{TrackedSite, Tracker},
};
use crate::{
    store::{CandidateEnd, End, NewRow},
    tracking::{
        conversion::Outcome,
        visit::{Answered, ClaimEnd, Decided, PlannedRow},
    },
};

/// Over when all that came with the head of an answer has been written down, or could not be.
pub(super) type Committed = Option<oneshot::Receiver<()>>;

/// Carries out what needs no waiting: counters, journeys, withdrawals.
pub(super) fn at_once(tracker: &Arc<Tracker>, site: &Arc<TrackedSite>, plan: &mut Answered) {
    let metrics = &site.metrics;
    plan.clicks.drain(..).for_each(|(network, result)| metrics.click(network, result));
    plan.decided.drain(..).for_each(|it| site.decide(&tracker.store, it));
    plan.unsent.drain(..).for_each(|(it, event)| site.decide_unsent(&tracker.store, it, &event));
    plan.undeduplicated.drain(..).for_each(|conversion| metrics.undeduplicated(conversion));
    plan.captures.drain(..).for_each(|(capture, result)| metrics.capture(capture, result));
    if let Some(decision) = plan.consent.take() {
        metrics.consent(decision);
    }
    for (conversion, results) in plan.fields.drain(..) {
        results.into_iter().enumerate().for_each(|(field, result)| metrics.field(conversion, field, result));
    }
    for remembrance in plan.remembrances.drain(..) {
        tracker.store.remember(&site.rules.name, &remembrance.keys, remembrance.journey, remembrance.expires);
    }
    if let (Some(withdrawal), Ok(runtime)) = (plan.withdrawal.take(), Handle::try_current()) {
        let (tracker, site) = (Arc::clone(tracker), Arc::clone(site));
        runtime.spawn(async move {
            let clicks: Vec<(&str, &str)> =
                withdrawal.clicks.iter().map(|(network, id)| (network.as_str(), id.as_str())).collect();
            tracker.store.withdraw(&site.rules.name, &clicks, &withdrawal.journeys).await;
        });
    }
}

/// Carries out what the end of a body has decided; nobody waits for it.
pub(super) fn of_the_end(
    tracker: &Arc<Tracker>,
    site: &Arc<TrackedSite>,
    mut plan: Answered,
    claims: &[ClaimEnd],
    committed: Committed,
) {
    at_once(tracker, site, &mut plan);
    for ClaimEnd { conversion, send, is_proven, grounds, .. } in claims {
        let outcome = if *is_proven { Outcome::NoClick } else { Outcome::Unproven };
        let grounds = grounds.clone();
        site.decide(&tracker.store, Decided { conversion: *conversion, send: *send, outcome, grounds });
    }
    let given_back = claims.iter().filter(|claim| !claim.is_proven);
    let given_back: Vec<_> = given_back.filter_map(|claim| Some((claim.event_id, claim.dedup?.key))).collect();
    let Answered { rows, settled, dropped, .. } = plan;
    if rows.is_empty() && settled.is_empty() && dropped.is_empty() && given_back.is_empty() {
        return;
    }
    let Ok(runtime) = Handle::try_current() else { return };
    let (tracker, site) = (Arc::clone(tracker), Arc::clone(site));
    runtime.spawn(async move {
        // A candidate must be there before it is settled. An error means that nothing was to be written.
        if let Some(committed) = committed {
            drop(committed.await);
        }
        if !given_back.is_empty() {
            tracker.store.give_back(given_back).await;
        }
        settle(&tracker, &site, settled, dropped).await;
        commit::commit(&tracker, &site, rows, tracker.max_page_delay).await;
    });
}

async fn settle(
    tracker: &Arc<Tracker>,
    site: &Arc<TrackedSite>,
    settled: Vec<PlannedRow>,
    dropped: Vec<(Decided, crate::tracking::event::EventId)>,
) {
    let mut decided = Vec::new();
    let mut ends = Vec::new();
    for row in settled {
        let accepted = if row.hold.is_some() { Outcome::Incomplete } else { Outcome::Queued };
        let event_id = row.event.id;
        let it = Decided { conversion: row.conversion, send: row.send, outcome: accepted, grounds: row.grounds };
        site.foresee(&tracker.store, event_id, &it);
        decided.push(it);
        let row = NewRow { event: row.event, key: row.dedup, hold: row.hold };
        ends.push(CandidateEnd { event_id, end: End::Accept(row) });
    }
    for (it, event_id) in dropped {
        let end = if it.outcome == Outcome::Unproven { End::Unproven } else { End::Dropped };
        decided.push(it);
        ends.push(CandidateEnd { event_id, end });
    }
    if ends.is_empty() {
        return;
    }
    let accepted = tracker.store.settle_candidates(ends).await.await.unwrap_or_default();
    for (index, it) in decided.into_iter().enumerate() {
        let is_stored = matches!(it.outcome, Outcome::Queued | Outcome::Incomplete);
        let outcome =
            if is_stored { commit::outcome_of(accepted.get(index).copied(), it.outcome) } else { Some(it.outcome) };
        if let Some(outcome) = outcome {
            site.decide(&tracker.store, it.turned_out(outcome));
        }
    }
}
